// A text's facts: bounds first, then pgweir's own statements, then the parser. What the parser may not see because it
// is too long is judged by the first word of each statement alone.
#include <array>

#include "sql/classifier.h"
#include "sql/parse_tree.h"
#include "sql/tokenizer.h"
#include "sql/utility_facts.h"

namespace pgweir::sql {
namespace {

QueryFacts single(StatementFacts statement, std::string problem = {}) {
  QueryFacts facts;
  facts.exact = true;
  facts.problem = std::move(problem);
  facts.statements.push_back(std::move(statement));
  return facts;
}

StatementFacts whole(std::string_view text, StatementKind kind) {
  StatementFacts statement;
  statement.kind = kind;
  statement.length = text.size();
  return statement;
}

bool too_long(std::string_view text, const ClassifierLimits& limits) {
  if (text.size() > limits.max_parse_bytes) return true;
  Tokenizer tokens(text);
  for (std::size_t count = 0; tokens.next().kind != TokenKind::end; ++count) {
    if (count >= limits.max_parse_tokens) return true;
  }
  return false;
}

bool begins_data_statement(const Token& token) {
  constexpr std::array<std::string_view, 8> kWords = {"select", "insert", "update", "delete",
                                                      "values", "with",   "table",  "merge"};
  if (token.is('(')) return true;
  for (const std::string_view word : kWords) {
    if (token.is_word(word)) return true;
  }
  return false;
}

/// `write` when every statement begins as one that reads or writes data, else `unknown`.
QueryFacts facts_of_long(std::string_view text) {
  Tokenizer tokens(text);
  bool at_start = true;
  std::size_t depth = 0;
  StatementKind kind = StatementKind::write;
  for (Token token = tokens.next(); token.kind != TokenKind::end; token = tokens.next()) {
    if (token.kind == TokenKind::invalid) {
      kind = StatementKind::unknown;
      break;
    }
    if (token.is(';') && depth == 0) {
      at_start = true;
      continue;
    }
    if (at_start && !begins_data_statement(token)) {
      kind = StatementKind::unknown;
      break;
    }
    at_start = false;
    if (token.is('(')) ++depth;
    if (token.is(')') && depth > 0) --depth;
  }
  return single(whole(text, kind), "the text is too long to be parsed");
}

/// EXPLAIN ROUTE <statement>: PostgreSQL does not know it.
std::optional<StatementFacts> explain_route(std::string_view text) {
  Tokenizer tokens(text);
  constexpr std::string_view kRoute = "route";
  const Token first = tokens.next();
  if (!first.is_word("explain")) return std::nullopt;
  const Token route = tokens.next();
  if (!route.is_word(kRoute)) return std::nullopt;
  StatementFacts statement;
  statement.kind = StatementKind::explain_route;
  statement.offset = first.offset;
  statement.length = text.size() - first.offset;
  // Comments before the statement belong to it: they may be hints.
  statement.inner_offset = route.offset + kRoute.size();
  return statement;
}

/// PREPARE name [(types)] AS statement: where the statement begins, from the start of the text.
std::size_t after_as(std::string_view text, std::size_t from) {
  Tokenizer tokens(text, from);
  std::size_t depth = 0;
  tokens.next();  // PREPARE
  tokens.next();  // the name, which may be "as"
  for (Token token = tokens.next(); token.kind != TokenKind::end; token = tokens.next()) {
    if (token.is('(')) ++depth;
    if (token.is(')') && depth > 0) --depth;
    if (depth == 0 && token.is_word("as")) return tokens.next().offset;
  }
  return text.size();
}

/// The parser's locations include the space and comments before a statement.
void place(std::string_view text, const PgQuery__RawStmt& raw, StatementFacts& facts) {
  const auto begin = static_cast<std::size_t>(raw.stmt_location);
  const std::size_t end = raw.stmt_len > 0 ? begin + static_cast<std::size_t>(raw.stmt_len) : text.size();
  facts.offset = Tokenizer(text, begin).next().offset;
  std::size_t last = std::min(end, text.size());
  while (last > facts.offset && (is_space(text[last - 1]) || text[last - 1] == ';')) --last;
  facts.length = last - std::min(facts.offset, last);
  if (facts.kind == StatementKind::prepare) facts.inner_offset = after_as(text, facts.offset);
}

}  // namespace

QueryFacts facts_of(std::string_view text, const ClassifierLimits& limits) {
  if (auto statement = explain_route(text)) return single(std::move(*statement));
  if (too_long(text, limits)) return facts_of_long(text);
  const ParsedText parsed = parse(text);
  if (parsed.tree == nullptr) return single(whole(text, StatementKind::unknown), parsed.problem);
  QueryFacts facts;
  facts.exact = true;
  for (std::size_t i = 0; i < parsed.tree->n_stmts; ++i) {
    const PgQuery__RawStmt* raw = parsed.tree->stmts[i];
    if (raw == nullptr || raw->stmt == nullptr) continue;
    facts.statements.push_back(facts_of_statement(*raw->stmt));
    place(text, *raw, facts.statements.back());
  }
  if (facts.statements.empty()) facts.statements.push_back(whole(text, StatementKind::empty));
  return facts;
}

}  // namespace pgweir::sql
