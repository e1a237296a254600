// The end of a process that has found itself wrong; see assertion.h.
#include "base/assertion.h"

#include <cstdio>
#include <cstdlib>

namespace pgweir::base {

void assertion_failed(const char* expression, const char* file, int line) noexcept {
  std::fprintf(stderr, "pgweir: assertion failed: %s (%s:%d)\n", expression, file, line);
  std::fflush(stderr);
  std::abort();
}

}  // namespace pgweir::base
