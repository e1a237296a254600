// Options of methods; see method_options.h. Sources: PostgreSQL documentation 16, "Authentication Methods";
// backend/libpq/hba.c, parse_hba_auth_opt.
#include "auth/method_options.h"

#include <array>
#include <charconv>
#include <optional>

#include "fmt/format.h"

namespace pgweir::auth {

namespace {

using ClientCert = HbaLine::ClientCert;
using ClientName = HbaLine::ClientName;

/// Lines on which an option may stand.
enum class For : std::uint8_t { named, hostssl, ldap, pam };
constexpr std::array<std::string_view, 4> kForWords{"methods peer and cert", "hostssl lines", "method ldap",
                                                    "method pam"};

bool fits(For lines, const HbaLine& line) {
  switch (lines) {
    case For::named: return line.method == Method::peer || line.method == Method::cert;
    case For::hostssl: return line.type == HbaLine::Type::hostssl;
    case For::ldap: return line.method == Method::ldap;
    case For::pam: return line.method == Method::pam;
  }
  return false;
}

LdapOptions& ldap(HbaLine& line) {
  if (!line.ldap) line.ldap.emplace();
  return *line.ldap;
}

std::string not_allowed(std::string_view name, std::string_view value, std::string_view allowed) {
  return fmt::format("option {}: found \"{}\"; allowed is {}", name, value, allowed);
}

std::string set_client_cert(HbaLine& line, std::string_view value) {
  if (value == "verify-full")
    line.client_cert = ClientCert::verify_full;
  else if (value == "verify-ca" && line.method == Method::cert)
    return not_allowed("clientcert", value, "only verify-full with method cert");
  else if (value == "verify-ca")
    line.client_cert = ClientCert::verify_ca;
  else
    return not_allowed("clientcert", value, "verify-ca or verify-full");
  return {};
}

std::string set_client_name(HbaLine& line, std::string_view value) {
  if (value != "CN" && value != "DN") return not_allowed("clientname", value, "CN or DN");
  line.client_name = value == "CN" ? ClientName::cn : ClientName::dn;
  return {};
}

std::string set_port(LdapOptions& options, std::string_view name, std::string_view value) {
  std::uint16_t port = 0;
  const auto read = std::from_chars(value.data(), value.data() + value.size(), port);
  if (read.ec != std::errc() || read.ptr != value.data() + value.size() || port == 0)
    return not_allowed(name, value, "a number from 1 to 65535");
  options.port = port;
  return {};
}

/// %xx in an URL; nothing when it is malformed.
std::optional<std::string> decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    unsigned byte = 0;
    const std::string_view digits = text.substr(i + 1, 2);
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16);
    if (digits.size() < 2 || read.ptr != digits.data() + 2 || byte == 0) return std::nullopt;
    out += static_cast<char>(byte);
    i += 2;
  }
  return out;
}

std::string_view take_up_to(std::string_view& rest, char separator) {
  const std::size_t end = rest.find(separator);
  const std::string_view taken = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  return taken;
}

/// RFC 4516: ldap[s]://host[:port]/basedn[?[attribute][?[scope][?[filter]]]]; extensions are not for us.
std::string set_url(HbaLine& line, std::string_view value) {
  constexpr std::string_view kAllowed = "ldap[s]://host[:port]/basedn[?[attribute][?[scope][?[filter]]]]";
  LdapOptions& to = ldap(line);
  std::string_view rest = value;
  const std::size_t scheme = rest.find("://");
  const std::string_view name = rest.substr(0, scheme);
  if (scheme == std::string_view::npos || (name != "ldap" && name != "ldaps"))
    return not_allowed("ldapurl", value, kAllowed);
  rest.remove_prefix(scheme + 3);
  std::string_view host = take_up_to(rest, '/');
  std::string_view port;
  // A colon within [...] belongs to an IPv6 address.
  const std::size_t colon = host.find(':', host.starts_with('[') ? std::min(host.find(']'), host.size()) : 0);
  if (colon != std::string_view::npos) {
    port = host.substr(colon + 1);
    host = host.substr(0, colon);
  }
  const auto base_dn = decoded(take_up_to(rest, '?'));
  const auto attribute = decoded(take_up_to(rest, '?'));
  const std::string_view scope = take_up_to(rest, '?');
  const auto filter = decoded(take_up_to(rest, '?'));
  if (!base_dn || !attribute || !filter || !rest.empty()) return not_allowed("ldapurl", value, kAllowed);
  if (!port.empty())
    if (std::string error = set_port(to, "ldapurl", port); !error.empty()) return error;
  if (!scope.empty() && scope != "base" && scope != "one" && scope != "sub")
    return not_allowed("ldapurl", scope, "scope base, one or sub");
  to.scheme = name;
  to.server = host;
  to.base_dn = *base_dn;
  to.search_attribute = *attribute;
  to.search_filter = *filter;
  // Without a scope an LDAP URL means the base object alone (RFC 4516, section 3).
  to.scope = scope == "sub"   ? LdapOptions::Scope::sub
             : scope == "one" ? LdapOptions::Scope::one
                              : LdapOptions::Scope::base;
  return {};
}

