// "Did you mean ...": what an operator may have had in mind with a key that does not exist.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace pgweir::config {

/// A sentence part that begins with "; " ("; did you mean \"port\"?"), or nothing when no key comes near.
/// `level`: the keys that are possible where `key` stands; `section`: the key above it, empty at the top.
[[nodiscard]] std::string suggestion(std::string_view key, std::string_view section,
                                     const std::vector<std::string_view>& level);

}  // namespace pgweir::config
