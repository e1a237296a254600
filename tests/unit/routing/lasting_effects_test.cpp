// What code may do that no view shows: by its words.
#include "routing/lasting_effects.h"

#include <string_view>

#include "doctest/doctest.h"
#include "routing/catalog.h"

using namespace pgweir::routing;

namespace {

constexpr LastingEffects kNothing, kLibrary{.library = true}, kSeed{.seed = true}, kServer{.server = true};

CatalogRows::Function function(const char* name, const char* body) {
  CatalogRows::Function row;
  row.schema = "public";
  row.name = name;
  row.code.push_back({"plpgsql", "", body});
  return row;
}

}  // namespace

TEST_CASE("words that load a library") {
  for (const std::string_view text :
       {"DO $$ BEGIN EXECUTE 'LOAD ''auto_explain'''; END $$", "load $a$x$a$", "EXECUTE 'LOAD ' || quote_literal(x)",
        "format('LOAD %L', x)", "concat('load', ' ')", "LOAD E'x'", "LOAD\n/* that */ 'x'"}) {
    CAPTURE(text);
    CHECK(lasting_effects_in(text) == kLibrary);
  }
  for (const std::string_view text : {"", "UPDATE t SET load = 5", "SELECT load FROM t", "SELECT f(load)",
                                      "t.load::int", "upload 'x'", "load_all('x')", "load"}) {
    CAPTURE(text);
    CHECK(lasting_effects_in(text) == kNothing);
  }
}

TEST_CASE("words that set a seed or bind the connection") {
  for (const std::string_view text :
       {"PERFORM setseed(0.5)", "pg_catalog.SetSeed (1)", "SET seed = 1", "set\tlocal\nSEED TO 1"})
    CHECK(lasting_effects_in(text) == kSeed);
  for (const std::string_view text : {"CALL seed()", "INSERT INTO seed VALUES (1)", "SET x = seed", "reset seed"})
    CHECK(lasting_effects_in(text) == kNothing);
  CHECK(lasting_effects_in("SELECT pg_create_logical_replication_slot('x', 'y', true)") == kServer);
  CHECK(lasting_effects_of_function(1599) == kSeed);
  CHECK(lasting_effects_of_function(6006) == kServer);
  CHECK(lasting_effects_of_function(2078) == kNothing);
}

TEST_CASE("what code does, all that leads to it does") {
  CatalogRows rows;
  rows.functions.push_back(function("far", "BEGIN RETURN Near(); END"));
  rows.functions.push_back(function("near", "BEGIN PERFORM setseed(0.5); END"));
  rows.functions.push_back(function("fired", "BEGIN LOAD 'x'; RETURN NEW; END"));
  rows.functions.push_back(function("writes", "BEGIN INSERT INTO t VALUES (1); END"));
  rows.functions.push_back(function("quiet", "BEGIN RETURN 1; END"));
  for (const char* name : {"t", "parent", "other", "v"}) {
    CatalogRows::Relation row;
    row.schema = "public";
    row.name = name;
    rows.relations.push_back(row);
  }
  rows.relations.back().kind = 'v';
  rows.relations.back().definition = "SELECT far() AS x";
  using Target = CatalogRows::Reach::Target;
  rows.reaches.push_back({"public", "parent", Target::relation, "public", "t"});
  rows.reaches.push_back({"public", "t", Target::function, "public", "fired"});
  const LastingByName found = lasting_effects_of(rows);
  for (const char* name : {"far", "near"}) CHECK(found.functions.at(name) == kSeed);
  for (const char* name : {"fired", "writes"}) CHECK(found.functions.at(name) == kLibrary);
  for (const char* name : {"t", "parent"}) CHECK(found.relations.at(name) == kLibrary);
  CHECK(found.relations.at("v") == kSeed);
  CHECK(found.functions.size() == 4);
  CHECK(found.relations.size() == 3);
}
