// A problem as one line of text, in the form that editors and people know: file, line, key, what is wrong.
#include "config/problem.h"

namespace pgweir::config {

std::string Problem::text() const {
  std::string out = file;
  if (line > 0) out += ":" + std::to_string(line);
  if (!key.empty()) out += ": " + key;
  return out + ": " + message;
}

}  // namespace pgweir::config
