// Which statements leave something behind, and what.
#include "session/effects.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "doctest/doctest.h"
#include "session/settings_text.h"
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
        "COPY t TO STDOUT", "COPY t FROM STDIN", "FETCH c", "EXECUTE p", "SELECT pg_advisory_xact_lock(1)"})
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
  CHECK((*all)[0].settings.empty());
  REQUIRE((*all)[1].settings.size() == 1);
  const SettingChange& set = (*all)[1].settings.front();
  CHECK(set.key == "work_mem");
  CHECK(set.text.find("SET work_mem = '1MB'") != std::string::npos);
  CHECK(set.text.find("SELECT") == std::string::npos);
  CHECK(set.text.find("RESET") == std::string::npos);
  CHECK_FALSE(set.local);
  REQUIRE((*all)[2].settings.size() == 1);
  CHECK((*all)[2].settings.front().key == "role");
  CHECK((*all)[2].settings.front().text.empty());  // back to the beginning
}

TEST_CASE("one change for each kind of SET and RESET") {
  struct Row {
    std::string_view statement, key;
    bool kept, local;  // kept: as it stands; otherwise back to the beginning
  };
  for (const Row& row : {
           Row{"SET a.b TO 'x'", "a.b", true, false},
           Row{"SET SESSION work_mem = 1", "work_mem", true, false},
           Row{"SET Work_Mem = 1", "work_mem", true, false},
           Row{"SET search_path = a, b", "search_path", true, false},
           Row{"SET TIME ZONE 'CET'", "timezone", true, false},
           Row{"SET NAMES 'latin1'", "client_encoding", true, false},
           Row{"SET ROLE x", "role", true, false},
           Row{"SET ROLE NONE", "role", true, false},
           Row{"SET SESSION AUTHORIZATION x", "session_authorization", true, false},
           Row{"SET SESSION AUTHORIZATION DEFAULT", "session_authorization", false, false},
           Row{"RESET SESSION AUTHORIZATION", "session_authorization", false, false},
           Row{"SET work_mem TO DEFAULT", "work_mem", false, false},
           Row{"SET TIME ZONE DEFAULT", "timezone", false, false},
           Row{"RESET a.b", "a.b", false, false},
           Row{"RESET ALL", kAllSettings, false, false},
           Row{"DISCARD ALL", kWholeSession, false, false},
           Row{"SET LOCAL work_mem = 1", "work_mem", true, true},
           Row{"SET LOCAL ROLE x", "role", true, true},
           Row{"SET LOCAL work_mem TO DEFAULT", "work_mem", false, true},
       }) {
    CAPTURE(row.statement);
    const Effect effect = only(row.statement);
    REQUIRE(effect.settings.size() == 1);
    const SettingChange& change = effect.settings.front();
    CHECK(change.key == row.key);
    if (!row.local) CHECK(change.text == (row.kept ? row.statement : std::string_view()));
    CHECK(change.text.empty() == !row.kept);
    CHECK(change.local == row.local);
    CHECK_FALSE(effect.unknown_state);
  }
  for (const std::string_view none : {"SET TRANSACTION READ ONLY", "SET CONSTRAINTS ALL DEFERRED", "DISCARD PLANS",
                                      "DISCARD TEMP", "BEGIN READ ONLY", "LISTEN a"})
    CHECK(only(none).settings.empty());
}

TEST_CASE("what SET LOCAL makes is kept as what SET makes, for it may have to be made again elsewhere") {
  for (const auto& [text, kept] : {
           std::pair{"SET LOCAL work_mem = 1", "SET work_mem = 1"},
           std::pair{"set local ROLE x", "SET ROLE x"},
           std::pair{"SET LOCAL TIME ZONE 'UTC'", "SET TIME ZONE 'UTC'"},
           std::pair{"/* a /* b */ */ SET -- c\n/**/LOCAL\tlocal.x TO 'local'", "SET local.x TO 'local'"},
           std::pair{"SET/**/LOCAL/**/\"work_mem\" = 1", "SET \"work_mem\" = 1"},
       }) {
    CAPTURE(text);
    const Effect effect = only(text);
    REQUIRE(effect.settings.size() == 1);
    CHECK(effect.settings.front().text == kept);
    CHECK(effect.settings.front().local);
  }
}

