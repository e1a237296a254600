// A small catalog for tests: what a database with a few tables, views and functions looks like to the router.
#pragma once
#include <string>

#include "routing/catalog.h"

namespace pgweir::test {

inline routing::CatalogRows small_rows() {
  routing::CatalogRows rows;
  const std::string sys = "pg_catalog";
  for (const char* name : {"count", "sum", "now", "current_setting", "stable_twice"}) {
    rows.functions.push_back({sys, name, false, true, false, ""});
  }
  for (const char* name : {"nextval", "random", "set_config", "pg_advisory_lock"}) {
    rows.functions.push_back({sys, name, true, true, false, ""});
  }
  rows.functions.push_back({"public", "reads", false, false, false, ""});
  rows.functions.push_back({"public", "writes", true, false, false, ""});
  rows.functions.push_back({"public", "stable_twice", true, false, false, ""});
  rows.functions.push_back({"public", "row_writes", true, false, true, ""});
  rows.functions.push_back({"public", "by_default", false, false, false, "1, nextval('s'::regclass)"});
  rows.functions.push_back({"public", "plain_default", false, false, false, "1, now()"});
  rows.relations.push_back({"public", "t", 'r', 'p', false, "", {}});
  rows.relations.push_back({"public", "unlogged", 'r', 'u', false, "", {}});
  rows.relations.push_back({"public", "foreign_one", 'f', 'p', false, "", {}});
  rows.relations.push_back({"public", "sequence", 'S', 'p', false, "", {}});
  rows.relations.push_back({"public", "mixed", 'p', 'p', true, "", {}});
  rows.relations.push_back({"public", "stored", 'm', 'p', false, " SELECT writes() ", {}});
  rows.relations.push_back({"public", "v", 'v', 'p', false, " SELECT a FROM public.t;", {}});
  rows.relations.push_back({"public", "v_writes", 'v', 'p', false, " SELECT public.writes() AS writes;", {}});
  rows.relations.push_back({"public", "v_over", 'v', 'p', false, " SELECT 1 FROM public.v_writes;", {}});
  rows.relations.push_back({"public", "v_broken", 'v', 'p', false, "not SQL", {}});
  rows.relations.push_back({"public", "guarded", 'r', 'p', false, "", {"(writes() > 0)"}});
  rows.relations.push_back(
      {"public", "guards_itself", 'r', 'p', false, "", {"EXISTS (SELECT 1 FROM public.guards_itself)"}});
  rows.relations.push_back({"public", "triggering", 'r', 'p', false, "", {}});
  rows.reaches.push_back({"public", "triggering", routing::CatalogRows::Reach::Target::function, "public", "writes"});
  rows.relations.push_back({"a", "twins", 'r', 'p', false, "", {}});
  rows.relations.push_back({"b", "twins", 'r', 'u', false, "", {}});
  rows.relations.push_back({sys, "pg_locks", 'v', 'p', false, " SELECT 1;", {}});
  for (const char* name : {"int4", "text", "regclass", "numeric"}) rows.types.push_back({sys, name, false, {}});
  rows.types.push_back({"public", "positive", false, {"(VALUE > 0)"}});
  rows.types.push_back({"public", "checked", false, {"(public.writes() > 0)"}});
  rows.types.push_back({"public", "bad", true, {}});
  for (const char* name : {"=", ">", "+", "<"}) rows.operators.push_back({sys, name, false, true});
  rows.operators.push_back({"public", "###", true, false});
  rows.custom_settings = {"app.tenant", "app.a.b"};
  return rows;
}

inline routing::CatalogPtr small_catalog(std::uint64_t version = 1) {
  return routing::Catalog::build(version, {}, small_rows());
}

}  // namespace pgweir::test
