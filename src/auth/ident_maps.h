// Which users of PostgreSQL an outside name (of the system, or of a certificate) may be: a file in the format of
// PostgreSQL's pg_ident.conf (as of version 16). Pure. Source: backend/libpq/hba.c, check_ident_usermap.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "auth/config_lines.h"
#include "auth/hba.h"
#include "config/problem.h"

namespace pgweir::auth {

/// Immutable once made.
class IdentMaps {
 public:
  enum class Verdict : std::uint8_t { no, yes, needs_memberships };
  /// Whether a line of `map` lets `outside` be `user`. `memberships` of that user; null: not found out yet.
  [[nodiscard]] Verdict allows(std::string_view map, std::string_view outside, std::string_view user,
                               const Memberships* memberships) const;

  struct Line {
    std::string map;
    Word outside, user;
  };
  std::vector<Line> lines;
};

/// All problems of all files at once. A file without lines is fine.
[[nodiscard]] config::Checked<IdentMaps> parse_ident_maps(const std::string& path, const Files& files);
/// From the disk.
[[nodiscard]] config::Checked<IdentMaps> load_ident_maps(const std::string& path);

}  // namespace pgweir::auth
