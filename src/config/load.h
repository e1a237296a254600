// From the text of a configuration file to `Settings`: everything is checked against the option table, and all problems
// are reported at once. Never ignores a key, never guesses a unit.
#pragma once
#include <string>
#include <string_view>

#include "config/problem.h"
#include "config/settings.h"

namespace pgweir::config {

/// Reads and checks the file at `path`. Relative paths in it are resolved against its directory. Does not open the
/// files that it names (users_file.h and password_file.h do). Throws nothing. Any thread.
[[nodiscard]] Checked<Settings> load_file(const std::string& path);

/// The same for a text in memory; `file_name` stands in the problems and gives the directory for relative paths.
[[nodiscard]] Checked<Settings> load_text(std::string_view text, const std::string& file_name);

}  // namespace pgweir::config
