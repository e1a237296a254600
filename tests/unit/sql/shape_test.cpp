// Which texts share a shape and which must not; and the same as a property over mutations of the corpus.
#include "sql/shape.h"

#include <map>
#include <random>
#include <string>
#include <vector>

#include "doctest/doctest.h"
#include "sql/classifier.h"
#include "sql/tokenizer.h"
#include "unit/sql/corpus.h"
#include "unit/sql/on_parser_stack.h"

using namespace pgweir::sql;

namespace {

constexpr std::uint64_t kSeed = 20240607;

ShapeKey key(std::string_view text) { return shape_of(text, 0).key; }

std::string repeat(std::string_view text, std::size_t count) {
  std::string result;
  for (std::size_t i = 0; i < count; ++i) result += text;
  return result;
}

/// Everything that facts say, without places in the text.
std::string printed(const QueryFacts& facts) {
  std::string out = facts.problem;
  const auto list = [&out](const std::vector<QualifiedName>& names) {
    for (const QualifiedName& name : names) out += name.schema + "." + name.name + ",";
    out += '|';
  };
  for (const StatementFacts& statement : facts.statements) {
    out += name_of(statement.kind);
    out += statement.reads_only ? "+" : "-";
    out += statement.row_lock_or_into ? "+" : "-";
    out += statement.creates_temporary ? "+" : "-";
    out += statement.name + "|";
    list(statement.functions);
    list(statement.relations);
    list(statement.types);
    list(statement.operators);
    for (const std::string& attribute : statement.attributes) out += attribute + ",";
    out += ';';
  }
  return out;
}

/// The same text with other constants, white space, comments and upper and lower case.
class Disguise {
 public:
  explicit Disguise(std::mt19937_64& random) : random_(random) {}

  std::string operator()(std::string_view text) {
    std::string out;
    Tokenizer tokens(text);
    std::string_view before;
    for (Token token = tokens.next(); token.kind != TokenKind::end; token = tokens.next()) {
      out += space(before, token);
      out += changed(token);
      before = token.text;
    }
    return out + (pick(2) == 0 ? "" : " ;");
  }

 private:
  std::size_t pick(std::size_t count) { return static_cast<std::size_t>(random_() % count); }
  /// A line break between strings would join them, and a comment in front could be a hint's or change nothing.
  std::string space(std::string_view before, const Token& token) {
    if (before.empty()) return pick(2) == 0 ? "" : "/* c */ ";
    if (token.kind == TokenKind::string) return " ";
    const std::vector<std::string> spaces = {" ", "  ", "\t", "\n", " /* x ' */ ", " -- y\n "};
    return spaces[pick(spaces.size())];
  }
  std::string changed(const Token& token) {
    std::string text(token.text);
    if (token.kind == TokenKind::number) return std::to_string(1 + pick(1000));
    if (token.kind == TokenKind::string) return pick(2) == 0 ? "'other''s'" : "$o$ other $o$";
    if (token.kind == TokenKind::identifier) {
      for (char& c : text) {
        if (c >= 'a' && c <= 'z' && pick(2) == 0) c = static_cast<char>(c - 'a' + 'A');
      }
    }
    return text;
  }
  std::mt19937_64& random_;
};

}  // namespace

TEST_CASE("texts that differ in constants, space, comments and case share a shape") {
  const std::vector<std::vector<std::string>> groups = {
      {"SELECT 1", "select 2", " SELECT /* c */ 30 -- d\n", "SELECT 1;", "SELECT 1 ; ;"},
      {"SELECT a FROM t WHERE b = 'x'", "select A from T where B='yy'", "SELECT a FROM t WHERE b = $$z$$"},
      {"SELECT a FROM t WHERE b IN (1)", "SELECT a FROM t WHERE b IN (1,2,3)",
       "SELECT a FROM t WHERE b IN ('x', -5, $1)"},
      {"SELECT ARRAY[1]", "SELECT ARRAY[1, 2, 3]"},
      {"INSERT INTO t VALUES (1, 'a')", "INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')"},
      {"INSERT INTO t VALUES (1, now()), (2, now())", "INSERT INTO t VALUES (1, now())"},
      {"SELECT * FROM t LIMIT 5", "SELECT * FROM t LIMIT 50"},
      {"SELECT $1", "SELECT $2"},
      {"INSERT INTO t VALUES ($1, $2)", "INSERT INTO t VALUES ($1, $2), ($3, $4)"},
  };
  for (const auto& group : groups) {
    for (const std::string& text : group) {
      CAPTURE(text);
      CHECK(key(text) == key(group.front()));
      CHECK_FALSE(shape_of(text, 0).exact);
    }
  }
}

