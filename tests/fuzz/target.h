// What the fuzz targets share. Each is one file with LLVMFuzzerTestOneInput; libFuzzer drives it, or driver.cpp.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

// Unlike an assertion, also there in a build without them.
#define FUZZ_CHECK(condition)                                                             \
  do {                                                                                    \
    if (!(condition)) {                                                                   \
      std::fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                       \
    }                                                                                     \
  } while (false)

namespace pgweir::fuzz {

inline std::string_view text(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// What passes between the peers, on stderr, when PGWEIR_FUZZ_TRACE is set.
inline void trace(const char* what, std::string_view bytes) {
  static const bool traces = std::getenv("PGWEIR_FUZZ_TRACE") != nullptr;
  if (!traces || bytes.empty()) return;
  std::fprintf(stderr, "%s ", what);
  for (const char c : bytes) {
    if (c >= ' ' && c <= '~')
      std::fputc(c, stderr);
    else
      std::fprintf(stderr, "\\%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
  }
  std::fputc('\n', stderr);
}

/// Whether `part` lies within `whole`: decoders hand out views, never copies of what is not there.
inline bool within(std::string_view part, std::string_view whole) {
  return part.empty() || (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

}  // namespace pgweir::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
