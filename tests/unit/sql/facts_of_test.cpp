// Facts by kind of statement, names at any depth, and the bounds that keep the parser from killing the process.
#include <algorithm>
#include <ctime>
#include <string>
#include <vector>

#include "doctest/doctest.h"
#include "sql/classifier.h"
#include "unit/sql/on_parser_stack.h"

using namespace pgweir::sql;

namespace {

QueryFacts facts(std::string_view text) { return facts_of(text, {}); }
StatementFacts one(std::string_view text) {
  const QueryFacts all = facts(text);
  REQUIRE(all.statements.size() == 1);
  return all.statements[0];
}

std::string joined(const std::vector<QualifiedName>& names) {
  std::string out;
  for (const QualifiedName& name : names) {
    out += (out.empty() ? "" : " ") + (name.schema.empty() ? name.name : name.schema + "." + name.name);
  }
  return out;
}

std::string repeat(std::string_view text, std::size_t count) {
  std::string result;
  for (std::size_t i = 0; i < count; ++i) result += text;
  return result;
}

}  // namespace

TEST_CASE("every kind of statement is told") {
  struct Case {
    std::string_view text;
    StatementKind kind;
    std::string_view name{};
  };
  using enum StatementKind;
  const std::vector<Case> cases = {
      {"", empty},
      {" ; -- x", empty},
      {"SELECT 1", query},
      {"VALUES (1)", query},
      {"TABLE t", query},
      {"SELECT 1 INTO t", write},
      {"SELECT 1 FROM t FOR UPDATE", write},
      {"INSERT INTO t DEFAULT VALUES", write},
      {"UPDATE t SET a = 1", write},
      {"DELETE FROM t", write},
      {"MERGE INTO t USING u ON true WHEN MATCHED THEN DO NOTHING", write},
      {"WITH x AS (DELETE FROM t RETURNING 1) SELECT 1", write},
      {"CREATE TABLE t (a int)", ddl},
      {"DROP TABLE t", ddl},
      {"TRUNCATE t", write},
      {"GRANT SELECT ON t TO u", maintenance},
      {"REFRESH MATERIALIZED VIEW m", write},
      {"VACUUM", maintenance},
      {"ANALYZE t", maintenance},
      {"CHECKPOINT", maintenance},
      {"LOCK t", maintenance},
      {"NOTIFY c", maintenance},
      {"CLUSTER t", maintenance},
      {"REINDEX TABLE t", maintenance},
      {"BEGIN", begin},
      {"START TRANSACTION", begin},
      {"COMMIT", commit},
      {"END", commit},
      {"ROLLBACK", rollback},
      {"ABORT", rollback},
      {"SAVEPOINT s", savepoint, "s"},
      {"ROLLBACK TO s", rollback_to_savepoint, "s"},
      {"RELEASE s", release_savepoint, "s"},
      {"PREPARE TRANSACTION 'x'", two_phase},
      {"COMMIT PREPARED 'x'", two_phase},
      {"ROLLBACK PREPARED 'x'", two_phase},
      {"SET Work_Mem = 1", set, "work_mem"},
      {"SET x TO DEFAULT", set, "x"},
      {"SET a.B = 'c'", set, "a.b"},
      {"RESET x", set, "x"},
      {"RESET ALL", set},
      {"SET ROLE r", set, "role"},
      {"RESET ROLE", set, "role"},
      {"SET SESSION AUTHORIZATION u", set, "session_authorization"},
      {"SET TIME ZONE 'UTC'", set, "timezone"},
      {"SET NAMES 'UTF8'", set, "client_encoding"},
      {"SET SCHEMA 's'", set, "search_path"},
      {"SET XML OPTION DOCUMENT", set, "xmloption"},
      {"SET LOCAL x = 1", set_local, "x"},
      {"SET TRANSACTION READ ONLY", set_transaction},
      {"SET TRANSACTION SNAPSHOT 'x'", set_transaction},
      {"SET transaction_read_only = on", set_transaction},
      {"SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", set_session_characteristics},
      {"SET CONSTRAINTS ALL DEFERRED", set_constraints},
      {"SHOW Work_Mem", show, "work_mem"},
      {"SHOW ALL", show, "all"},
      {"SHOW TRANSACTION ISOLATION LEVEL", show},
      {"DISCARD ALL", discard, "all"},
      {"DISCARD TEMP", discard, "temp"},
      {"PREPARE p AS SELECT 1", prepare, "p"},
      {"EXECUTE p (1)", execute, "p"},
      {"EXPLAIN EXECUTE p", execute, "p"},
      {"DEALLOCATE p", deallocate, "p"},
      {"DEALLOCATE ALL", deallocate, ""},
      {"DECLARE c CURSOR FOR SELECT 1", declare_cursor, "c"},
      {"FETCH 5 FROM c", fetch, "c"},
      {"MOVE c", fetch, "c"},
      {"CLOSE c", close_cursor, "c"},
      {"CLOSE ALL", close_cursor, ""},
      {"COPY t FROM STDIN", copy_in},
      {"COPY t TO STDOUT", copy_out},
      {"COPY t TO '/x'", write},
      {"COPY t TO PROGRAM 'x'", write},
      {"COPY t FROM '/x'", write},
      {"LISTEN c", listen, "c"},
      {"UNLISTEN *", unlisten, ""},
      {"LOAD 'x'", load, "x"},
      {"CALL p()", call},
      {"DO 'BEGIN END'", do_block},
      {"SHOW pool_nodes", show_pool, "pool_nodes"},
      {"show Pool_Version;", show_pool, "pool_version"},
      {"EXPLAIN ROUTE SELECT 1", explain_route},
      {"EXPLAIN SELECT 1", query},
      {"EXPLAIN ANALYZE DELETE FROM t", write},
      {"EXPLAIN DELETE FROM t", write},
      {"nonsense", unknown},
  };
  for (const Case& each : cases) {
    CAPTURE(each.text);
    const StatementFacts statement = one(each.text);
    CHECK(name_of(statement.kind) == name_of(each.kind));
    if (!each.name.empty()) CHECK(statement.name == each.name);
  }
  CHECK(facts("nonsense").problem == "syntax error at or near \"nonsense\"");
}

