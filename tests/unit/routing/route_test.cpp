// The decision table row by row, effects on the session, and what EXPLAIN ROUTE says.
#include "routing/route.h"

#include <map>
#include <string>

#include "doctest/doctest.h"
#include "unit/routing/small_catalog.h"

using namespace pgweir;
using namespace pgweir::routing;

namespace {

class Prepared : public PreparedLookup {
 public:
  [[nodiscard]] sql::CachedFactsPtr find(std::string_view name) const override {
    const auto found = known.find(name);
    return found == known.end() ? nullptr : found->second;
  }
  void add(const std::string& name, std::string_view text) {
    known[name] = base::make_local<sql::CachedFacts>(sql::facts_of(text, {}));
  }
  std::map<std::string, sql::CachedFactsPtr, std::less<>> known;
};

struct World {
  CatalogPtr catalog = test::small_catalog();
  SessionFacts session;
  Prepared prepared;
  sql::Classifier classifier{sql::ClassifierLimits{}};

  Route route(std::string_view text) { return decide(classifier.classify(0, text), session, prepared, catalog.get()); }
  /// "standby read"
  std::string operator()(std::string_view text) {
    const Route decided = route(text);
    return std::string(name_of(decided.node_class)) + " " + std::string(name_of(decided.reason));
  }
};

}  // namespace

TEST_CASE("statements by themselves") {
  World world;
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"SELECT 1", "standby read"},
      {"SELECT count(*) FROM t WHERE a = 1", "standby read"},
      {"SELECT 1; SELECT 2", "standby read"},
      {"SELECT 1; INSERT INTO t VALUES (1)", "primary write"},
      {"BEGIN; SELECT 1", "primary begin"},
      {"SELECT writes()", "primary volatile_function"},
      {"SELECT missing()", "primary unknown_function"},
      {"SELECT * FROM v_over", "primary unsafe_relation"},
      {"SELECT * FROM missing", "primary unknown_relation"},
      {"SELECT 1::bad", "primary unsafe_type"},
      {"SELECT 1 ### 2", "primary unsafe_operator"},
      {"SELECT t.row_writes FROM t", "primary volatile_function"},
      {"SELECT current_setting('x')", "primary node_local"},
      {"SELECT * FROM pg_locks", "primary node_local"},
      {"SELECT 1 FROM t FOR UPDATE", "primary row_lock_or_into"},
      {"PREPARE p AS SELECT 1 FROM t FOR UPDATE", "primary session_command"},
      {"COPY t TO STDOUT", "standby copy_out"},
      {"COPY (SELECT writes()) TO STDOUT", "primary volatile_function"},
      {"DECLARE c CURSOR FOR SELECT 1", "primary cursor"},
      {"SHOW work_mem", "primary show"},
      {"SHOW pool_nodes", "pgweir local_command"},
      {"EXPLAIN ROUTE SELECT 1", "pgweir local_command"},
      {"nonsense", "primary unparsed"},
      {"", "primary empty"},
  };
  for (const auto& one : cases) {
    CAPTURE(one.first);
    CHECK(world(one.first) == one.second);
    CHECK(world(one.first) == one.second);  // from the cache, too
  }
  CHECK(world.route("SELECT public.writes()").subject == "writes");
}

TEST_CASE("the session's state keeps reads on the primary, above all else") {
  World world;
  world.session.reads = ReadsMode::primary;
  CHECK(world("SELECT 1") == "primary reads_primary");
  CHECK(world("/* pgweir: standby */ SELECT 1") == "standby hint_standby");
  world.session.unknown_state = true;
  CHECK(world("/* pgweir: standby */ SELECT 1") == "primary unknown_session_state");
  world.session.has_temporary = true;
  CHECK(world("SELECT 1") == "primary temporary_tables");
  world.session.unsafe_encoding = true;
  CHECK(world("SELECT 1") == "primary unsafe_encoding");
  world.session.transaction = SessionFacts::Transaction::open;
  CHECK(world("INSERT INTO t VALUES (1)") == "current open_transaction");
  CHECK(world("SHOW pool_nodes") == "pgweir local_command");
  world.session.replication = true;
  CHECK(world("SELECT 1") == "primary replication_connection");
}

TEST_CASE("a session whose transactions are SERIALIZABLE reads on the primary") {
  World world;
  world.session.serializable = true;
  CHECK(world("SELECT 1") == "primary serializable");
  CHECK(world("/* pgweir: standby */ SELECT 1") == "primary serializable");
  CHECK(world("/* pgweir: primary */ SELECT 1") == "primary hint_primary");
  CHECK(world("INSERT INTO t VALUES (1)") == "primary write");
  CHECK(world("SHOW pool_nodes") == "pgweir local_command");
  world.session.transaction = SessionFacts::Transaction::lazy_begin;
  world.session.lazy_read_only = true;
  CHECK(world("SELECT 1") == "primary serializable");
  world.session.transaction = SessionFacts::Transaction::open;
  CHECK(world("SELECT 1") == "current open_transaction");
}

