// Hints: /* pgweir: primary */ and its kin, only in comments that stand before the first token. They are read from each
// text anew, never cached: two texts of one shape may carry different hints.
#include "sql/classifier.h"
#include "sql/tokenizer.h"

namespace pgweir::sql {
namespace {

std::string_view trimmed(std::string_view text) noexcept {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

/// `body` is what stands between the comment's marks.
Hint read_hint(std::string_view body) {
  constexpr std::string_view kMark = "pgweir:";
  body = trimmed(body);
  if (!body.starts_with(kMark)) return {};
  body = trimmed(body.substr(kMark.size()));
  if (body == "primary") return {Hint::Kind::primary, {}};
  if (body == "standby") return {Hint::Kind::standby, {}};
  if (body.starts_with("node")) {
    std::string_view rest = trimmed(body.substr(4));
    if (rest.starts_with('=')) {
      rest = trimmed(rest.substr(1));
      if (!rest.empty() && rest.find_first_of(" \t\r\n\f") == std::string_view::npos) return {Hint::Kind::node, rest};
    }
  }
  return {Hint::Kind::invalid, {}};
}

}  // namespace

Hint hint_of(std::string_view text) {
  std::size_t position = 0;
  while (position < text.size()) {
    if (is_space(text[position])) {
      ++position;
      continue;
    }
    const std::size_t end = end_of_comment(text, position);
    if (end == position || end == std::string_view::npos) break;
    std::string_view body = text.substr(position + 2, end - position - 2);
    if (text[position] == '/') body.remove_suffix(2);
    const Hint hint = read_hint(body);
    if (hint.kind != Hint::Kind::none) return hint;
    position = end;
  }
  return {};
}

}  // namespace pgweir::sql
