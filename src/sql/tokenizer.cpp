// The rules follow PostgreSQL's scan.l; the names of its rules are given where they are not obvious.
#include "sql/tokenizer.h"

#include <array>

namespace pgweir::sql {
namespace {

constexpr std::size_t npos = std::string_view::npos;

enum : std::uint8_t { kIdentStart = 1, kIdentPart = 2, kDigit = 4, kOperator = 8, kPunctuation = 16 };

constexpr std::array<std::uint8_t, 256> make_classes() {
  std::array<std::uint8_t, 256> classes{};
  for (std::size_t c = 0; c < 256; ++c) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80)
      classes[c] = kIdentStart | kIdentPart;
    if (c >= '0' && c <= '9') classes[c] = kIdentPart | kDigit;
  }
  classes[static_cast<std::size_t>('$')] = kIdentPart;
  for (const char c : std::string_view("~!@#^&|`?+-*/%<>=")) classes[static_cast<std::size_t>(c)] = kOperator;
  for (const char c : std::string_view(",()[];.:")) classes[static_cast<std::size_t>(c)] = kPunctuation;
  return classes;
}
constexpr auto kClasses = make_classes();

bool is(char c, std::uint8_t classes) noexcept { return (kClasses[static_cast<unsigned char>(c)] & classes) != 0; }

/// Past the closing quote of a quote opened at `quote`; npos when unterminated.
std::size_t end_of_quoted(std::string_view text, std::size_t quote, bool backslashes) noexcept {
  const char mark = text[quote];
  for (std::size_t i = quote + 1; i < text.size(); ++i) {
    if (text[i] == '\0') return npos;
    if (backslashes && text[i] == '\\') {
      ++i;
    } else if (text[i] == mark) {
      if (i + 1 >= text.size() || text[i + 1] != mark) return i + 1;
      ++i;
    }
  }
  return npos;
}

/// quotecontinue: a string goes on after white space that has a line break in it (and perhaps -- comments).
std::size_t continuation(std::string_view text, std::size_t position) noexcept {
  bool line_break = false;
  while (position < text.size()) {
    if (text[position] == '\n' || text[position] == '\r') line_break = true;
    if (is_space(text[position])) {
      ++position;
    } else if (text[position] == '-' && position + 1 < text.size() && text[position + 1] == '-') {
      position = end_of_comment(text, position);
    } else {
      break;
    }
  }
  return line_break && position < text.size() && text[position] == '\'' ? position : npos;
}

}  // namespace

bool Token::is_word(std::string_view keyword) const noexcept {
  if (kind != TokenKind::identifier || text.size() != keyword.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (fold(text[i]) != keyword[i]) return false;
  }
  return true;
}

bool Token::is_constant() const noexcept {
  return kind == TokenKind::number || kind == TokenKind::string || kind == TokenKind::bit_string;
}

std::size_t end_of_comment(std::string_view text, std::size_t position) noexcept {
  if (position + 1 >= text.size()) return position;
  if (text[position] == '-' && text[position + 1] == '-') {
    const std::size_t end = text.find_first_of("\n\r", position);
    return end == npos ? text.size() : end;
  }
  if (text[position] != '/' || text[position + 1] != '*') return position;
  std::size_t depth = 1;
  for (std::size_t i = position + 2; i + 1 < text.size(); ++i) {
    if (text[i] == '/' && text[i + 1] == '*') {
      ++depth;
      ++i;
    } else if (text[i] == '*' && text[i + 1] == '/') {
      ++i;
      if (--depth == 0) return i + 1;
    }
  }
  return npos;
}

Token Tokenizer::make(TokenKind kind, std::size_t begin, std::size_t end) noexcept {
  position_ = end;
  return {kind, begin, text_.substr(begin, end - begin)};
}

Token Tokenizer::next() noexcept {
  while (position_ < text_.size()) {
    if (is_space(text_[position_])) {
      ++position_;
      continue;
    }
    if (text_[position_] != '-' && text_[position_] != '/') break;
    const std::size_t end = end_of_comment(text_, position_);
    if (end == position_) break;
    if (end == npos) return make(TokenKind::invalid, position_, text_.size());
    position_ = end;
  }
  const std::size_t begin = position_;
  if (begin >= text_.size()) return {TokenKind::end, text_.size(), {}};
  const char c = text_[begin];
  if (is(c, kIdentStart)) return word(begin);
  if (c == '\'') return quoted(TokenKind::string, begin, begin);
  if (c == '"') return quoted(TokenKind::quoted_identifier, begin, begin);
  if (c == '$') return dollar(begin);
  if (is(c, kDigit) || (c == '.' && begin + 1 < text_.size() && is(text_[begin + 1], kDigit))) return number(begin);
  return symbol(begin);
}

