// Cuts a text into tokens by PostgreSQL's lexical rules (src/backend/parser/scan.l, standard_conforming_strings on).
// Pure and without allocation; knows nothing of grammar. What it cannot read is an `invalid` token, never an error.
#pragma once
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace pgweir::sql {

enum class TokenKind : std::uint8_t {
  end,
  identifier,          ///< unquoted, keywords too; as written, not folded
  quoted_identifier,   ///< with its quotes
  unicode_identifier,  ///< U&"..."
  number,
  string,           ///< '...', E'...', $tag$...$tag$, with all parts that continue it on further lines
  unicode_string,   ///< U&'...'
  bit_string,       ///< B'...' and X'...'
  national_string,  ///< N'...'
  parameter,        ///< $1
  operator_,
  punctuation,  ///< one of , ( ) [ ] ; . : or :: := ..
  invalid,      ///< an unterminated quote or comment, a stray byte, digits with letters after them
};

struct Token {
  TokenKind kind = TokenKind::end;
  std::size_t offset = 0;
  std::string_view text;

  [[nodiscard]] bool is(char c) const noexcept {
    return kind == TokenKind::punctuation && text.size() == 1 && text[0] == c;
  }
  /// Whether this is the unquoted word `keyword` (given in lower case).
  [[nodiscard]] bool is_word(std::string_view keyword) const noexcept;
  /// A number or a string; not U&'...', nor N'...' (a cast).
  [[nodiscard]] bool is_constant() const noexcept {
    return kind == TokenKind::number || kind == TokenKind::string || kind == TokenKind::bit_string;
  }
};

class Tokenizer {
 public:
  /// How much of a word next_folded() writes, and how many bytes it may write for that.
  static constexpr std::size_t kMostFolded = 64, kFoldedRoom = kMostFolded + 16;

  explicit Tokenizer(std::string_view text, std::size_t from = 0) noexcept : text_(text), position_(from) {}
  /// Skips white space and comments. After `end` or `invalid` for an unterminated thing, `end` forever.
  Token next() noexcept;
  /// The same; when it is an identifier of at most kMostFolded bytes, they stand at `to` in lower case. Else what
  /// stands there is undefined.
  [[gnu::always_inline]] Token next_folded(char* to) noexcept {
    return move_past(cut<Folding::yes>(text_, position_, to));
  }
  [[nodiscard]] std::size_t position() const noexcept { return position_; }

 private:
  enum class Folding : std::uint8_t { no, yes };

  Token move_past(Token token) noexcept {
    position_ = token.offset + token.text.size();
    return token;
  }
  // Static, so that a tokenizer that is a local variable can live in registers.
  template <Folding kFolding>
  [[gnu::always_inline]] static Token cut(std::string_view text, std::size_t position, char* to) noexcept;
  template <Folding kFolding>
  [[gnu::always_inline]] static std::size_t length_of_word(const char* from, std::size_t size, char* to) noexcept;
  static std::size_t rest_of_word(const char* from, std::size_t size, char* to, std::size_t length) noexcept;
  static Token punctuation(std::string_view text, std::size_t begin) noexcept;
  static Token digits(std::string_view text, std::size_t begin) noexcept;
  static Token make(TokenKind kind, std::string_view text, std::size_t begin, std::size_t end) noexcept {
    return {kind, begin, {text.data() + begin, end - begin}};
  }
  static Token quoted(TokenKind kind, std::string_view text, std::size_t begin, std::size_t quote) noexcept;
  static Token prefixed(std::string_view text, std::size_t begin) noexcept;
  static Token number(std::string_view text, std::size_t begin) noexcept;
  static Token operators(std::string_view text, std::size_t begin) noexcept;
  static Token dollar(std::string_view text, std::size_t begin) noexcept;
  static Token rare(std::string_view text, std::size_t begin) noexcept;

  std::string_view text_;
  std::size_t position_;
};

/// ASCII only, as PostgreSQL folds identifiers in multi-byte encodings.
[[nodiscard]] constexpr char fold(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

/// Where a comment that begins at `position` ends; npos when it is not terminated; `position` when none begins there.
[[nodiscard]] std::size_t end_of_comment(std::string_view text, std::size_t position) noexcept;

/// What a byte can be in PostgreSQL's lexical rules: bits, so that one look answers any question.
struct ByteClass {
  enum : std::uint8_t {
    space = 1,
    ident_start = 2,
    ident_part = 4,
    digit = 8,
    operator_ = 16,
    sign_may_follow = 32,  ///< an operator with one of these may end in + or -
    punctuation = 64,
  };
  static constexpr std::array<std::uint8_t, 256> make() {
    std::array<std::uint8_t, 256> classes{};
    const auto add = [&classes](std::string_view bytes, unsigned bits) {
      for (const char c : bytes) classes[static_cast<unsigned char>(c)] |= static_cast<std::uint8_t>(bits);
    };
    for (std::size_t c = 0x80; c < 0x100; ++c) classes[c] = ident_start | ident_part;
    add("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_", ident_start | ident_part);
    add("0123456789", ident_part | digit);
    add("$", ident_part);
    add("~!@#^&|`?+-*/%<>=", operator_);
    add("~!@#%^&|`?", sign_may_follow);
    add(",()[];.:", punctuation);
    add(" \t\n\r\f", space);
    return classes;
  }
  static const std::array<std::uint8_t, 256> kOf;
};
inline constexpr std::array<std::uint8_t, 256> ByteClass::kOf = ByteClass::make();

[[nodiscard]] constexpr bool is(char c, unsigned classes) noexcept {
  return (ByteClass::kOf[static_cast<unsigned char>(c)] & classes) != 0;
}
[[nodiscard]] constexpr bool is_space(char c) noexcept { return is(c, ByteClass::space); }

// What nearly all tokens are is here, to be inlined where texts are cut by the million; the rest is in the source.

/// Eight or sixteen bytes at a time, as vectors of GCC and clang: byte by byte there would be a branch each, hard to
/// predict.
template <std::size_t kCount>
struct Lanes {
  using Vector [[gnu::vector_size(kCount)]] = std::uint8_t;

  explicit Lanes(const char* from) noexcept { std::memcpy(&bytes, from, kCount); }
  [[nodiscard]] auto letters() const noexcept { return (bytes | 0x20) - 'a' < Vector{} + 26; }
  /// How many of them, from the first, are parts of names.
  [[nodiscard]] std::size_t parts_of_names() const noexcept {
    return first_of(~(letters() | (bytes - '0' < Vector{} + 10) | (bytes == '_') | (bytes == '$') | (bytes >= 0x80)));
  }
  /// How many of them, from the first, are neither quotes nor backslashes nor zero bytes.
  [[nodiscard]] std::size_t plain() const noexcept {
    return first_of((bytes == '\'') | (bytes == '"') | (bytes == '\\') | (bytes == 0));
  }
  /// Bit 5 makes an ASCII letter a small one.
  void fold_to(char* to) const noexcept {
    const Vector folded = bytes | (reinterpret_cast<Vector>(letters()) & 0x20);
    std::memcpy(to, &folded, kCount);
  }
  template <class Mask>
  static std::size_t first_of(Mask mask) noexcept {
    std::array<std::uint64_t, kCount / 8> halves{};
    std::memcpy(halves.data(), &mask, kCount);
    const auto zeros = [](std::uint64_t half) {
      return static_cast<unsigned>(std::endian::native == std::endian::little ? std::countr_zero(half)
                                                                              : std::countl_zero(half));
    };
    if (kCount == 8 || halves[0] != 0) return zeros(halves[0]) / 8;
    return 8 + zeros(halves[kCount / 8 - 1]) / 8;
  }

  Vector bytes;
};

template <Tokenizer::Folding kFolding>
inline std::size_t Tokenizer::length_of_word(const char* from, std::size_t size, char* to) noexcept {
  std::size_t length = 0;
  if (size > 16) {
    const Lanes<16> lanes(from);
    if constexpr (kFolding == Folding::yes) lanes.fold_to(to);
    length = lanes.parts_of_names();
    if (length < 16 || !is(from[16], ByteClass::ident_part)) return length;
  } else if (size >= 8) {
    const Lanes<8> lanes(from);
    if constexpr (kFolding == Folding::yes) lanes.fold_to(to);
    length = lanes.parts_of_names();
    if (length < 8) return length;
  }
  return rest_of_word(from, size, to, length);
}

template <Tokenizer::Folding kFolding>
inline Token Tokenizer::cut(std::string_view text, std::size_t position, char* to) noexcept {
  for (;;) {
    while (position < text.size() && is_space(text[position])) ++position;
    if (position >= text.size()) return {TokenKind::end, text.size(), {}};
    const char c = text[position];
    if (is(c, ByteClass::ident_start)) {
      const std::size_t end = position + length_of_word<kFolding>(text.data() + position, text.size() - position, to);
      // E'...', B'...', X'...', N'...', U&'...', U&"..."
      if (end == position + 1 && end < text.size() && (text[end] == '\'' || text[end] == '&'))
        return prefixed(text, position);
      return make(TokenKind::identifier, text, position, end);
    }
    if (is(c, ByteClass::punctuation)) return punctuation(text, position);
    if (is(c, ByteClass::digit)) return digits(text, position);
    if (c == '"' && text.size() - position > 16) {
      const std::size_t quote = position + 1 + Lanes<16>(text.data() + position + 1).plain();
      if (quote + 1 < text.size() && text[quote] == '"' && text[quote + 1] != '"')
        return make(TokenKind::quoted_identifier, text, position, quote + 1);
    }
    if (!is(c, ByteClass::operator_)) return rare(text, position);
    const bool alone = position + 1 >= text.size() || !is(text[position + 1], ByteClass::operator_);
    if (alone) return make(TokenKind::operator_, text, position, position + 1);
    const std::size_t end = end_of_comment(text, position);
    if (end == position) return operators(text, position);
    if (end == std::string_view::npos) return make(TokenKind::invalid, text, position, text.size());
    position = end;
  }
}

inline Token Tokenizer::punctuation(std::string_view text, std::size_t begin) noexcept {
  const char c = text[begin];
  if ((c == ':' || c == '.') && begin + 1 < text.size()) {
    const char after = text[begin + 1];
    if (c == '.' && is(after, ByteClass::digit)) return number(text, begin);
    if (after == c || (c == ':' && after == '=')) return make(TokenKind::punctuation, text, begin, begin + 2);
  }
  return make(TokenKind::punctuation, text, begin, begin + 1);
}

inline Token Tokenizer::digits(std::string_view text, std::size_t begin) noexcept {
  std::size_t end = begin + 1;
  while (end < text.size() && is(text[end], ByteClass::digit)) ++end;
  if (end < text.size() && (text[end] == '.' || is(text[end], ByteClass::ident_start))) return number(text, begin);
  return make(TokenKind::number, text, begin, end);
}

}  // namespace pgweir::sql