TEST_CASE("the first statement of a transaction decides where it runs") {
  World world;
  world.session.transaction = SessionFacts::Transaction::lazy_begin;
  CHECK(world("SELECT 1") == "primary begin");
  world.session.lazy_read_only = true;
  CHECK(world("SELECT 1") == "standby begin_read_only");
  CHECK(world("DECLARE c CURSOR FOR SELECT 1") == "standby begin_read_only");
  CHECK(world("DECLARE c CURSOR WITH HOLD FOR SELECT 1") == "primary cursor");
  CHECK(world("SELECT writes()") == "primary volatile_function");
  CHECK(world("INSERT INTO t VALUES (1)") == "primary write");
  CHECK(world("/* pgweir: primary */ SELECT 1") == "primary hint_primary");
  world.session.lazy_serializable = true;
  CHECK(world("SELECT 1") == "primary begin");
  CHECK(world("/* pgweir: standby */ SELECT 1") == "primary begin");
}

TEST_CASE("hints") {
  World world;
  CHECK(world("/* pgweir: primary */ SELECT 1") == "primary hint_primary");
  CHECK(world("/* pgweir: standby */ SELECT random()") == "standby hint_standby");
  CHECK(world("/* pgweir: standby */ SELECT missing()") == "primary unknown_function");
  CHECK(world("/* pgweir: standby */ SELECT writes()") == "primary volatile_function");
  CHECK(world("/* pgweir: standby */ SELECT pg_advisory_lock(1)") == "primary volatile_function");
  CHECK(world("/* pgweir: standby */ DELETE FROM t") == "primary write");
  CHECK(world("/* pgweir: node=pg2 */ DELETE FROM t") == "primary write");
  CHECK(world("/* pgweir: whatever */ SELECT 1") == "primary hint_invalid");
  const sql::Classified hinted = world.classifier.classify(0, "/* pgweir: node=pg2 */ SELECT 1");
  const Route route = decide(hinted, world.session, world.prepared, world.catalog.get());
  CHECK(route.node_class == NodeClass::node);
  CHECK(route.node == "pg2");
}

TEST_CASE("EXECUTE follows what it names") {
  World world;
  world.prepared.add("r", "SELECT a FROM t");
  world.prepared.add("rp", "PREPARE rp AS SELECT a FROM t");
  world.prepared.add("w", "INSERT INTO t VALUES (1)");
  world.prepared.add("f", "SELECT writes()");
  CHECK(world("EXECUTE r") == "standby prepared_read");
  CHECK(world("EXECUTE rp") == "standby prepared_read");
  CHECK(world("EXPLAIN ANALYZE EXECUTE r") == "standby prepared_read");
  CHECK(world("EXECUTE w") == "primary prepared_write");
  CHECK(world("EXECUTE f") == "primary prepared_write");
  CHECK(world("EXECUTE missing") == "primary prepared_unknown");
  CHECK(world("EXECUTE r (writes())") == "primary volatile_function");
  world.prepared.known["r"]->learned_write = true;
  CHECK(world("EXECUTE r") == "primary prepared_write");
}

TEST_CASE("without a catalog only reads of constants leave the primary") {
  World world;
  world.catalog = nullptr;
  CHECK(world("SELECT 1") == "standby read");
  CHECK(world("SELECT * FROM t") == "primary catalog_not_loaded");
  CHECK(world("SELECT count(*)") == "primary catalog_not_loaded");
  // Another catalog, another verdict.
  world.catalog = test::small_catalog(2);
  CHECK(world("SELECT * FROM t") == "standby read");
  CatalogRows rows = test::small_rows();
  rows.relations[0].persistence = 'u';
  world.catalog = Catalog::build(3, {}, rows);
  CHECK(world("SELECT * FROM t") == "primary unsafe_relation");
}

TEST_CASE("what a standby refused is a write from then on") {
  World world;
  world.classifier.classify(0, "SELECT a FROM t WHERE b = 1").entry->learned_write = true;
  CHECK(world("SELECT a FROM t WHERE b = 2") == "primary learned_write");
}

