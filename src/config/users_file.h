// The users file: who may log in to pgweir. The format is that of PgBouncer's userlist.txt, and so are the kinds of
// secrets: SCRAM verifiers as PostgreSQL keeps them in pg_authid, MD5 hashes, passwords. Never prints a secret.
#pragma once
#include <string>
#include <string_view>

#include "config/problem.h"
#include "config/secret.h"

namespace pgweir::config {

/// Refuses a file that others than its owner and group may read, or others than its owner may write.
[[nodiscard]] Checked<Users> load_users_file(const std::string& path);
[[nodiscard]] Checked<Users> parse_users(std::string_view text, const std::string& file_name);

}  // namespace pgweir::config