TEST_CASE("statements that ask for what is known of settings and of sequences") {
  for (const char* text :
       {"SHOW work_mem", "SELECT current_setting('a.b')", "INSERT INTO t SELECT current_setting('a.b', true)"}) {
    CAPTURE(text);
    CHECK(one(text).asks_for_setting);
  }
  for (const char* text :
       {"SELECT currval('s')", "SELECT 1 WHERE lastval() = 1", "INSERT INTO t VALUES (pg_catalog.currval('s'))"}) {
    CAPTURE(text);
    CHECK(one(text).asks_for_sequence);
  }
  for (const char* text :
       {"SELECT 1", "SET work_mem = 1", "SELECT nextval('s')", "SELECT set_config('a', 'b', false)"}) {
    CAPTURE(text);
    CHECK_FALSE(one(text).asks_for_setting);
    CHECK_FALSE(one(text).asks_for_sequence);
  }
}

TEST_CASE("which way a setting goes") {
  struct Row {
    std::string_view text, name;
    bool to_default, from_current, reset_all;
  };
  for (const Row& row :
       {Row{"SET x = 1", "x", false, false, false}, Row{"SET X TO DEFAULT", "x", true, false, false},
        Row{"SET LOCAL x TO DEFAULT", "x", true, false, false}, Row{"RESET A.x", "a.x", true, false, false},
        Row{"SET TIME ZONE LOCAL", "timezone", true, false, false},
        Row{"RESET SESSION AUTHORIZATION", "session_authorization", true, false, false},
        Row{"SET ROLE NONE", "role", false, false, false}, Row{"SET x FROM CURRENT", "x", false, true, false},
        Row{"RESET ALL", "", false, false, true}}) {
    CAPTURE(row.text);
    const auto facts = one(row.text);
    CHECK(facts.name == row.name);
    CHECK(facts.to_default == row.to_default);
    CHECK(facts.from_current == row.from_current);
    CHECK(facts.reset_all == row.reset_all);
  }
}

