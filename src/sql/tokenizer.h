// Cuts a text into tokens by PostgreSQL's lexical rules (src/backend/parser/scan.l, standard_conforming_strings on).
// Pure and without allocation; knows nothing of grammar. What it cannot read is an `invalid` token, never an error.
#pragma once
#include <cstddef>
#include <cstdint>
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
  [[nodiscard]] bool is_constant() const noexcept;  ///< a number or a string; not U&'...', nor N'...' (a cast)
};

class Tokenizer {
 public:
  explicit Tokenizer(std::string_view text, std::size_t from = 0) noexcept : text_(text), position_(from) {}
  /// Skips white space and comments. After `end` or `invalid` for an unterminated thing, `end` forever.
  Token next() noexcept;
  [[nodiscard]] std::size_t position() const noexcept { return position_; }

 private:
  Token make(TokenKind kind, std::size_t begin, std::size_t end) noexcept;
  Token quoted(TokenKind kind, std::size_t begin, std::size_t quote) noexcept;
  Token dollar(std::size_t begin) noexcept;
  Token number(std::size_t begin) noexcept;
  Token word(std::size_t begin) noexcept;
  Token symbol(std::size_t begin) noexcept;

  std::string_view text_;
  std::size_t position_;
};

/// ASCII only, as PostgreSQL folds identifiers in multi-byte encodings.
[[nodiscard]] constexpr char fold(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

/// Where a comment that begins at `position` ends; npos when it is not terminated; `position` when none begins there.
[[nodiscard]] std::size_t end_of_comment(std::string_view text, std::size_t position) noexcept;
[[nodiscard]] constexpr bool is_space(char c) noexcept {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

}  // namespace pgweir::sql
