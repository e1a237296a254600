// The users file: who may log in to pgweir. The format is that of PgBouncer's userlist.txt; the secrets accepted are
// SCRAM verifiers and MD5 hashes, as PostgreSQL keeps them in pg_authid. Never keeps or prints a password.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "config/problem.h"
#include "config/secret.h"

namespace pgweir::config {

/// By user name, which is case-sensitive. Immutable once loaded.
using Users = std::map<std::string, Secret, std::less<>>;

/// "SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>". The error says what is wrong without repeating the
/// secret.
[[nodiscard]] base::Result<ScramVerifier> parse_verifier(std::string_view text);
/// A verifier, or "md5" and 32 hexadecimal digits; errors as above.
[[nodiscard]] base::Result<Secret> parse_secret(std::string_view text);

[[nodiscard]] Checked<Users> load_users_file(const std::string& path);
[[nodiscard]] Checked<Users> parse_users(std::string_view text, const std::string& file_name);

}  // namespace pgweir::config
