// `pgweir.consistency`: a setting of the session like any other, so that it follows transactions, SET LOCAL and RESET
// as PostgreSQL's own do. A server takes it for a setting that nobody has defined; pgweir looks at its value. What
// ALTER ROLE or ALTER DATABASE says of it is not seen here: `users[].consistency` and `databases[].consistency` are for
// that. Pure.
#pragma once
#include <optional>
#include <string_view>

#include "base/result.h"
#include "config/settings.h"
#include "pool/carried_on_server.h"

namespace pgweir::session {

inline constexpr std::string_view kConsistencySetting = "pgweir.consistency";

/// In any case, as PostgreSQL takes its own words (utils/misc/guc.c, config_enum_lookup_by_name).
[[nodiscard]] std::optional<config::Consistency> consistency_named(std::string_view word);
/// 22023, as PostgreSQL says it of its own settings.
[[nodiscard]] base::Error bad_consistency(std::string_view word);
/// What these settings ask for, or nothing. The strictest for a value that is none: somebody has set it where nothing
/// could be refused.
[[nodiscard]] std::optional<config::Consistency> consistency_said(const pool::SettingsPtr& settings);

}  // namespace pgweir::session