Token Tokenizer::quoted(TokenKind kind, std::size_t begin, std::size_t quote) noexcept {
  const bool backslashes = kind == TokenKind::string && quote != begin;
  std::size_t end = end_of_quoted(text_, quote, backslashes);
  while (end != npos && text_[quote] == '\'') {
    const std::size_t more = continuation(text_, end);
    if (more == npos) break;
    end = end_of_quoted(text_, more, backslashes);
  }
  return end == npos ? make(TokenKind::invalid, begin, text_.size()) : make(kind, begin, end);
}

Token Tokenizer::word(std::size_t begin) noexcept {
  const char after = begin + 1 < text_.size() ? text_[begin + 1] : '\0';
  if (after == '\'') {
    switch (fold(text_[begin])) {
      case 'e': return quoted(TokenKind::string, begin, begin + 1);
      case 'b':
      case 'x': return quoted(TokenKind::bit_string, begin, begin + 1);
      case 'n': return quoted(TokenKind::national_string, begin, begin + 1);
      default: break;
    }
  }
  if (after == '&' && fold(text_[begin]) == 'u' && begin + 2 < text_.size()) {
    if (text_[begin + 2] == '\'') return quoted(TokenKind::unicode_string, begin, begin + 2);
    if (text_[begin + 2] == '"') return quoted(TokenKind::unicode_identifier, begin, begin + 2);
  }
  std::size_t end = begin + 1;
  while (end < text_.size() && is(text_[end], kIdentPart)) ++end;
  return make(TokenKind::identifier, begin, end);
}

Token Tokenizer::number(std::size_t begin) noexcept {
  const auto digits = [this](std::size_t i) {
    while (i < text_.size() && is(text_[i], kDigit)) ++i;
    return i;
  };
  std::size_t end = digits(begin);
  // "1..10" is three tokens; "1.5" and "1." are one.
  if (end < text_.size() && text_[end] == '.' && !(end > begin && end + 1 < text_.size() && text_[end + 1] == '.')) {
    end = digits(end + 1);
  }
  if (end < text_.size() && fold(text_[end]) == 'e') {
    std::size_t exponent = end + 1;
    if (exponent < text_.size() && (text_[exponent] == '+' || text_[exponent] == '-')) ++exponent;
    if (exponent < text_.size() && is(text_[exponent], kDigit)) end = digits(exponent);
  }
  if (end >= text_.size() || !is(text_[end], kIdentStart)) return make(TokenKind::number, begin, end);
  while (end < text_.size() && is(text_[end], kIdentPart)) ++end;  // 0x1F, 1_000, 12abc: versions differ
  return make(TokenKind::invalid, begin, end);
}

Token Tokenizer::dollar(std::size_t begin) noexcept {
  std::size_t end = begin + 1;
  while (end < text_.size() && is(text_[end], kDigit)) ++end;
  if (end > begin + 1) {
    const bool junk = end < text_.size() && is(text_[end], kIdentStart);
    return make(junk ? TokenKind::invalid : TokenKind::parameter, begin, end);
  }
  if (end < text_.size() && is(text_[end], kIdentStart)) {
    while (end < text_.size() && is(text_[end], kIdentPart) && text_[end] != '$') ++end;
  }
  if (end >= text_.size() || text_[end] != '$') return make(TokenKind::invalid, begin, begin + 1);
  const std::string_view tag = text_.substr(begin, end + 1 - begin);
  const std::size_t close = text_.find(tag, end + 1);
  if (close == npos || text_.substr(begin, close - begin).find('\0') != npos) {
    return make(TokenKind::invalid, begin, text_.size());
  }
  return make(TokenKind::string, begin, close + tag.size());
}

Token Tokenizer::symbol(std::size_t begin) noexcept {
  const char c = text_[begin];
  if (is(c, kPunctuation)) {
    const char after = begin + 1 < text_.size() ? text_[begin + 1] : '\0';
    const bool pair = (c == ':' && (after == ':' || after == '=')) || (c == '.' && after == '.');
    return make(TokenKind::punctuation, begin, begin + (pair ? 2 : 1));
  }
  if (!is(c, kOperator)) return make(TokenKind::invalid, begin, begin + 1);
  std::size_t end = begin + 1;
  while (end < text_.size() && is(text_[end], kOperator) && end_of_comment(text_, end) == end) ++end;
  // An operator may end in + or - only if it has one of these characters; else the sign belongs to what follows.
  if (text_.substr(begin, end - begin).find_first_of("~!@#%^&|`?") == npos) {
    while (end - begin > 1 && (text_[end - 1] == '+' || text_[end - 1] == '-')) --end;
  }
  return make(TokenKind::operator_, begin, end);
}

}  // namespace pgweir::sql
