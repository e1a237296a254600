// The kinds of values of the pool's options, with their ranges: the same in the section `pool` and in the elements of
// `databases` and `users`.
#pragma once
#include "config/codec.h"

namespace pgweir::config::pool_kinds {

inline constexpr Duration kDay = std::chrono::hours{24};

inline constexpr auto mode = [](auto field) { return choice(field); };
inline constexpr auto consistency = [](auto field) { return choice(field); };
inline constexpr auto size = [](auto field) { return number(field, 1, 100'000); };
inline constexpr auto more = [](auto field) { return number(field, 0, 100'000); };
inline constexpr auto clients = [](auto field) { return number(field, 1, 1'000'000); };
/// A time within which somebody waits.
inline constexpr auto patience = [](auto field) { return duration(field, Duration{}, kDay); };
/// A time that something may last.
inline constexpr auto lifetime = [](auto field) { return duration(field, Duration{}, 30 * kDay); };

}  // namespace pgweir::config::pool_kinds
