// An always-on assertion for programming errors. Never for anything that came from the network or a file:
// those are values (`Result`), see result.h.
#pragma once

namespace pgweir::base {

/// Prints what was violated and where to stderr, then aborts.
[[noreturn]] void assertion_failed(const char* expression, const char* file, int line) noexcept;

}  // namespace pgweir::base

#define PGWEIR_ASSERT(expression) \
  ((expression) ? static_cast<void>(0) : ::pgweir::base::assertion_failed(#expression, __FILE__, __LINE__))