TEST_CASE("texts that differ in more do not") {
  const std::vector<std::string> texts = {
      "SELECT 1",
      "SELECT 1, 2",
      "SELECT '1'",
      "SELECT NULL",
      "SELECT TRUE",
      "SELECT $1",
      "SELECT a -1",
      "SELECT a, -1",
      "SELECT a",
      "SELECT a b",
      "SELECT ab",
      "SELECT a.b",
      "SELECT \"a\"",
      "SELECT \"A\"",
      "SELECT a(1)",
      "SELECT (a, 1)",
      "SELECT a < -1",
      "SELECT a IN (1, b)",
      "SELECT a IN (b, 1)",
      "SELECT a IN (-$1)",
      "SELECT a IN (1)",
      "SELECT a IN (-'1')",
      "SELECT a IN (1 + 2)",
      "SELECT a IN (NULL)",
      "SELECT f(1)",
      "SELECT f(1, 2)",
      "SELECT N'a'",
      "SELECT B'1'",
      "SELECT 1; SELECT 1",
      "SELECT x::float(24)",
      "SELECT x::float(25)",
      "SELECT U&'a'",
      "SELECT 1 /*",
      "SELECT 1 '",
      "VALUES (1)",
      "VALUES (1), (NULL)",
      "VALUES (1), (f())",
      "VALUES (1, 2)",
      "INSERT INTO t VALUES (1)",
      "INSERT INTO t (a) VALUES (1)",
      "SET x = 'a'",
      "SET x = 'b'",
      "SELECT pg_sleep(1)",
      "",
      " ",
  };
  for (std::size_t i = 0; i < texts.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      CAPTURE(texts[i]);
      CAPTURE(texts[j]);
      CHECK_FALSE(key(texts[i]) == key(texts[j]));
    }
  }
}

TEST_CASE("what is not plain data manipulation is keyed by its exact text") {
  for (const char* text : {"SET x = 'a'", "EXPLAIN SELECT 1", "BEGIN", "SELECT 1; SELECT 2", "COPY t TO STDOUT", "",
                           "SELECT U&\"x\"", "SELECT 'open", "PREPARE a AS SELECT 1", "; SELECT 1"}) {
    CAPTURE(text);
    CHECK(shape_of(text, 0).exact);
  }
}

TEST_CASE("a shape is part of its seed, and long texts have shapes too") {
  CHECK_FALSE(shape_of("SELECT 1", 1).key == shape_of("SELECT 1", 2).key);
  const std::string columns = "SELECT a" + repeat(", column_of_a_name", 2000);
  CHECK(key(columns) == key(" " + columns + " ; "));
  CHECK_FALSE(key(columns) == key(columns + ", b"));
  CHECK(key("INSERT INTO t VALUES (1, 'x')" + repeat(", (2, 'y')", 100'000)) == key("INSERT INTO t VALUES (0, '')"));
  const std::string wide = "(1" + repeat(", 'some text', NULL", 3000) + ")";
  CHECK(key("VALUES " + wide) == key(" VALUES  " + wide));
}

TEST_CASE("over the corpus, a disguised text keeps its shape, and no shape has two facts") {
  MESSAGE("seed " << kSeed);
  pgweir::test::on_parser_stack([] {
    std::mt19937_64 random(kSeed);
    Disguise disguise(random);
    std::map<std::pair<std::uint64_t, std::uint64_t>, std::string> known;
    for (const std::string& text : pgweir::test::corpus_texts()) {
      CAPTURE(text);
      for (int i = 0; i < 20; ++i) {
        const std::string other = i == 0 ? text : disguise(text);
        const Shape shape = shape_of(other, 0);
        if (shape.exact || shape_of(text, 0).exact) continue;
        CAPTURE(other);
        CHECK(shape.key == key(text));
        const QueryFacts facts = facts_of(other, {});
        if (!facts.problem.empty()) continue;  // kept under the exact text
        const auto [place, fresh] = known.try_emplace({shape.key.low, shape.key.high}, printed(facts));
        CHECK(place->second == printed(facts));
      }
    }
    CHECK(known.size() > 100);
  });
}

TEST_CASE("mutated texts never crash, and no shape has two facts among them") {
  MESSAGE("seed " << kSeed);
  pgweir::test::on_parser_stack([] {
    std::mt19937_64 random(kSeed);
    const std::vector<std::string> texts = pgweir::test::corpus_texts();
    const std::string bits = "'\"$(),;-+*/=E1a \n\\.:[]@_\0";
    std::map<std::pair<std::uint64_t, std::uint64_t>, std::string> known;
    for (int round = 0; round < 20'000; ++round) {
      std::string text = texts[random() % texts.size()];
      for (std::size_t edits = 1 + random() % 3; edits > 0; --edits) {
        const std::size_t at = text.empty() ? 0 : random() % text.size();
        switch (random() % 4) {
          case 0: text.insert(at, 1, bits[random() % bits.size()]); break;
          case 1: text.erase(at, 1 + random() % 3); break;
          case 2: text = text.substr(at) + texts[random() % texts.size()].substr(0, random() % 20); break;
          default: text.insert(at, texts[random() % texts.size()].substr(0, random() % 30)); break;
        }
      }
      const Shape shape = shape_of(text, 0);
      const QueryFacts facts = facts_of(text, {});
      CHECK_FALSE(facts.statements.empty());
      if (shape.exact || !facts.problem.empty()) continue;
      CAPTURE(text);
      const auto [place, fresh] = known.try_emplace({shape.key.low, shape.key.high}, printed(facts));
      CHECK(place->second == printed(facts));
    }
    CHECK(known.size() > 500);
  });
}
