// Bodies of functions, and whether they can change the session.
#include "routing/function_code.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "doctest/doctest.h"

using namespace pgweir;
using routing::CodeLanguage;
using routing::read_code;

namespace {

bool names(std::string_view body, std::string_view name) {
  const auto found = read_code(body, CodeLanguage::plpgsql).names;
  return std::find(found.begin(), found.end(), name) != found.end();
}

constexpr std::string_view kQuiet[] = {
    "BEGIN NEW.updated_at = now(); RETURN NEW; END",
    "BEGIN NEW.updated_at := now(); RETURN NEW; END;",
    "begin update t set a = 1, b = 2 where id = new.id; return null; end",
    "BEGIN UPDATE ONLY public.t * AS x SET a = 1; END",
    "BEGIN UPDATE ONLY (public.t) SET a = 1; END",
    "BEGIN UPDATE \"Set\".\"t\" SET \"set\" = 1; END",
    "BEGIN UPDATE t/* set */SET a = 1; END",
    "BEGIN UPDATE t -- set work_mem\n SET a = 1; END",
    "BEGIN INSERT INTO t (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET a = excluded.a; END",
    "BEGIN INSERT INTO t (a) VALUES (1) ON CONFLICT DO NOTHING; END",
    "BEGIN MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN UPDATE SET b = 1"
    " WHEN NOT MATCHED THEN INSERT VALUES (1, 2); END",
    "BEGIN WITH x AS (UPDATE t SET a = 1 RETURNING *) UPDATE u SET b = (SELECT max(a) FROM x); END",
    "DECLARE n int; BEGIN SELECT count(*) INTO n FROM t; RETURN n; END",
    "<<outer>> BEGIN FOR i IN 1..10 LOOP PERFORM f(i); EXIT outer WHEN i > 3; END LOOP; END",
    "BEGIN IF TG_OP = 'UPDATE' THEN INSERT INTO log SELECT OLD.*; ELSIF TG_OP = 'DELETE' THEN RETURN OLD; END IF; END",
    "BEGIN RAISE NOTICE 'SET work_mem = %; EXECUTE nothing', 1; RETURN NULL; END",
    "BEGIN RAISE NOTICE $q$ execute 'x' $q$; END",
    "BEGIN /* EXECUTE 'SET x' /* nested */ RESET ALL */ RETURN NEW; -- LISTEN x\n END",
    "BEGIN NOTIFY changed; PERFORM pg_notify('changed', NEW.id::text); RETURN NEW; END",
    "BEGIN PERFORM pg_advisory_xact_lock(1); PERFORM pg_try_advisory_xact_lock_shared(1); END",
    "BEGIN NEW.temp := 1; NEW.load = t.reset; RETURN NEW; END",
    "BEGIN \"execute\" := 1; END",
    "BEGIN INSERT INTO t (comment, a) VALUES (NEW.comment, E'it\\'s'); RETURN NEW; END",
    "BEGIN RETURN x ~ '^\\d+$'; END",
    "BEGIN LOCK TABLE t IN SHARE MODE; TRUNCATE t; DELETE FROM t; END",
    "#variable_conflict use_column\nBEGIN RETURN NEW; END",
    "DECLARE c CURSOR FOR SELECT 1; BEGIN OPEN c; FETCH c INTO x; CLOSE c; EXCEPTION WHEN others THEN NULL; END",
    "BEGIN RETURN current_setting('app.user', true); END",
    "SELECT 1",
};

constexpr std::string_view kLoud[] = {
    "",
    " -- nothing\n",
    "BEGIN EXECUTE 'SET work_mem = 1'; END",
    "BEGIN ExEcUtE format('x'); END",
    "BEGIN RETURN QUERY EXECUTE 'x'; END",
    "BEGIN FOR r IN EXECUTE x LOOP NULL; END LOOP; END",
    "BEGIN OPEN c FOR EXECUTE x; END",
    "BEGIN FOR i IN 1..execute LOOP NULL; END LOOP; END",
    "BEGIN SET work_mem = '1MB'; END",
    "begin set local work_mem = '1MB'; end",
    "BEGIN IF a THEN SET work_mem = 1; END IF; END",
    "BEGIN IF update THEN SET work_mem = 1; END IF; END",
    "BEGIN IF a THEN NULL; ELSE SET work_mem = 1; END IF; END",
    "BEGIN LOOP SET work_mem = 1; END LOOP; END",
    "BEGIN FOR r IN SELECT * FROM t FOR UPDATE LOOP SET work_mem = 1; END LOOP; END",
    "BEGIN PERFORM 1 FROM t FOR UPDATE; SET work_mem = 1; END",
    "BEGIN PERFORM 1 FROM t FOR UPDATE;SET work_mem = 1; END",
    "BEGIN <<update>> SET work_mem = 1; END",
    "BEGIN <<update>>SET work_mem = 1; END",
    "BEGIN UPDATE t SET a = 1; SET work_mem = 1; END",
    "BEGIN UPDATE t SET a = 1 WHERE b; BEGIN SET x = 1; END; END",
    "BEGIN NULL;/* */SET/* */work_mem = 1; END",
    "BEGIN RAISE NOTICE '--'; SET work_mem = 1; -- '\n END",
    "BEGIN RAISE NOTICE '/*'; SET work_mem = 1; RAISE NOTICE '*/'; END",
    "BEGIN RAISE NOTICE $a$ $b$ $a$; SET x = 1; RAISE NOTICE $a$ $b$ $a$; END",
    "BEGIN RAISE NOTICE 'it''s'; SET x = 1; END",
    "BEGIN RAISE NOTICE E'\\''; SET x = 1; -- '\n END",
    // Where the string ends depends on standard_conforming_strings.
    "BEGIN RAISE NOTICE '\\'; x := '; SET work_mem = 1; --'; END",
    "BEGIN RETURN 'a\\''b'; END",
    "BEGIN RESET work_mem; END",
    "BEGIN PERFORM set_config('work_mem', '1MB', false); END",
    "BEGIN PERFORM pg_catalog.SET_CONFIG('work_mem', '1MB', true); END",
    "BEGIN PERFORM \"set_config\"('work_mem', '1MB', true); END",
    "BEGIN PERFORM pg_catalog . \"set_config\" ('work_mem', '1MB', true); END",
    "BEGIN PERFORM U&\"set\\005fconfig\"('work_mem', '1MB', true); END",
    "BEGIN PERFORM setseed(0.5); END",
    "BEGIN PERFORM query_to_xml('SELECT set_config(1)', true, true, ''); END",
    "BEGIN UPDATE pg_settings SET setting = '1MB' WHERE name = 'work_mem'; END",
    "BEGIN PERFORM pg_advisory_lock(1); END",
    "BEGIN PERFORM pg_try_advisory_lock_shared(1); END",
    "BEGIN PERFORM pg_advisory_unlock_all(); END",
    "BEGIN LISTEN x; END",
    "BEGIN UNLISTEN x; END",
    "BEGIN LOAD 'x'; END",
    "BEGIN CREATE TEMP TABLE x (a int); END",
    "BEGIN CREATE TABLE x (a int); END",
    "BEGIN DROP TABLE x; END",
    "BEGIN ALTER TABLE x ADD a int; END",
    "BEGIN TRUNCATE t CASCADE; END",
    "BEGIN INSERT INTO pg_temp.x VALUES (1); END",
    "BEGIN INSERT INTO pg_temp_3.x VALUES (1); END",
    "BEGIN INSERT INTO \"pg_temp\".x VALUES (1); END",
    "BEGIN PREPARE x AS SELECT 1; END",
    "BEGIN DEALLOCATE ALL; END",
    "BEGIN DISCARD ALL; END",
    "BEGIN CALL p(); END",
    "BEGIN DO $$ BEGIN NULL; END $$; END",
    "BEGIN DO LANGUAGE plpgsql 'BEGIN END'; END",
    "BEGIN REFRESH MATERIALIZED VIEW m; END",
    "BEGIN GRANT ALL ON t TO u; END",
    "BEGIN COPY t FROM '/x'; END",
    "BEGIN IMPORT FOREIGN SCHEMA s FROM SERVER x INTO y; END",
    "BEGIN PERFORM dblink_connect('x'); END",
    "BEGIN PERFORM * FROM crosstab('SELECT 1') AS x(a int); END",
    "BEGIN PERFORM pg_create_logical_replication_slot('a', 'b', true); END",
    "BEGIN RETURN 'unterminated; END",
    "BEGIN RETURN 1 /* unterminated; END",
    "BEGIN RETURN $x$ unterminated; END",
    "BEGIN PERFORM \xC3\x89(); END",
    "BEGIN PERFORM \x01(); END",
    "BEGIN PERFORM \"\x01\"(); END",
    "BEGIN PERFORM a234567890123456789012345678901234567890123456789012345678901234(); END",
};

}  // namespace

