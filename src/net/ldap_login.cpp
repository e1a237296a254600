// libldap, one connection for each question; see ldap_login.h.
#include "net/ldap_login.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <sstream>

#ifdef PGWEIR_HAS_LDAP
#include <ldap.h>
#endif

namespace pgweir::net {

namespace sqlstate = base::sqlstate;

std::string ldap_uris(const LdapRequest& request) {
  constexpr std::uint16_t kLdap = 389, kLdaps = 636;
  const std::uint16_t port = request.port != 0 ? request.port : request.scheme == "ldaps" ? kLdaps : kLdap;
  std::istringstream names(request.servers);
  std::string uris;
  for (std::string name; names >> name;) {
    const bool is_v6 = name.find(':') != std::string::npos && !name.starts_with('[');
    uris += (uris.empty() ? "" : " ") + request.scheme + "://" + (is_v6 ? "[" + name + "]" : name) + ":" +
            std::to_string(port);
  }
  return uris;
}

bool fits_into_filter(std::string_view user) { return user.find_first_of("*()\\/") == std::string_view::npos; }

std::string ldap_filter(const LdapRequest& request) {
  constexpr std::string_view kPlace = "$username";
  if (request.search_filter.empty())
    return "(" + (request.search_attribute.empty() ? "uid" : request.search_attribute) + "=" + request.user + ")";
  std::string filter;
  std::string_view rest = request.search_filter;
  for (auto at = rest.find(kPlace); at != std::string_view::npos; at = rest.find(kPlace)) {
    filter.append(rest.substr(0, at)).append(request.user);
    rest.remove_prefix(at + kPlace.size());
  }
  return filter.append(rest);
}

#ifdef PGWEIR_HAS_LDAP

namespace {

struct Unbind {
  void operator()(LDAP* ldap) const { ldap_unbind_ext_s(ldap, nullptr, nullptr); }
};
using Handle = std::unique_ptr<LDAP, Unbind>;

base::Failure failure(std::string_view what, int code) {
  return base::fail(sqlstate::connection_failure, std::string(what) + ": " + ldap_err2string(code));
}

timeval seconds_of(base::Duration duration) {
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(duration).count();
  return {std::max<std::int64_t>(seconds, 1), 0};
}

base::Result<Handle> open(const LdapRequest& request) {
  const std::string uris = ldap_uris(request);
  if (uris.empty()) return base::fail(sqlstate::config_file_error, "no LDAP server is named (ldapserver)");
  LDAP* raw = nullptr;
  int code = ldap_initialize(&raw, uris.c_str());
  if (code != LDAP_SUCCESS) return failure("could not initialize LDAP", code);
  Handle handle(raw);
  const int version = LDAP_VERSION3;
  const timeval timeout = seconds_of(request.timeout);
  ldap_set_option(raw, LDAP_OPT_PROTOCOL_VERSION, &version);
  ldap_set_option(raw, LDAP_OPT_NETWORK_TIMEOUT, &timeout);
  ldap_set_option(raw, LDAP_OPT_TIMEOUT, &timeout);
  if (request.start_tls) {
    code = ldap_start_tls_s(raw, nullptr, nullptr);
    if (code != LDAP_SUCCESS) return failure("could not start LDAP TLS session", code);
  }
  return handle;
}

int bind_as(LDAP* ldap, const std::string& dn, const base::SecretText& password) {
  std::string copy(password.reveal());
  berval credentials{copy.size(), copy.data()};
  const int code = ldap_sasl_bind_s(ldap, dn.c_str(), LDAP_SASL_SIMPLE, &credentials, nullptr, nullptr, nullptr);
  base::wipe(copy);
  return code;
}

/// Empty: there is none, or more than one.
base::Result<std::string> find_dn(const LdapRequest& request) {
  auto handle = open(request);
  if (!handle) return base::Failure(handle.error());
  LDAP* ldap = handle->get();
  int code = bind_as(ldap, request.bind_dn, request.bind_password);
  if (code != LDAP_SUCCESS) return failure("could not bind as ldapbinddn to search for the user", code);
  char none[] = LDAP_NO_ATTRS;
  char* attributes[] = {none, nullptr};
  const int scope = request.scope == LdapRequest::Scope::base  ? LDAP_SCOPE_BASE
                    : request.scope == LdapRequest::Scope::one ? LDAP_SCOPE_ONELEVEL
                                                               : LDAP_SCOPE_SUBTREE;
  LDAPMessage* found = nullptr;
  timeval timeout = seconds_of(request.timeout);
  code = ldap_search_ext_s(ldap, request.base_dn.c_str(), scope, ldap_filter(request).c_str(), attributes, 0, nullptr,
                           nullptr, &timeout, 0, &found);
  const std::unique_ptr<LDAPMessage, int (*)(LDAPMessage*)> owner(found, ldap_msgfree);
  if (code != LDAP_SUCCESS) return failure("could not search LDAP", code);
  if (ldap_count_entries(ldap, found) != 1) return std::string();
  const std::unique_ptr<char, void (*)(void*)> dn(ldap_get_dn(ldap, ldap_first_entry(ldap, found)), ldap_memfree);
  return dn ? std::string(dn.get()) : std::string();
}

}  // namespace

bool has_ldap() { return true; }

base::Result<bool> ldap_login(const LdapRequest& request) {
  // A bind without a password is an anonymous one, and succeeds.
  if (request.password.empty()) return false;
  std::string dn = request.prefix + request.user + request.suffix;
  if (!request.base_dn.empty()) {
    if (!fits_into_filter(request.user)) return false;
    auto found = find_dn(request);
    if (!found) return base::Failure(found.error());
    if (found->empty()) return false;
    dn = std::move(*found);
  }
  auto handle = open(request);
  if (!handle) return base::Failure(handle.error());
  const int code = bind_as(handle->get(), dn, request.password);
  if (code == LDAP_SUCCESS) return true;
  const bool refused = code == LDAP_INVALID_CREDENTIALS || code == LDAP_NO_SUCH_OBJECT ||
                       code == LDAP_INVALID_DN_SYNTAX || code == LDAP_INAPPROPRIATE_AUTH ||
                       code == LDAP_UNWILLING_TO_PERFORM;
  if (refused) return false;
  return failure("could not bind as the user", code);
}

#else

bool has_ldap() { return false; }

base::Result<bool> ldap_login(const LdapRequest&) {
  return base::fail(sqlstate::feature_not_supported, "this pgweir was built without LDAP");
}

#endif

}  // namespace pgweir::net
