// Rules that concern several keys of the configuration at once.
#pragma once
#include <string>
#include <vector>

#include "config/settings.h"

namespace pgweir::config {

struct Violation {
  std::string key;  ///< where to show it; its line is used when it stands in the file
  std::string message;
  std::vector<std::string> depends_on{};  ///< keys or sections; not reported when one of them has a problem of its own
};

[[nodiscard]] std::vector<Violation> cross_check(const Settings& settings);

}  // namespace pgweir::config
