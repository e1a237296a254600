// Reads a file in the format of PostgreSQL's pg_hba.conf (as of version 16) into the rules that hba.h decides by.
//
// What differs from PostgreSQL: methods that pgweir does not have (gss, sspi, ident over TCP, radius, bsd, oauth) and
// host names in the place of an address are errors. A `hostgssenc` line is understood and never matches, as in a
// PostgreSQL without GSSAPI; gss may stand in it.
#pragma once
#include <string>

#include "auth/config_lines.h"
#include "auth/hba.h"
#include "config/problem.h"

namespace pgweir::auth {

/// All problems of all files at once. A file without a single line is one too: nobody could come in.
[[nodiscard]] config::Checked<Hba> parse_hba(const std::string& path, const Files& files);
/// From the disk.
[[nodiscard]] config::Checked<Hba> load_hba(const std::string& path);

}  // namespace pgweir::auth
