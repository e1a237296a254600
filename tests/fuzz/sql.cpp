// Any text through the tokenizer, the hint reader and the classifier.
#include "fuzz/target.h"
#include "sql/classifier.h"
#include "sql/tokenizer.h"

using namespace pgweir;

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
