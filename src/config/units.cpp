// Durations, sizes, booleans and numbers from text and back; one table per kind of unit.
#include "config/units.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <span>
#include <system_error>

#include "fmt/format.h"

namespace pgweir::config {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

// Smallest first; microseconds.
constexpr std::array kDuration{Unit{"us", 1},           Unit{"ms", 1'000},           Unit{"s", 1'000'000},
                               Unit{"min", 60'000'000}, Unit{"h", 3'600'000'000ULL}, Unit{"d", 86'400'000'000ULL}};
// Smallest first; bytes.
constexpr std::array kSize{Unit{"B", 1}, Unit{"kB", kKiB}, Unit{"MB", kMiB}, Unit{"GB", kGiB}};

// Both fit a signed 64-bit count with room to spare for arithmetic on them.
constexpr std::uint64_t kLargest = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) / 4;

Parsed<std::uint64_t> parse_with_unit(std::string_view text, std::span<const Unit> units) {
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  if (digits == 0) return tl::unexpected<std::string>("it does not begin with a digit");
  auto count = parse_whole(text.substr(0, digits));
  if (!count) return count;
  std::string_view unit = text.substr(digits);
  if (unit.starts_with(' ')) unit.remove_prefix(1);
  if (unit.empty()) {
    if (*count == 0) return 0;
    return tl::unexpected<std::string>("it has no unit");
  }
  if (unit.starts_with('.')) return tl::unexpected<std::string>("it is not a whole number");
  for (const Unit& known : units) {
    if (known.name != unit) continue;
    if (*count > kLargest / known.factor) return tl::unexpected<std::string>("it is too large");
    return *count * known.factor;
  }
  return tl::unexpected(fmt::format("{} is not a unit", in_quotes(unit)));
}

std::string format_with_unit(std::uint64_t value, std::span<const Unit> units) {
  if (value == 0) return "0";
  const auto unit = std::find_if(units.rbegin(), units.rend(), [&](const Unit& u) { return value % u.factor == 0; });
  return fmt::format("{}{}", value / unit->factor, unit->name);
}

}  // namespace

Parsed<Duration> parse_duration(std::string_view text) {
  return parse_with_unit(text, kDuration).map([](std::uint64_t count) {
    return Duration{static_cast<Duration::rep>(count)};
  });
}

std::string format_duration(Duration value) {
  return format_with_unit(static_cast<std::uint64_t>(std::max<Duration::rep>(value.count(), 0)), kDuration);
}

Parsed<std::size_t> parse_size(std::string_view text) {
  return parse_with_unit(text, kSize).map([](std::uint64_t count) { return static_cast<std::size_t>(count); });
}

std::string format_size(std::size_t bytes) { return format_with_unit(bytes, kSize); }

Parsed<bool> parse_bool(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  for (const std::string_view word : {"true", "on", "yes"})
    if (lower == word) return true;
  for (const std::string_view word : {"false", "off", "no"})
    if (lower == word) return false;
  return tl::unexpected<std::string>("it is neither true nor false");
}

Parsed<std::uint64_t> parse_whole(std::string_view text, int base) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error == std::errc::result_out_of_range) return tl::unexpected<std::string>("it is too large");
  if (error != std::errc{} || end != text.data() + text.size())
    return tl::unexpected<std::string>(base == 8 ? "it is not an octal number" : "it is not a whole number");
  return value;
}

std::string in_quotes(std::string_view text) {
  constexpr std::size_t kLongest = 80;
  std::string out = "\"";
  for (const char c : text.substr(0, kLongest)) {
    if (c == '"' || c == '\\')
      out += {'\\', c};
    else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    else
      out += c;
  }
  return out + (text.size() > kLongest ? "...\"" : "\"");
}

}  // namespace pgweir::config
