// The rules follow PostgreSQL's scan.l; the names of its rules are given where they are not obvious.
#include "sql/tokenizer.h"

#include <algorithm>

namespace pgweir::sql {
namespace {

constexpr std::size_t npos = std::string_view::npos;

/// Past the closing quote of a quote opened at `quote`; npos when unterminated.
std::size_t end_of_quoted(std::string_view text, std::size_t quote, bool backslashes) noexcept {
  const char mark = text[quote];
  for (std::size_t i = quote + 1; i < text.size(); ++i) {
    while (text.size() - i >= 16) {
      const std::size_t plain = Lanes<16>(text.data() + i).plain();
      i += plain;
      if (plain < 16) break;
    }
    if (i == text.size() || text[i] == '\0') return npos;
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

Token Tokenizer::next() noexcept { return move_past(cut<Folding::no>(text_, position_, nullptr)); }

std::size_t Tokenizer::rest_of_word(const char* from, std::size_t size, char* to, std::size_t length) noexcept {
  while (size - length >= 16 && length < kMostFolded) {
    const Lanes<16> lanes(from + length);
    if (to != nullptr) lanes.fold_to(to + length);
    const std::size_t parts = lanes.parts_of_names();
    length += parts;
    if (parts < 16) return length;
  }
  for (; length < size && is(from[length], ByteClass::ident_part); ++length) {
    if (to != nullptr && length < kMostFolded) to[length] = fold(from[length]);
  }
  return length;
}

Token Tokenizer::rare(std::string_view text, std::size_t begin) noexcept {
  switch (text[begin]) {
    case '\'': return quoted(TokenKind::string, text, begin, begin);
    case '"': return quoted(TokenKind::quoted_identifier, text, begin, begin);
    case '$': return dollar(text, begin);
    default: return make(TokenKind::invalid, text, begin, begin + 1);
  }
}

Token Tokenizer::quoted(TokenKind kind, std::string_view text, std::size_t begin, std::size_t quote) noexcept {
  const bool backslashes = kind == TokenKind::string && quote != begin;
  std::size_t end = end_of_quoted(text, quote, backslashes);
  while (end != npos && text[quote] == '\'') {
    const std::size_t more = continuation(text, end);
    if (more == npos) break;
    end = end_of_quoted(text, more, backslashes);
  }
  return end == npos ? make(TokenKind::invalid, text, begin, text.size()) : make(kind, text, begin, end);
}

/// A letter with a quote or an ampersand after it.
Token Tokenizer::prefixed(std::string_view text, std::size_t begin) noexcept {
  const char letter = fold(text[begin]);
  if (text[begin + 1] == '\'') {
    switch (letter) {
      case 'e': return quoted(TokenKind::string, text, begin, begin + 1);
      case 'b':
      case 'x': return quoted(TokenKind::bit_string, text, begin, begin + 1);
      case 'n': return quoted(TokenKind::national_string, text, begin, begin + 1);
      default: break;
    }
  } else if (letter == 'u' && begin + 2 < text.size()) {
    if (text[begin + 2] == '\'') return quoted(TokenKind::unicode_string, text, begin, begin + 2);
    if (text[begin + 2] == '"') return quoted(TokenKind::unicode_identifier, text, begin, begin + 2);
  }
  return make(TokenKind::identifier, text, begin, begin + 1);
}

Token Tokenizer::number(std::string_view text, std::size_t begin) noexcept {
  const auto digits = [text](std::size_t i) {
    while (i < text.size() && is(text[i], ByteClass::digit)) ++i;
    return i;
  };
  std::size_t end = digits(begin);
  // "1..10" is three tokens; "1.5" and "1." are one.
  if (end < text.size() && text[end] == '.' && !(end > begin && end + 1 < text.size() && text[end + 1] == '.')) {
    end = digits(end + 1);
  }
  if (end < text.size() && fold(text[end]) == 'e') {
    std::size_t exponent = end + 1;
    if (exponent < text.size() && (text[exponent] == '+' || text[exponent] == '-')) ++exponent;
    if (exponent < text.size() && is(text[exponent], ByteClass::digit)) end = digits(exponent);
  }
  if (end >= text.size() || !is(text[end], ByteClass::ident_start)) return make(TokenKind::number, text, begin, end);
  while (end < text.size() && is(text[end], ByteClass::ident_part)) ++end;  // 0x1F, 1_000, 12abc: versions differ
  return make(TokenKind::invalid, text, begin, end);
}

Token Tokenizer::dollar(std::string_view text, std::size_t begin) noexcept {
  std::size_t end = begin + 1;
  while (end < text.size() && is(text[end], ByteClass::digit)) ++end;
  if (end > begin + 1) {
    const bool junk = end < text.size() && is(text[end], ByteClass::ident_start);
    return make(junk ? TokenKind::invalid : TokenKind::parameter, text, begin, end);
  }
  if (end < text.size() && is(text[end], ByteClass::ident_start)) {
    while (end < text.size() && is(text[end], ByteClass::ident_part) && text[end] != '$') ++end;
  }
  if (end >= text.size() || text[end] != '$') return make(TokenKind::invalid, text, begin, begin + 1);
  const std::string_view tag = text.substr(begin, end + 1 - begin);
  const std::size_t close = text.find(tag, end + 1);
  if (close == npos || text.substr(begin, close - begin).find('\0') != npos) {
    return make(TokenKind::invalid, text, begin, text.size());
  }
  return make(TokenKind::string, text, begin, close + tag.size());
}

Token Tokenizer::operators(std::string_view text, std::size_t begin) noexcept {
  std::size_t end = begin + 1;
  while (end < text.size() && is(text[end], ByteClass::operator_) && end_of_comment(text, end) == end) ++end;
  const auto sign_may_follow = [](char c) { return is(c, ByteClass::sign_may_follow); };
  // An operator may end in + or - only if it has one of certain characters; else the sign belongs to what follows.
  if (std::none_of(text.data() + begin, text.data() + end, sign_may_follow)) {
    while (end - begin > 1 && (text[end - 1] == '+' || text[end - 1] == '-')) --end;
  }
  return make(TokenKind::operator_, text, begin, end);
}

}  // namespace pgweir::sql
