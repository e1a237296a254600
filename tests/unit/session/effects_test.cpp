// Which statements leave something behind, and what.
#include "session/effects.h"

#include <string>
#include <string_view>

#include "doctest/doctest.h"
#include "unit/sql/on_parser_stack.h"

namespace {

using namespace pgweir;
using namespace pgweir::session;
using sql::StatementKind;

EffectsPtr effects(std::string_view text, bool unknown_state = false) {
  EffectsPtr made;
  test::on_parser_stack(
      [&] { made = effects_of_query(sql::facts_of(text, sql::ClassifierLimits{}), text, unknown_state); });
  return made;
}

Effect only(std::string_view text) {
  CAPTURE(text);
  const auto all = effects(text);
  REQUIRE(all);
  REQUIRE(all->size() == 1);
  return all->front();
}

}  // namespace

TEST_CASE("plain statements leave nothing to remember") {
  for (const std::string_view text :
       {"SELECT 1", "", "INSERT INTO t VALUES (1)", "SELECT 1; UPDATE t SET a = 1", "SHOW work_mem", "VACUUM t",
        "COPY t TO STDOUT", "COPY t FROM STDIN", "FETCH c", "CLOSE c", "EXECUTE p", "SELECT pg_advisory_xact_lock(1)"})
    CHECK(effects(text) == nullptr);
}

TEST_CASE("an unknown effect makes even a plain statement worth remembering") {
  const auto all = effects("SELECT f(); SELECT 2", true);
  REQUIRE(all);
  REQUIRE(all->size() == 2);
  CHECK((*all)[0].unknown_state);
  CHECK((*all)[1].unknown_state);
}

TEST_CASE("settings keep the statement that makes them, and nothing around it") {
  const auto all = effects("SELECT 1; SET work_mem = '1MB' ; RESET role");
  REQUIRE(all);
  REQUIRE(all->size() == 3);
  CHECK((*all)[0].kind == StatementKind::query);
  CHECK((*all)[1].name == "work_mem");
  CHECK((*all)[1].text.find("SET work_mem = '1MB'") != std::string::npos);
  CHECK((*all)[1].text.find("SELECT") == std::string::npos);
  CHECK((*all)[1].text.find("RESET") == std::string::npos);
  CHECK((*all)[2].name == "role");
  CHECK((*all)[2].text.find("RESET role") != std::string::npos);
  CHECK(only("RESET ALL").all);
  CHECK(only("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY").text ==
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY");
}

TEST_CASE("transactions and savepoints") {
  CHECK(only("BEGIN").kind == StatementKind::begin);
  CHECK(only("COMMIT AND CHAIN").chain);
  CHECK(only("ROLLBACK AND CHAIN").chain);
  CHECK_FALSE(only("COMMIT").chain);
  CHECK(only("SAVEPOINT s").name == "s");
  CHECK(only("ROLLBACK TO s").kind == StatementKind::rollback_to_savepoint);
  CHECK(only("RELEASE s").name == "s");
  CHECK(only("PREPARE TRANSACTION 'x'").kind == StatementKind::two_phase);
}

TEST_CASE("PREPARE keeps its text, with the place of what is prepared") {
  const auto all = effects("SELECT 1; PREPARE p(int) AS SELECT $1 + 1");
  REQUIRE(all);
  REQUIRE(all->size() == 2);
  const Effect& prepare = (*all)[1];
  CHECK(prepare.kind == StatementKind::prepare);
  CHECK(prepare.name == "p");
  REQUIRE(prepare.inner_offset < prepare.text.size());
  CHECK(prepare.text.substr(prepare.inner_offset) == "SELECT $1 + 1");
  CHECK(only("DEALLOCATE p").name == "p");
  CHECK(only("DEALLOCATE ALL").name.empty());
}

TEST_CASE("state that a connection has alone") {
  CHECK(only("CREATE TEMP TABLE t (a int)").creates_temporary);
  CHECK_FALSE(only("CREATE TEMP TABLE t (a int)").changes_catalog);
  CHECK(only("CREATE TABLE t (a int)").changes_catalog);
  CHECK(only("SELECT * INTO TEMP t FROM u").creates_temporary);
  CHECK(only("DECLARE c CURSOR WITH HOLD FOR SELECT 1").with_hold);
  CHECK(only("LISTEN a").kind == StatementKind::listen);
  CHECK(only("LOAD 'x'").kind == StatementKind::load);
  for (const std::string_view text : {"SELECT pg_advisory_lock(1)", "SELECT pg_catalog.pg_try_advisory_lock_shared(1)",
                                      "SELECT 1 WHERE pg_try_advisory_lock(1)"})
    CHECK(only(text).takes_session_lock);
  CHECK(only("DISCARD ALL").all);
  CHECK_FALSE(only("DISCARD TEMP").all);
}