std::string set_scheme(HbaLine& line, std::string_view value) {
  if (value != "ldap" && value != "ldaps") return not_allowed("ldapscheme", value, "ldap or ldaps");
  ldap(line).scheme = value;
  return {};
}

template <std::string LdapOptions::*member>
std::string set_ldap(HbaLine& line, std::string_view value) {
  ldap(line).*member = value;
  return {};
}

struct Option {
  std::string_view name;
  For lines;
  std::string (*set)(HbaLine& line, std::string_view value);
};

constexpr std::array kOptions{
    Option{"map", For::named,
           [](HbaLine& line, std::string_view value) {
             line.map = value;
             return std::string();
           }},
    Option{"clientcert", For::hostssl, set_client_cert},
    Option{"clientname", For::hostssl, set_client_name},
    Option{"pamservice", For::pam,
           [](HbaLine& line, std::string_view value) {
             line.pam_service = value;
             return std::string();
           }},
    Option{"pam_use_hostname", For::pam,
           [](HbaLine& line, std::string_view value) {
             line.pam_use_hostname = value == "1";
             return std::string();
           }},
    Option{"ldapurl", For::ldap, set_url},
    Option{"ldaptls", For::ldap,
           [](HbaLine& line, std::string_view value) {
             ldap(line).tls = value == "1";
             return std::string();
           }},
    Option{"ldapscheme", For::ldap, set_scheme},
    Option{"ldapserver", For::ldap, set_ldap<&LdapOptions::server>},
    Option{"ldapport", For::ldap,
           [](HbaLine& line, std::string_view value) { return set_port(ldap(line), "ldapport", value); }},
    Option{"ldapbinddn", For::ldap, set_ldap<&LdapOptions::bind_dn>},
    Option{"ldapbindpasswd", For::ldap, set_ldap<&LdapOptions::bind_password>},
    Option{"ldapsearchattribute", For::ldap, set_ldap<&LdapOptions::search_attribute>},
    Option{"ldapsearchfilter", For::ldap, set_ldap<&LdapOptions::search_filter>},
    Option{"ldapbasedn", For::ldap, set_ldap<&LdapOptions::base_dn>},
    Option{"ldapprefix", For::ldap, set_ldap<&LdapOptions::prefix>},
    Option{"ldapsuffix", For::ldap, set_ldap<&LdapOptions::suffix>},
};

std::string check_ldap(const LdapOptions& options) {
  if (options.server.empty()) return "method ldap needs the option ldapserver (or ldapurl)";
  const bool simple = !options.prefix.empty() || !options.suffix.empty();
  const bool search = !options.base_dn.empty() || !options.bind_dn.empty() || !options.bind_password.empty() ||
                      !options.search_attribute.empty() || !options.search_filter.empty();
  if (simple && search)
    return "ldapprefix and ldapsuffix (bind as the user) do not go together with ldapbasedn, ldapbinddn, "
           "ldapbindpasswd, ldapsearchattribute, ldapsearchfilter or ldapurl (search first)";
  if (!simple && options.base_dn.empty())
    return "method ldap needs one of the options ldapbasedn, ldapprefix or ldapsuffix";
  if (!options.search_attribute.empty() && !options.search_filter.empty())
    return "ldapsearchattribute and ldapsearchfilter do not go together";
  return {};
}

}  // namespace

std::string take_option(HbaLine& line, std::string_view option) {
  const std::size_t equals = option.find('=');
  if (equals == std::string_view::npos)
    return fmt::format("found option \"{}\"; allowed are options of the form name=value", option);
  const std::string_view name = option.substr(0, equals);
  std::string known;
  for (const Option& one : kOptions) {
    known.append(known.empty() ? "" : ", ").append(one.name);
    if (one.name != name) continue;
    if (!fits(one.lines, line))
      return fmt::format("option {} is for {} only", name, kForWords[static_cast<std::size_t>(one.lines)]);
    return one.set(line, option.substr(equals + 1));
  }
  return fmt::format("found option \"{}\"; allowed are {}", name, known);
}

std::string check_options(HbaLine& line) {
  if (line.method == Method::cert) line.client_cert = ClientCert::verify_full;
  if (line.method == Method::ldap) return check_ldap(ldap(line));
  return {};
}

}  // namespace pgweir::auth
