// Network byte order, unaligned.
#pragma once
#include <bit>
#include <cstdint>
#include <cstring>

namespace pgweir::base {

static_assert(std::endian::native == std::endian::little, "pgweir is built for little-endian machines");

inline std::uint16_t load_be16(const char* at) noexcept {
  std::uint16_t raw;
  std::memcpy(&raw, at, sizeof raw);
  return __builtin_bswap16(raw);
}
inline std::uint32_t load_be32(const char* at) noexcept {
  std::uint32_t raw;
  std::memcpy(&raw, at, sizeof raw);
  return __builtin_bswap32(raw);
}
inline void store_be16(char* at, std::uint16_t value) noexcept {
  value = __builtin_bswap16(value);
  std::memcpy(at, &value, sizeof value);
}
inline void store_be32(char* at, std::uint32_t value) noexcept {
  value = __builtin_bswap32(value);
  std::memcpy(at, &value, sizeof value);
}

}  // namespace pgweir::base
