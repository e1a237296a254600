// The shape of a text: its tokens without constants, comments and white space, as a 128-bit key. Texts of one shape
// have parse trees that differ in constants only, and so share their facts. Pure; never allocates; never parses.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>

namespace pgweir::sql {

struct ShapeKey {
  std::uint64_t low = 0, high = 0;
  friend bool operator==(const ShapeKey&, const ShapeKey&) = default;
};

struct Shape {
  ShapeKey key;
  /// The key covers the whole text as it stands: statements other than SELECT and the like, several statements in one
  /// text, and what the tokenizer cannot read or what has constants that change names (U&"...").
  bool exact = false;
};

/// `seed` separates the keys of databases (and of processes).
[[nodiscard]] Shape shape_of(std::string_view text, std::uint64_t seed);
[[nodiscard]] ShapeKey exact_key(std::string_view text, std::uint64_t seed);

}  // namespace pgweir::sql

template <>
struct std::hash<pgweir::sql::ShapeKey> {
  std::size_t operator()(const pgweir::sql::ShapeKey& key) const noexcept { return key.low; }
};