TEST_CASE("SET SESSION CHARACTERISTICS makes one setting for each thing that it says") {
  using Pairs = std::vector<std::pair<std::string, std::string>>;
  struct Row {
    std::string_view modes;
    Pairs expected;
  };
  const std::string isolation = "default_transaction_isolation", read_only = "default_transaction_read_only",
                    deferrable = "default_transaction_deferrable";
  for (const Row& row : {
           Row{"ISOLATION LEVEL SERIALIZABLE", {{isolation, "serializable"}}},
           Row{"ISOLATION LEVEL REPEATABLE READ", {{isolation, "repeatable read"}}},
           Row{"ISOLATION LEVEL READ COMMITTED", {{isolation, "read committed"}}},
           Row{"ISOLATION LEVEL READ UNCOMMITTED", {{isolation, "read uncommitted"}}},
           Row{"READ ONLY", {{read_only, "on"}}},
           Row{"READ WRITE", {{read_only, "off"}}},
           Row{"DEFERRABLE", {{deferrable, "on"}}},
           Row{"NOT DEFERRABLE", {{deferrable, "off"}}},
           Row{"ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE",
               {{isolation, "serializable"}, {read_only, "on"}, {deferrable, "on"}}},
       }) {
    CAPTURE(row.modes);
    const Effect effect = only("SET SESSION CHARACTERISTICS AS TRANSACTION " + std::string(row.modes));
    REQUIRE(effect.settings.size() == row.expected.size());
    for (std::size_t i = 0; i < row.expected.size(); ++i) {
      const auto& [key, value] = row.expected[i];
      CHECK(effect.settings[i].key == key);
      CHECK(effect.settings[i].text == set_config_text(key, value));
      CHECK_FALSE(effect.settings[i].local);
    }
  }
}