TEST_CASE("what a statement says of transactions, cursors and the session") {
  CHECK(one("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY").isolation == Isolation::serializable);
  CHECK(one("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").read_only == true);
  CHECK(one("BEGIN READ WRITE").read_only == false);
  CHECK_FALSE(one("BEGIN").read_only.has_value());
  CHECK_FALSE(one("BEGIN").isolation.has_value());
  CHECK(one("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").isolation == Isolation::repeatable_read);
  CHECK(one("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY").read_only == true);
  CHECK(one("SET SESSION CHARACTERISTICS AS TRANSACTION NOT DEFERRABLE").deferrable == false);
  CHECK(one("BEGIN DEFERRABLE").deferrable == true);
  CHECK_FALSE(one("BEGIN READ ONLY").deferrable.has_value());
  CHECK(one("SET transaction_read_only = off").read_only == false);
  CHECK(one("SET transaction_isolation = 'serializable'").isolation == Isolation::serializable);
  CHECK(one("COMMIT AND CHAIN").chain);
  CHECK(one("DISCARD ALL").discard_all);
  CHECK_FALSE(one("DISCARD PLANS").discard_all);
  CHECK(one("RESET ALL").reset_all);
  CHECK(one("DECLARE c CURSOR WITH HOLD FOR SELECT 1").with_hold);
  CHECK_FALSE(one("DECLARE c SCROLL CURSOR FOR SELECT 1").with_hold);
  CHECK(one("EXPLAIN SELECT 1").explain);
}

TEST_CASE("reads are told from what looks like them") {
  for (const char* text : {"SELECT 1", "PREPARE p AS SELECT 1", "DECLARE c CURSOR FOR SELECT 1", "COPY t TO STDOUT",
                           "COPY (SELECT 1) TO STDOUT", "EXPLAIN ANALYZE SELECT 1", "WITH a AS (SELECT 1) TABLE a"}) {
    CAPTURE(text);
    CHECK(one(text).reads_only);
  }
  for (const char* text :
       {"INSERT INTO t SELECT 1", "PREPARE p AS DELETE FROM t", "PREPARE p AS WITH x AS (DELETE FROM t) SELECT 1",
        "DECLARE c CURSOR FOR SELECT 1 FROM t FOR UPDATE", "COPY (DELETE FROM t RETURNING 1) TO STDOUT",
        "COPY t TO '/x'", "SELECT (SELECT 1 FROM t FOR SHARE)",
        "SELECT 1 UNION SELECT 2 FROM (SELECT 3 FROM t FOR KEY SHARE) s", "EXPLAIN ANALYZE SELECT 1 INTO x",
        "SELECT 1 INTO x", "EXPLAIN ANALYZE EXECUTE p", "nonsense"}) {
    CAPTURE(text);
    CHECK_FALSE(one(text).reads_only);
  }
  CHECK(one("SELECT 1 FROM t FOR UPDATE").row_lock_or_into);
  CHECK_FALSE(one("INSERT INTO t SELECT 1 FROM u FOR UPDATE").reads_only);
}

TEST_CASE("temporary objects are seen") {
  for (const char* text :
       {"CREATE TEMP TABLE t (a int)", "CREATE TEMPORARY VIEW v AS SELECT 1", "CREATE TEMP SEQUENCE s",
        "CREATE TABLE pg_temp.t (a int)", "SELECT 1 INTO TEMP t", "CREATE TEMP TABLE t AS SELECT 1",
        "CREATE LOCAL TEMP TABLE t (a int)", "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS ''",
        "CREATE TYPE pg_temp.x AS (a int)", "SET search_path = pg_temp, public",
        "EXPLAIN ANALYZE CREATE TEMP TABLE t AS SELECT 1"}) {
    CAPTURE(text);
    CHECK(one(text).creates_temporary);
  }
  for (const char* text :
       {"CREATE TABLE t (a int)", "SELECT 'pg_temp'", "SELECT 1 INTO t", "SET search_path = public"}) {
    CAPTURE(text);
    CHECK_FALSE(one(text).creates_temporary);
  }
}