TEST_CASE("code that leaves the session alone") {
  for (const auto body : kQuiet) {
    CAPTURE(body);
    CHECK(read_code(body, CodeLanguage::plpgsql).quiet);
  }
  CHECK(read_code("SELECT 1; INSERT INTO t VALUES (1) RETURNING a", CodeLanguage::sql).quiet);
  CHECK(read_code("WITH x AS (INSERT INTO t VALUES (1) RETURNING a) SELECT a FROM x", CodeLanguage::sql).quiet);
  CHECK(read_code("MERGE INTO t USING s ON true WHEN MATCHED THEN DO NOTHING", CodeLanguage::sql).quiet);
}

TEST_CASE("code that may change the session, or is not understood") {
  for (const auto body : kLoud) {
    CAPTURE(body);
    CHECK_FALSE(read_code(body, CodeLanguage::plpgsql).quiet);
  }
}

TEST_CASE("in SQL, INTO makes a table unless it belongs to INSERT or MERGE") {
  for (const auto body : {"SELECT 1 INTO t", "SELECT insert INTO t FROM s", "SELECT f() insert INTO t",
                          "SELECT s.insert INTO t FROM s", "DECLARE c CURSOR WITH HOLD FOR SELECT 1"}) {
    CAPTURE(body);
    CHECK_FALSE(read_code(body, CodeLanguage::sql).quiet);
  }
}

