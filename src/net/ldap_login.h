// Asking an LDAP server whether a password is right, as PostgreSQL's method ldap does. Blocks: see BlockingCalls.
// Source: PostgreSQL documentation, "LDAP Authentication"; backend/libpq/auth.c, CheckLDAPAuth.
#pragma once
#include <cstdint>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "base/secret_text.h"

namespace pgweir::net {

/// With `base_dn`: search for the user, then bind as what was found. Else bind as prefix, user and suffix together.
struct LdapRequest {
  enum class Scope : std::uint8_t { base, one, sub };
  std::string scheme = "ldap";  ///< or ldaps
  std::string servers;          ///< names or addresses with blanks between them
  std::uint16_t port = 0;       ///< 0: that of the scheme
  bool start_tls = false;
  std::string prefix, suffix;
  std::string base_dn, bind_dn, search_attribute, search_filter;
  base::SecretText bind_password;
  Scope scope = Scope::sub;
  std::string user;
  base::SecretText password;
  base::Duration timeout = std::chrono::seconds{60};  ///< of each step
};

/// False: the server says that the password is wrong, or knows no such user. An error: it could not be asked; its
/// message is for the log. Any thread.
[[nodiscard]] base::Result<bool> ldap_login(const LdapRequest& request);
/// Whether this program was built with libldap.
[[nodiscard]] bool has_ldap();

/// For the filter of a search: each $username replaced by the user. Pure.
[[nodiscard]] std::string ldap_filter(const LdapRequest& request);
/// Whether the name can stand in a filter as it is (PostgreSQL refuses others).
[[nodiscard]] bool fits_into_filter(std::string_view user);
/// "ldap://a:389 ldap://b:389". Pure.
[[nodiscard]] std::string ldap_uris(const LdapRequest& request);

}  // namespace pgweir::net
