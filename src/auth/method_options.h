// The name=value options at the end of an HBA line: one table of names, what they are for, and what they set.
#pragma once
#include <string>
#include <string_view>

#include "auth/hba.h"

namespace pgweir::auth {

/// Sets what `option` says. The reason when it cannot; empty when all is well. The line's type and method are known.
[[nodiscard]] std::string take_option(HbaLine& line, std::string_view option);
/// When all options are taken: do they go together, and is nothing missing? Also sets what a method implies.
[[nodiscard]] std::string check_options(HbaLine& line);

}  // namespace pgweir::auth