TEST_CASE("functions are found wherever they stand") {
  for (const char* text : {"SELECT f()",
                           "SELECT 1 WHERE f()",
                           "SELECT * FROM f()",
                           "SELECT * FROM ROWS FROM (f(), g()) r",
                           "SELECT 1 ORDER BY f()",
                           "SELECT 1 GROUP BY f()",
                           "SELECT 1 HAVING f()",
                           "SELECT 1 LIMIT f()",
                           "SELECT 1 OFFSET f()",
                           "VALUES (1), (f())",
                           "SELECT count(*) FILTER (WHERE f()) FROM t",
                           "SELECT sum(a ORDER BY f()) FROM t",
                           "SELECT sum(a) OVER (ORDER BY f()) FROM t",
                           "SELECT 1 FROM t WINDOW w AS (PARTITION BY f())",
                           "SELECT sum(a) OVER (ROWS f() PRECEDING) FROM t",
                           "SELECT ARRAY[f()]",
                           "SELECT ROW(f())",
                           "SELECT (f()).a",
                           "SELECT a[f()] FROM t",
                           "SELECT CASE f() WHEN 1 THEN 2 END",
                           "SELECT CASE WHEN true THEN f() END",
                           "SELECT COALESCE(1, f())",
                           "SELECT f()::text",
                           "SELECT NOT f()",
                           "SELECT f() IS NULL",
                           "SELECT f() IN (1)",
                           "SELECT 1 IN (f())",
                           "SELECT 1 = ANY (f())",
                           "SELECT EXISTS (SELECT f())",
                           "SELECT (SELECT f())",
                           "SELECT 1 FROM t JOIN u ON f()",
                           "SELECT 1 FROM t, LATERAL f()",
                           "SELECT 1 FROM t TABLESAMPLE f(1)",
                           "SELECT 1 FROM t TABLESAMPLE system (f())",
                           "WITH x AS (SELECT f()) SELECT 1",
                           "SELECT 1 UNION SELECT f()",
                           "SELECT xmlelement(name a, f())",
                           "SELECT x FROM xmltable('/a' PASSING f() COLUMNS b int) x",
                           "EXPLAIN SELECT f()",
                           "COPY (SELECT f()) TO STDOUT",
                           "DECLARE c CURSOR FOR SELECT f()",
                           "PREPARE p AS SELECT f()",
                           "EXECUTE p (f())",
                           "CALL f()",
                           "SELECT f(VARIADIC a) FROM t",
                           "SELECT g(x => f())",
                           "SELECT f() COLLATE \"C\"",
                           "SELECT DISTINCT ON (f()) 1",
                           "INSERT INTO t VALUES (f())",
                           "SELECT GREATEST(1, f())",
                           "SELECT f() AT TIME ZONE 'x'"}) {
    CAPTURE(text);
    const auto functions = one(text).functions;
    CHECK(std::count(functions.begin(), functions.end(), QualifiedName{"", "f"}) == 1);
  }
  CHECK(joined(one("SELECT s.F(), db.s.g(), \"F\"()").functions) == "F s.f s.g");
  CHECK(joined(one("SELECT 'a' LIKE 'b' ESCAPE 'c', now() AT TIME ZONE 'x'").functions) ==
        "now pg_catalog.like_escape pg_catalog.timezone");
}

