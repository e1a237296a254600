// First the same level by spelling, then the other levels by name. Secrets get their own answer.
#include "config/suggest.h"

#include <algorithm>
#include <cstddef>
#include <numeric>

#include "config/options.h"
#include "fmt/format.h"

namespace pgweir::config {
namespace {

// Single-character insertions, deletions and exchanges that turn one into the other (Levenshtein).
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t exchanged = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({row[j] + 1, row[j + 1] + 1, exchanged});
    }
  }
  return row.back();
}

}  // namespace

std::string suggestion(std::string_view key, std::string_view section, const std::vector<std::string_view>& level) {
  constexpr std::size_t kLongestKey = 64;  // longer ones are no slip of the pen
  if (key.size() > kLongestKey) return {};
  if (key.find("password") != std::string_view::npos && section != "auth")
    return "; passwords do not stand in this file, see auth.server_password_file and auth.users_file";
  std::string_view nearest;
  std::size_t least = std::max<std::size_t>(1, (key.size() + 2) / 3) + 1;
  for (const std::string_view known : level) {
    const std::size_t d = distance(key, known);
    if (d < least) {
      least = d;
      nearest = known;
    }
  }
  const std::string of_pool = "pool_" + std::string(key);  // as the keys of `databases` and `users` are called
  if (std::find(level.begin(), level.end(), of_pool) != level.end())
    return fmt::format("; did you mean \"{}\"?", of_pool);
  if (!nearest.empty()) return fmt::format("; did you mean \"{}\"?", nearest);
  for (const Option<Settings>& option : options()) {
    if (option.key == key) return fmt::format("; write \"{}\" inside \"{}\"", last_part(key), section_of(key));
    if (last_part(option.key) == key) return fmt::format("; did you mean {}?", option.key);
  }
  return {};
}

}  // namespace pgweir::config