TEST_CASE("texts that mean something else elsewhere are not repeated: the server is asked") {
  for (const std::string_view text :
       {R"(SET application_name = 'a\b')", R"(SET application_name = E'a\'b')", "SET application_name = 'caf\xc3\xa9'",
        "SET \"x.\xc3\xa9\" = 'a'", "SET DateStyle = 'German'", "SET datestyle TO DEFAULT", "RESET DateStyle",
        "SET work_mem FROM CURRENT"}) {
    CAPTURE(text);
    CHECK(only(text).unknown_state);
  }
  for (const std::string_view text : {"SET application_name = 'a''b'", "SET intervalstyle = iso_8601",
                                      R"(SET LOCAL application_name = 'a\b')", "SET LOCAL datestyle = German"}) {
    CAPTURE(text);
    CHECK_FALSE(only(text).unknown_state);
  }
  // Of several statements, only those.
  const auto all = effects("SET work_mem = 1; SET datestyle = German");
  REQUIRE(all);
  REQUIRE(all->size() == 2);
  CHECK_FALSE((*all)[0].unknown_state);
  CHECK((*all)[1].unknown_state);
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

TEST_CASE("what may be created in the schema that search_path names") {
  for (const std::string_view text : {"CREATE TABLE t (a int)", "CREATE TYPE t AS (a int)", "SELECT 1 AS a INTO t",
                                      "CREATE TABLE t AS SELECT 1", "CREATE VIEW v AS SELECT 1"})
    CHECK(only(text).creates_in_path);
  CHECK_FALSE(only("SET work_mem = '1MB'").creates_in_path);
  CHECK(effects("INSERT INTO t SELECT 1") == nullptr);
}

TEST_CASE("advisory locks of the session, in any statement") {
  for (const std::string_view text :
       {"SELECT pg_advisory_lock(1)", "SELECT pg_advisory_lock_shared(1, 2)", "SELECT pg_try_advisory_lock(1)",
        "SELECT pg_try_advisory_lock_shared(1)", "INSERT INTO t SELECT pg_advisory_lock(1)",
        "COPY (SELECT pg_advisory_lock(1)) TO STDOUT", "SELECT (SELECT pg_advisory_lock(a)) FROM t"}) {
    CAPTURE(text);
    const Effect effect = only(text);
    CHECK(effect.takes_session_lock);
    CHECK_FALSE(effect.may_free);
  }
  for (const std::string_view text :
       {"SELECT pg_advisory_unlock(1)", "SELECT pg_advisory_unlock_shared(1)", "SELECT pg_advisory_unlock_all()"}) {
    CAPTURE(text);
    const Effect effect = only(text);
    CHECK(effect.may_free);
    CHECK_FALSE(effect.takes_session_lock);
  }
  const Effect both = only("SELECT pg_advisory_lock(1), pg_advisory_unlock(2)");
  CHECK(both.takes_session_lock);
  CHECK(both.may_free);
  for (const std::string_view text : {"SELECT pg_advisory_xact_lock(1)", "SELECT pg_try_advisory_xact_lock_shared(1)"})
    CHECK(effects(text) == nullptr);
}

TEST_CASE("random numbers that a session has made predictable") {
  for (const std::string_view text :
       {"SELECT setseed(0.5)", "INSERT INTO t SELECT setseed(0.5)", "SET SEED TO 0.5", "SET LOCAL seed = 0.5"}) {
    CAPTURE(text);
    const Effect effect = only(text);
    CHECK(effect.lasting.seed);
    CHECK(effect.settings.empty());  // a seed that is set again begins again
  }
  CHECK_FALSE(only("SET work_mem = 1").lasting.any());
  CHECK(effects("SELECT random()") == nullptr);
}

TEST_CASE("what ends only with the connection") {
  CHECK(only("LOAD 'x'").lasting == routing::LastingEffects{.library = true});
  for (const std::string_view text : {"SELECT pg_replication_origin_session_setup('x')",
                                      "SELECT pg_create_physical_replication_slot('x', false, true)",
                                      "SELECT pg_catalog.pg_backup_start('x')", "SELECT pg_start_backup('x')"})
    CHECK(only(text).lasting == routing::LastingEffects{.server = true});
  for (const std::string_view text : {"PREPARE p AS SELECT setseed(0.5)", "RESET seed"})
    CHECK_FALSE(only(text).lasting.any());
  sql::QueryFacts plain;
  plain.statements.emplace_back();
  plain.statements.back().kind = StatementKind::query;
  const auto of_catalog = effects_of_query(plain, "SELECT f()", false, nullptr, {.seed = true});
  REQUIRE(of_catalog);
  CHECK(of_catalog->front().lasting.seed);
}

TEST_CASE("EXECUTE does what it names") {
  struct Prepared final : routing::PreparedLookup {
    sql::CachedFactsPtr entry;
    [[nodiscard]] sql::CachedFactsPtr find(std::string_view name) const override {
      return name == "p" ? entry : nullptr;
    }
  } prepared;
  const auto executes = [&](std::string_view inner, std::string_view text) {
    EffectsPtr made;
    test::on_parser_stack([&] {
      prepared.entry = sql::CachedFactsPtr(new sql::CachedFacts(sql::facts_of(inner, sql::ClassifierLimits{})));
      made = effects_of_query(sql::facts_of(text, sql::ClassifierLimits{}), text, false, &prepared);
    });
    return made;
  };
  for (const std::string_view text : {"EXECUTE p", "EXPLAIN ANALYZE EXECUTE p", "CREATE TABLE t AS EXECUTE p"}) {
    CAPTURE(text);
    CHECK(executes("SELECT pg_advisory_lock(1)", text)->front().takes_session_lock);
    CHECK(executes("SELECT pg_advisory_unlock(1)", text)->front().may_free);
    CHECK(executes("SELECT setseed(0.5)", text)->front().lasting.seed);
    CHECK(executes("SELECT 1 AS x INTO TEMP t", text)->front().creates_temporary);
  }
  CHECK(executes("SELECT 1", "EXECUTE p") == nullptr);
  CHECK(executes("SELECT pg_advisory_lock(1)", "EXECUTE q") == nullptr);
}

TEST_CASE("what may end what ties a session to its connection") {
  for (const std::string_view text : {"DROP TABLE t", "CLOSE c", "CLOSE ALL", "DISCARD TEMP", "DISCARD ALL",
                                      "UNLISTEN a", "UNLISTEN *", "ALTER TABLE t RENAME TO u"})
    CHECK(only(text).may_free);
  for (const std::string_view text :
       {"LISTEN a", "SET work_mem = 1", "LOAD 'x'", "DECLARE c CURSOR WITH HOLD FOR SELECT 1"})
    CHECK_FALSE(only(text).may_free);
}
