// Values as people write them: durations with a unit, sizes with a unit, booleans, whole numbers. Strict: nothing is
// guessed, nothing is rounded, nothing overflows. What is formatted reads back as the same value.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "config/settings.h"
#include "tl/expected.hpp"

namespace pgweir::config {

/// The error is a short reason ("it has no unit"); the caller adds what was found and what is allowed.
template <class T>
using Parsed = tl::expected<T, std::string>;

inline constexpr std::string_view kDurationUnits = "us, ms, s, min, h, d";
inline constexpr std::string_view kSizeUnits = "B, kB, MB, GB";

/// A whole number with one of kDurationUnits, as PostgreSQL writes them; a bare 0 is allowed.
[[nodiscard]] Parsed<Duration> parse_duration(std::string_view text);
/// With the largest unit that divides it: "10min", "1500ms", "0".
[[nodiscard]] std::string format_duration(Duration value);

/// Bytes; a whole number with one of kSizeUnits (1kB is 1024B, as in PostgreSQL); a bare 0 is allowed.
[[nodiscard]] Parsed<std::size_t> parse_size(std::string_view text);
[[nodiscard]] std::string format_size(std::size_t bytes);

/// true, on, yes; false, off, no; in any case.
[[nodiscard]] Parsed<bool> parse_bool(std::string_view text);

/// Digits in `base` (8 or 10) and nothing else.
[[nodiscard]] Parsed<std::uint64_t> parse_whole(std::string_view text, int base = 10);

/// The value as shown in a message: in quotes, control characters escaped, cut when long.
[[nodiscard]] std::string in_quotes(std::string_view text);

/// "a, b, c" of a list of texts.
template <class List>
[[nodiscard]] std::string comma_list(const List& texts) {
  std::string out;
  for (const auto& text : texts) {
    if (!out.empty()) out += ", ";
    out += text;
  }
  return out;
}

}  // namespace pgweir::config