TEST_CASE("what is not replicated is read on the primary, and so is everything in a transaction") {
  World world;
  CatalogRows rows = test::small_rows();
  rows.relations.push_back({"public", "u", 'r', 'p', false, "", {}});
  rows.replication = ReplicationRows{};
  rows.replication->nodes = {{base::NodeId{2}, {{"public", "t"}}}};
  world.catalog = Catalog::build(9, {}, rows);
  world.session.partial_standbys = true;
  base::NodeSet second;
  second.add(base::NodeId{2});
  CHECK(world("SELECT 1") == "standby read");
  CHECK(world.route("SELECT 1").nodes == base::NodeSet::all());
  CHECK(world("SELECT * FROM t") == "standby read");
  CHECK(world.route("SELECT * FROM t").nodes == second);
  CHECK(world("SELECT * FROM u") == "primary not_replicated");
  CHECK(world("SELECT * FROM t, u") == "primary not_replicated");
  CHECK(world("SELECT 1 FROM t; SELECT 1 FROM u") == "primary not_replicated");
  CHECK(world("INSERT INTO u VALUES (1)") == "primary write");
  CHECK(world("SELECT * FROM v") == "standby read");
  world.prepared.add("p", "SELECT * FROM t");
  world.prepared.add("q", "SELECT * FROM u");
  CHECK(world.route("EXECUTE p").nodes == second);
  CHECK(world("EXECUTE q") == "primary not_replicated");
  // Who asks for a standby gets one of those that have it, or any if none is known to.
  CHECK(world.route("/* pgweir: standby */ SELECT * FROM t").nodes == second);
  CHECK(world("/* pgweir: standby */ SELECT * FROM u") == "standby hint_standby");
  CHECK(world.route("/* pgweir: standby */ SELECT * FROM u").nodes == base::NodeSet::all());
  world.session.transaction = SessionFacts::Transaction::lazy_begin;
  world.session.lazy_read_only = true;
  CHECK(world("SELECT * FROM t") == "primary not_replicated");
  CHECK(world("SELECT 1") == "primary not_replicated");
}

TEST_CASE("effects on the session") {
  World world;
  const auto effects = [&](std::string_view text) {
    const sql::Classified query = world.classifier.classify(0, text);
    const SessionEffects plain = effects_of(query.entry->facts, world.catalog.get());
    for (int i = 0; i < 2; ++i) {
      const SessionEffects kept = effects_of(*query.entry, world.catalog.get());
      CHECK(kept.unknown == plain.unknown);
      CHECK(kept.creates_temporary == plain.creates_temporary);
    }
    return plain;
  };
  for (const char* text :
       {"DO 'x'", "CALL p()", "SELECT set_config('a', 'b', false)", "SELECT writes()", "SELECT missing()", "nonsense",
        "SELECT * FROM v_over", "SELECT 1; SELECT writes()", "SELECT 1 ### 2", "INSERT INTO t VALUES (writes())",
        "INSERT INTO triggering VALUES (1)", "UPDATE public.triggering SET a = 1", "COPY triggering FROM STDIN",
        "WITH gone AS (DELETE FROM triggering RETURNING 1) SELECT count(*) FROM gone",
        "EXPLAIN ANALYZE DELETE FROM triggering", "CREATE TABLE x (a int); SELECT reads()",
        "ALTER TABLE t ADD a int; INSERT INTO t VALUES (1)"}) {
    CAPTURE(text);
    CHECK(effects(text).unknown);
  }
  for (const char* text : {"SELECT 1", "SELECT nextval('s')", "SELECT pg_advisory_lock(1)", "SELECT random()",
                           "INSERT INTO t VALUES (1)", "CREATE TABLE x (a int)", "SELECT * FROM missing", "SET x = 1",
                           "SELECT * FROM triggering", "COPY triggering TO STDOUT"}) {
    CAPTURE(text);
    CHECK_FALSE(effects(text).unknown);
  }
  CHECK(effects("CREATE TEMP TABLE x (a int)").creates_temporary);
  CHECK_FALSE(effects("CREATE TABLE x (a int)").creates_temporary);
  world.catalog = nullptr;
  const auto unknown = [&](const char* text) {
    return effects_of(world.classifier.classify(0, text).entry->facts, nullptr).unknown;
  };
  CHECK_FALSE(unknown("SELECT count(*), now() FROM pg_catalog.pg_class"));
  CHECK_FALSE(unknown("SELECT count(*), now() FROM pg_class, information_schema.tables"));
  CHECK(unknown("SELECT count(*), now() FROM t"));  // it may be a view
  CHECK(unknown("SELECT anything()"));
  CHECK(unknown("INSERT INTO t VALUES (1)"));
}

TEST_CASE("EXPLAIN ROUTE says where, why and from what") {
  World world;
  const sql::Classified query = world.classifier.classify(0, "SELECT public.writes() FROM t");
  const Explanation told =
      explain(decide(query, world.session, world.prepared, world.catalog.get()), query.entry->facts);
  CHECK(told.node_class == "primary");
  CHECK(told.reason == "volatile_function (writes): it uses a volatile function, which may write");
  CHECK(told.facts == "query; only reads; functions: public.writes; relations: t");
}

TEST_CASE("every reason has a name and a text of its own") {
  std::map<std::string_view, int> names;
  for (const ReasonRow& row : reasons()) {
    ++names[row.name];
    CHECK_FALSE(row.text.empty());
  }
  CHECK(names.size() == kReasonCount);
}