TEST_CASE("operators, written and implied") {
  CHECK(joined(one("SELECT 1 + 2 OPERATOR(s.-) 3").operators) == "+ s.-");
  CHECK(joined(one("SELECT a LIKE b, a NOT LIKE b, a ILIKE b, a SIMILAR TO b").operators) == "!~~ ~ ~~ ~~*");
  CHECK(joined(one("SELECT a BETWEEN 1 AND 2").operators) == "< <= > >=");
  CHECK(joined(one("SELECT a IS DISTINCT FROM b").operators) == "=");
  CHECK(joined(one("SELECT NULLIF(a, b)").operators) == "=");
  CHECK(joined(one("SELECT a IN (1), a NOT IN (2)").operators) == "<> =");
  CHECK(joined(one("SELECT a IN (SELECT 1)").operators) == "=");
  CHECK(joined(one("SELECT a ### ANY (b), a @@@ ALL (SELECT 1)").operators) == "### @@@");
  CHECK(joined(one("SELECT 1 FROM t ORDER BY a USING >").operators) == ">");
  CHECK(joined(one("SELECT 1 FROM t JOIN u USING (a)").operators) == "=");
  CHECK(joined(one("SELECT CASE a WHEN 1 THEN 2 END").operators) == "=");
  CHECK(joined(one("SELECT - a").operators) == "-");
}

TEST_CASE("types and attributes") {
  CHECK(joined(one("SELECT a::s.t, CAST(b AS u[]), int '1'").types) == "u pg_catalog.int4 s.t");
  CHECK(joined(one("SELECT * FROM f() AS x(a my_type)").types) == "my_type");
  CHECK(joined(one("SELECT * FROM xmltable('/a' PASSING b COLUMNS c my_type) x").types) == "my_type");
  const auto attributes = one("SELECT a.b, (c).d, (e).f.g, h, i.* FROM t").attributes;
  CHECK(attributes == std::vector<std::string>{"b", "d", "f", "g"});
}

TEST_CASE("relations, without the CTEs in whose scope they stand") {
  struct Case {
    std::string_view text;
    std::string_view relations;
  };
  const std::vector<Case> cases = {
      {"SELECT 1 FROM a, s.b JOIN c ON true", "a c s.b"},
      {"WITH a AS (SELECT 1 FROM b) SELECT 1 FROM a, c", "b c"},
      {"WITH a AS (SELECT 1 FROM a) SELECT 1 FROM a", "a"},
      {"WITH RECURSIVE a AS (SELECT 1 FROM a) SELECT 1 FROM a", ""},
      {"WITH a AS (SELECT 1 FROM b), b AS (SELECT 1) SELECT 1 FROM b", "b"},
      {"WITH RECURSIVE a AS (SELECT 1 FROM b), b AS (SELECT 1) SELECT 1 FROM b", ""},
      {"WITH a AS (SELECT 1) SELECT 1 FROM s.a", "s.a"},
      {"SELECT 1 FROM (WITH a AS (SELECT 1) SELECT 1 FROM a) x, a", "a"},
      {"WITH a AS (SELECT 1) SELECT 1 FROM (SELECT 1 FROM a WHERE EXISTS (SELECT 1 FROM a)) x", ""},
      {"WITH a AS (SELECT 1) SELECT 1 FROM a UNION SELECT 1 FROM a", ""},
      {"(WITH a AS (SELECT 1) SELECT 1 FROM a) UNION SELECT 1 FROM a", "a"},
      {"COPY t TO STDOUT", "t"},
      {"SELECT 1 FROM ONLY \"T\" *", "T"},
  };
  for (const Case& each : cases) {
    CAPTURE(each.text);
    const QueryFacts all = facts(each.text);
    if (!all.problem.empty()) continue;
    CHECK(joined(all.statements[0].relations) == each.relations);
  }
}

