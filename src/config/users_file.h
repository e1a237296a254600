// The users file: who may log in to pgweir. The format is that of PgBouncer's userlist.txt; the secrets accepted are
// SCRAM verifiers, as PostgreSQL keeps them in pg_authid. Never keeps or prints a password.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "config/problem.h"

namespace pgweir::config {

/// RFC 5803, as PostgreSQL writes it; the three byte strings are decoded.
struct ScramVerifier {
  int iterations = 0;      ///< at least 1
  std::string salt;        ///< at least one byte
  std::string stored_key;  ///< 32 bytes
  std::string server_key;  ///< 32 bytes
  friend bool operator==(const ScramVerifier&, const ScramVerifier&) = default;
};

/// By user name, which is case-sensitive. Immutable once loaded.
using Users = std::map<std::string, ScramVerifier, std::less<>>;

/// "SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>". The error says what is wrong without repeating the
/// secret.
[[nodiscard]] base::Result<ScramVerifier> parse_verifier(std::string_view text);

[[nodiscard]] Checked<Users> load_users_file(const std::string& path);
[[nodiscard]] Checked<Users> parse_users(std::string_view text, const std::string& file_name);

}  // namespace pgweir::config