TEST_CASE("any loud word is found wherever a statement may begin, in any case") {
  for (const std::string word : {"SET", "Reset", "LISTEN", "unlisten", "Load", "PREPARE", "deallocate", "DISCARD",
                                 "EXECUTE", "Call", "DO", "create", "ALTER", "drop"}) {
    for (const std::string before :
         {"BEGIN ", "BEGIN NULL;", "BEGIN IF a THEN ", "BEGIN IF a THEN NULL; ELSE\n", "BEGIN LOOP\t", "BEGIN <<x>> ",
          "BEGIN PERFORM 1 FROM t FOR UPDATE; ", "BEGIN NULL;--x\n", "BEGIN NULL;/**/"}) {
      const std::string body = before + word + " x; END";
      CAPTURE(body);
      CHECK_FALSE(read_code(body, CodeLanguage::plpgsql).quiet);
    }
  }
}

TEST_CASE("what it uses is among the names") {
  CHECK(names("BEGIN PERFORM Public.\"My f\"(1); END", "My f"));
  CHECK(names("BEGIN PERFORM Public.My_F(1); END", "my_f"));
  CHECK(names("BEGIN PERFORM \"a\"\"b\"(1); END", "a\"b"));
  CHECK(names("BEGIN x := r.hidden; END", "hidden"));
  CHECK(names("DECLARE x t.a%TYPE; BEGIN END", "t"));
  CHECK_FALSE(names("BEGIN x := 'hidden'; END", "hidden"));
  const auto facts = read_code("BEGIN RETURN a ### b; END", CodeLanguage::plpgsql);
  CHECK(std::find(facts.operators.begin(), facts.operators.end(), "###") != facts.operators.end());
  CHECK(std::find(facts.operators.begin(), facts.operators.end(), "=") != facts.operators.end());
}

TEST_CASE("whether it may write") {
  CHECK_FALSE(read_code("BEGIN PERFORM 1 FROM t; END", CodeLanguage::plpgsql).writes);
  for (const auto body : {"BEGIN INSERT INTO t VALUES (1); END", "BEGIN DELETE FROM t; END", "BEGIN TRUNCATE t; END",
                          "BEGIN UPDATE t SET a = 1; END", "BEGIN MERGE INTO t USING s ON true; END"}) {
    CAPTURE(body);
    CHECK(read_code(body, CodeLanguage::plpgsql).writes);
  }
}

TEST_CASE("extensions") {
  CHECK(routing::is_quiet_extension("uuid-ossp"));
  CHECK_FALSE(routing::is_quiet_extension("pg_trgm"));  // set_limit()
  CHECK_FALSE(routing::is_quiet_extension(""));
}
