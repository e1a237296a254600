// Which standbys may serve a read when each has only some of the tables.
#include "routing/catalog_readers.h"

#include <initializer_list>

#include "doctest/doctest.h"
#include "sql/classifier.h"
#include "unit/routing/small_catalog.h"
#include "unit/sql/on_parser_stack.h"

using namespace pgweir;
using base::NodeId;
using base::NodeSet;

namespace {

/// pg2 has public.t, sales.* and the partition p_1; pg3 has public.t and both partitions; pg4 has the parent's only.
routing::CatalogRows partial_rows() {
  routing::CatalogRows rows = test::small_rows();
  const auto table = [&](const char* schema, const char* name, char kind = 'r', std::string definition = "") {
    rows.relations.push_back({schema, name, kind, 'p', false, std::move(definition), {}});
  };
  const auto function = [&](const char* name, bool built_in = false) {
    rows.functions.push_back({built_in ? "pg_catalog" : "public", name, false, built_in, false, "", 0});
  };
  table("sales", "orders");
  table("public", "secrets");
  table("public", "parts", 'p');
  table("public", "p_1");
  table("public", "p_2");
  table("public", "family");
  table("public", "child");
  table("pg_catalog", "pg_class");
  table("public", "v_both", 'v', " SELECT t.a FROM public.t, sales.orders;");
  table("public", "v_secret", 'v', " SELECT 1 FROM public.v_both, public.secrets;");
  table("public", "v_place", 'v', " SELECT t.ctid FROM public.t;");
  table("public", "v_name", 'v', " SELECT ('t'::regclass)::text AS name;");
  for (const char* name : {"pure", "counts", "peeks", "calls", "runs", "in_c", "known_c", "unread"}) function(name);
  for (const char* name : {"pg_relation_size", "pg_typeof", "has_table_privilege"}) function(name, true);
  rows.operators.push_back({"public", "<->", false, false});
  rows.operators.push_back({"public", "|+|", false, false});

  routing::ReplicationRows replication;
  replication.nodes = {{NodeId{1}, {{"public", "t"}, {"sales", "*"}, {"public", "p_1"}, {"public", "family"}}},
                       {NodeId{2}, {{"public", "t"}, {"public", "p_1"}, {"public", "p_2"}, {"public", "child"}}},
                       {NodeId{3},
                        {{"public", "parts"},
                         {"public", "family"},
                         {"public", "child"},
                         {"public", "v_both"},
                         {"public", "sequence"},
                         {"public", "stored"},
                         {"pg_catalog", "pg_class"}}}};
  replication.children = {{{"public", "parts"}, {"public", "p_1"}},
                          {{"public", "parts"}, {"public", "p_2"}},
                          {{"public", "family"}, {"public", "child"}}};
  const auto code = [&](const char* name, const char* language, const char* extension, const char* body) {
    replication.functions.push_back({{"public", name}, language, extension, body});
  };
  code("pure", "sql", "", "SELECT $1 + 1");
  code("counts", "sql", "", "SELECT count(*) FROM t, orders");
  code("peeks", "plpgsql", "", "BEGIN RETURN (SELECT count(*) FROM public.secrets); END");
  code("calls", "plpgsql", "", "BEGIN RETURN counts() + pure(1); END");
  code("runs", "plpgsql", "", "BEGIN EXECUTE 'SELECT 1 FROM t'; RETURN 1; END");
  code("in_c", "c", "", "");
  code("known_c", "c", "hstore", "");
  replication.operators = {{{"public", "<->"}, {"public", "known_c"}}, {{"public", "|+|"}, {"public", "peeks"}}};
  rows.replication = std::move(replication);
  return rows;
}

NodeSet nodes(std::initializer_list<std::uint16_t> ids) {
  NodeSet set;
  for (const std::uint16_t id : ids) set.add(NodeId{id});
  return set;
}

NodeSet readers(const routing::CatalogPtr& catalog, const char* text) {
  NodeSet set = NodeSet::all();
  for (const auto& statement : sql::facts_of(text, {}).statements) set = set & catalog->readers(statement);
  return set;
}

}  // namespace

