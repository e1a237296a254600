// A problem as one line of text, in the form that editors and people know: file, line, key, what is wrong.
#include "config/problem.h"

#include "fmt/format.h"

namespace pgweir::config {

std::string Problem::text() const {
  return fmt::format("{}{}{}{}: {}", file, line > 0 ? fmt::format(":{}", line) : "", key.empty() ? "" : ": ", key,
                     message);
}

}  // namespace pgweir::config