TEST_CASE("places in the text") {
  const std::string text = " /* a */ SELECT 1 ;-- b\n PREPARE p (int) AS SELECT $1 ; ";
  const QueryFacts all = facts(text);
  REQUIRE(all.statements.size() == 2);
  CHECK(text.substr(all.statements[0].offset, all.statements[0].length) == "SELECT 1");
  CHECK(text.substr(all.statements[1].offset, all.statements[1].length) == "PREPARE p (int) AS SELECT $1");
  CHECK(text.substr(all.statements[1].inner_offset, 9) == "SELECT $1");
  const std::string route = "-- x\nexplain /* y */ route\n INSERT INTO t VALUES (1)";
  CHECK(route.substr(one(route).inner_offset).ends_with("INSERT INTO t VALUES (1)"));
  const std::string as = "PREPARE \"as\" AS SELECT 1 AS x";
  CHECK(as.substr(one(as).inner_offset) == "SELECT 1 AS x");
}

TEST_CASE("texts too long to parse are judged by their first words") {
  const std::string rows = "INSERT INTO t VALUES (0)" + repeat(", (1)", 20'000);
  CHECK(one(rows).kind == StatementKind::write);
  CHECK_FALSE(facts(rows).problem.empty());
  CHECK(one("SELECT 1" + repeat("+1", 100'000)).kind == StatementKind::write);
  CHECK(one(rows + "; SELECT 1").kind == StatementKind::write);
  CHECK(one(rows + "; SET x = 1").kind == StatementKind::unknown);
  CHECK(one(rows + "; 'open").kind == StatementKind::unknown);
  CHECK(one("SET x = 1" + repeat(", 1", 20'000)).kind == StatementKind::unknown);
  CHECK(one("SELECT '" + std::string(300'000, 'x') + "; DROP TABLE t'").kind == StatementKind::write);
  CHECK(one("EXPLAIN ROUTE " + rows).kind == StatementKind::explain_route);
}

TEST_CASE("hostile texts at the bound are parsed in bounded time and stack") {
  const std::size_t bound = ClassifierLimits{}.max_parse_tokens - 10;
  const std::vector<std::string> texts = {
      "SELECT 1" + repeat("+1", bound / 2),
      "SELECT a" + repeat("||a", bound / 2),
      "SELECT 1" + repeat("::int", bound / 2),
      "SELECT a" + repeat(" OR a", bound / 2),
      "SELECT " + repeat("- ", bound) + "1",
      "SELECT " + repeat("NOT ", bound) + "true",
      "SELECT " + repeat("(", bound / 2) + "1" + repeat(")", bound / 2),
      "SELECT " + repeat("(SELECT ", 2600) + "1" + repeat(")", 2600),
      "SELECT 1" + repeat(" UNION ALL SELECT 1", bound / 4),
      repeat("(SELECT 1 UNION ", bound / 5) + "SELECT 1" + repeat(")", bound / 5),
      "SELECT " + repeat("f(", 2600) + "1" + repeat(")", 2600),
      "SELECT " + repeat("CASE WHEN a THEN ", 1500) + "1" + repeat(" END", 1500),
      "SELECT a" + repeat(" COLLATE c", bound / 2),
      "SELECT a" + repeat(" AT TIME ZONE b", bound / 4),
      "SELECT a" + repeat("[1]", bound / 3),
      "SELECT (a)" + repeat(".b", bound / 2),
      "SELECT 1 FROM a" + repeat(" CROSS JOIN a", bound / 3),
      "EXPLAIN SELECT a" + repeat("||a", bound / 2),
      repeat("WITH a AS (", 1100) + "SELECT 1" + repeat(") SELECT 1", 1100),
      "WITH a0 AS (SELECT 1)" + repeat(", b AS (SELECT 1 FROM a)", 750) + " SELECT 1 FROM a" + repeat(", a", 500),
      repeat("SELECT 1;", bound / 3),
  };
  pgweir::test::on_parser_stack([&] {
    for (const std::string& text : texts) {
      const std::clock_t start = std::clock();
      const QueryFacts all = facts(text);
      const double took = 1000.0 * static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
      CAPTURE(text.substr(0, 30));
      CHECK_FALSE(all.problem == "the text is too long to be parsed");
      MESSAGE(text.substr(0, 30) << "...: " << took << " ms, " << name_of(all.statements[0].kind));
      CHECK(took < 2000);  // of processor time, far above what it takes, for sanitizers
    }
  });
}