TEST_CASE("a read may run where everything is that it reads") {
  test::on_parser_stack([] {
    const auto catalog = routing::Catalog::build(1, {}, partial_rows());
    const auto check = [&](const char* text, NodeSet expected) {
      INFO(text);
      CHECK(readers(catalog, text) == expected);
    };
    check("SELECT 1", NodeSet::all());
    check("SELECT now()", NodeSet::all());
    check("SELECT * FROM t", nodes({1, 2}));
    check("SELECT * FROM public.t, sales.orders", nodes({1}));
    check("SELECT * FROM t WHERE EXISTS (SELECT 1 FROM secrets)", nodes({}));
    check("SELECT * FROM v_both", nodes({1}));
    check("SELECT * FROM v_secret", nodes({}));
    check("SELECT * FROM nobody_knows_it", nodes({}));
    // Never there, whatever the operator has listed.
    for (const char* text : {"SELECT * FROM sequence", "SELECT * FROM stored", "SELECT * FROM unlogged",
                             "SELECT * FROM foreign_one", "SELECT * FROM pg_class"})
      check(text, nodes({}));
    // A name without a schema stands for all that have it.
    check("SELECT * FROM twins", nodes({}));
  });
}

TEST_CASE(
    "a parent is where it is itself, or all of its partitions are; one that has rows, where its children are too") {
  test::on_parser_stack([] {
    const auto catalog = routing::Catalog::build(1, {}, partial_rows());
    CHECK(readers(catalog, "SELECT * FROM parts") == nodes({2, 3}));
    CHECK(readers(catalog, "SELECT * FROM p_1") == nodes({1, 2}));
    CHECK(readers(catalog, "SELECT * FROM family") == nodes({3}));
  });
}

TEST_CASE("a function of users counts as what its code reads, and one that is not understood keeps the read away") {
  test::on_parser_stack([] {
    const auto catalog = routing::Catalog::build(1, {}, partial_rows());
    const auto check = [&](const char* text, NodeSet expected) {
      INFO(text);
      CHECK(readers(catalog, text) == expected);
    };
    check("SELECT pure(1)", NodeSet::all());
    check("SELECT counts()", nodes({1}));
    check("SELECT calls()", nodes({1}));
    for (const char* text : {"SELECT peeks()", "SELECT runs()", "SELECT in_c()", "SELECT unread()", "SELECT no_such()"})
      check(text, nodes({}));
    check("SELECT known_c() FROM t", nodes({1, 2}));
    check("SELECT 1 FROM t WHERE a <-> b > 1", nodes({1, 2}));
    check("SELECT 1 FROM t WHERE a |+| b", nodes({}));
    check("SELECT t.pure FROM t", nodes({1, 2}));  // a column, or pure(t)
    check("SELECT t.peeks FROM t", nodes({}));
  });
}

TEST_CASE("what each server has of its own keeps a read away from replicas") {
  test::on_parser_stack([] {
    const auto catalog = routing::Catalog::build(1, {}, partial_rows());
    for (const char* text : {"SELECT xmin FROM t", "SELECT t.ctid FROM t", "SELECT (t).tableoid FROM t",
                             "SELECT * FROM v_place", "SELECT 't'::regclass", "SELECT 1::oid", "SELECT * FROM v_name",
                             "SELECT pg_relation_size('t')", "SELECT has_table_privilege('t', 'select')"}) {
      INFO(text);
      CHECK(readers(catalog, text) == nodes({}));
    }
    CHECK(readers(catalog, "SELECT pg_typeof(1)") == NodeSet::all());
  });
}

TEST_CASE("casts and comparisons that users wrote count for every statement") {
  test::on_parser_stack([] {
    routing::CatalogRows rows = partial_rows();
    rows.replication->unnamed = {{"public", "counts"}};
    const auto catalog = routing::Catalog::build(1, {}, rows);
    CHECK(readers(catalog, "SELECT * FROM t") == nodes({1}));
    rows.replication->unnamed = {{"public", "runs"}};
    CHECK(readers(routing::Catalog::build(2, {}, rows), "SELECT 1 FROM t") == nodes({}));
  });
}

TEST_CASE("without replication of parts every standby has everything") {
  test::on_parser_stack([] { CHECK(readers(test::small_catalog(), "SELECT xmin FROM t") == NodeSet::all()); });
}

TEST_CASE("a set of nodes holds as many as there may be") {
  NodeSet set;
  CHECK(set.none());
  for (const std::uint16_t id : std::initializer_list<std::uint16_t>{0, 63, 64, 127}) {
    CHECK_FALSE(set.has(NodeId{id}));
    set.add(NodeId{id});
    CHECK(set.has(NodeId{id}));
  }
  set.remove(NodeId{64});
  CHECK(set == nodes({0, 63, 127}));
  CHECK((set & NodeSet::all()) == set);
  CHECK((set | nodes({5})).has(NodeId{5}));
}
