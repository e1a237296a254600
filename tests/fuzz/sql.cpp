// Any text through the tokenizer, the hint reader, the shape and the classifier. White space and comments between
// tokens are not part of a shape.
#include <algorithm>
#include <string>

#include "fuzz/target.h"
#include "sql/classifier.h"
#include "sql/shape.h"
#include "sql/tokenizer.h"

using namespace pgweir;

namespace {

/// Every gap between two tokens has `filler` more in it; nothing when the text cannot be cut into tokens, or when what
/// lies between two parts of a constant or before an operator counts.
std::string with_gaps_filled(std::string_view text, std::string_view filler) {
  std::string made;
  sql::Tokenizer tokenizer(text);
  std::size_t end = 0;
  for (;;) {
    const sql::Token token = tokenizer.next();
    if (token.kind == sql::TokenKind::invalid) return {};
    made += text.substr(end, token.offset - end);
    if (token.kind == sql::TokenKind::end) return made + std::string(text.substr(std::min(end, text.size())));
    if (token.offset > end && end > 0) made += filler;
    made += token.text;
    end = token.offset + token.text.size();
  }
}

void check_shape(std::string_view text) {
  const sql::Shape shape = sql::shape_of(text, 7);
  FUZZ_CHECK(sql::shape_of(text, 7).key == shape.key);
  FUZZ_CHECK(!(sql::shape_of(text, 8).key == shape.key));
  if (shape.exact) {
    FUZZ_CHECK(shape.key == sql::exact_key(text, 7));
    return;
  }
  for (const auto filler : {" ", "/* a /* nested */ comment */"}) {
    const std::string filled = with_gaps_filled(text, filler);
    if (filled.empty()) continue;
    const sql::Shape other = sql::shape_of(filled, 7);
    FUZZ_CHECK(!other.exact);
    FUZZ_CHECK(other.key == shape.key);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = fuzz::text(data, size);
  sql::Tokenizer tokenizer(text);
  std::size_t position = 0;
  for (;;) {
    const sql::Token token = tokenizer.next();
    if (token.kind == sql::TokenKind::end) break;
    FUZZ_CHECK(!token.text.empty());
    FUZZ_CHECK(token.offset >= position);
    FUZZ_CHECK(token.text == text.substr(token.offset, token.text.size()));
    position = token.offset + token.text.size();
  }
  FUZZ_CHECK(tokenizer.next().kind == sql::TokenKind::end);
  FUZZ_CHECK(fuzz::within(sql::hint_of(text).node, text));
  check_shape(text);

  // Short enough for the stack of this thread (sql/classifier.h).
  sql::ClassifierLimits limits;
  limits.max_parse_bytes = 4096;
  limits.max_parse_tokens = 500;
  limits.cache_bytes = 64 * 1024;
  static sql::Classifier classifier(limits);
  const auto first = classifier.classify(1, text);
  FUZZ_CHECK(first.entry);
  FUZZ_CHECK(!first.entry->facts.statements.empty());
  const auto again = classifier.classify(1, text);
  FUZZ_CHECK(again.entry->facts.statements.size() == first.entry->facts.statements.size());
  for (std::size_t i = 0; i < again.entry->facts.statements.size(); ++i)
    FUZZ_CHECK(again.entry->facts.statements[i].kind == first.entry->facts.statements[i].kind);
  return 0;
}
