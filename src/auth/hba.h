// The rules of who may come in by which method: what an HBA file says, and the decision for one client. Pure.
//
// Sources: PostgreSQL documentation, "The pg_hba.conf File" (16); backend/libpq/hba.c, check_hba. The first line that
// matches decides, whatever its method then finds; without one the client is refused.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "auth/address.h"
#include "auth/word.h"
#include "wire/messages/startup.h"

namespace pgweir::auth {

enum class Method : std::uint8_t { trust, reject, password, md5, scram_sha_256, peer, cert, ldap, pam };
/// PostgreSQL's word for it.
[[nodiscard]] std::string_view name_of(Method method);

/// The options of method ldap, as PostgreSQL documents them. An ldapurl has been taken apart.
struct LdapOptions {
  std::string scheme = "ldap";  ///< or ldaps
  std::string server;           ///< names with blanks between them; may be empty
  std::uint16_t port = 0;       ///< 0: that of the scheme
  bool tls = false;             ///< StartTLS
  std::string prefix, suffix;   ///< simple bind
  std::string base_dn, bind_dn, bind_password, search_attribute, search_filter;  ///< search and bind
  enum class Scope : std::uint8_t { base, one, sub } scope = Scope::sub;
};

struct HbaLine {
  enum class Type : std::uint8_t { local, host, hostssl, hostnossl, hostgssenc, hostnogssenc };
  enum class From : std::uint8_t { all, network, same_host, same_net };
  enum class ClientCert : std::uint8_t { off, verify_ca, verify_full };
  enum class ClientName : std::uint8_t { cn, dn };

  std::string file;
  int number = 0;  ///< of the line, from 1; 0: not from a file
  Type type = Type::host;
  std::vector<Word> databases, users;
  From from = From::all;
  Address network, mask;
  Method method = Method::reject;
  std::string map;  ///< of ident maps; empty: names must be equal
  ClientCert client_cert = ClientCert::off;
  ClientName client_name = ClientName::cn;
  std::string pam_service = "postgresql";
  bool pam_use_hostname = false;
  std::optional<LdapOptions> ldap;  ///< with method ldap

  /// "pg_hba.conf:12"; empty for one that is not from a file.
  [[nodiscard]] std::string place() const;
};

/// In the order of the file. Immutable once made.
using Hba = std::vector<HbaLine>;

/// Rules that ask everybody for the same.
[[nodiscard]] Hba for_everybody(Method method);

/// The roles that a user is a member of, directly or not, itself included; empty when there is no such role.
/// As PostgreSQL's is_member_of_role_nosuper: a superuser is a member of nothing only for being one.
using Memberships = std::set<std::string, std::less<>>;

/// What is known of a client that asks to be let in. Views and pointers are the caller's.
struct Asking {
  Address from;
  bool tls = false;
  std::string_view user, database;
  wire::Replication replication = wire::Replication::no;
  const Memberships* memberships = nullptr;  ///< null: not found out yet
  const Interfaces* interfaces = nullptr;    ///< likewise
};

struct Decision {
  /// The needs: whether a line matches depends on what is not known yet. Find it out, and decide again.
  enum class What : std::uint8_t { line, no_line, needs_memberships, needs_interfaces } what = What::no_line;
  const HbaLine* line = nullptr;  ///< with What::line
};

[[nodiscard]] Decision decide(const Hba& rules, const Asking& asking);

}  // namespace pgweir::auth
