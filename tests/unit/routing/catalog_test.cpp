// What the catalog says of names, alone and through views, policies, checks and defaults.
#include "routing/catalog.h"

#include "doctest/doctest.h"
#include "unit/routing/small_catalog.h"

using namespace pgweir;
using routing::Safety;
using Name = sql::QualifiedName;

namespace {

std::string word(Safety safety) {
  return safety == Safety::safe ? "safe" : safety == Safety::unsafe ? "unsafe" : "unknown";
}

}  // namespace

TEST_CASE("functions") {
  const auto catalog = test::small_catalog();
  CHECK(word(catalog->function({"", "count"})) == "safe");
  CHECK(word(catalog->function({"pg_catalog", "count"})) == "safe");
  CHECK(word(catalog->function({"public", "count"})) == "unknown");
  CHECK(word(catalog->function({"", "reads"})) == "safe");
  CHECK(word(catalog->function({"", "writes"})) == "unsafe");
  CHECK(word(catalog->function({"", "nextval"})) == "unsafe");
  CHECK(word(catalog->function({"", "missing"})) == "unknown");
  CHECK(word(catalog->function({"", "current_setting"})) == "unsafe");
  CHECK(word(catalog->function({"", "by_default"})) == "unsafe");
  CHECK(word(catalog->function({"", "plain_default"})) == "safe");
}

TEST_CASE("an unqualified name is as safe as the worst object of that name") {
  const auto catalog = test::small_catalog();
  CHECK(word(catalog->function({"", "stable_twice"})) == "unsafe");
  CHECK(word(catalog->function({"pg_catalog", "stable_twice"})) == "safe");
  CHECK(word(catalog->relation({"", "twins"})) == "unsafe");
  CHECK(word(catalog->relation({"a", "twins"})) == "safe");
  CHECK(word(catalog->relation({"b", "twins"})) == "unsafe");
}

TEST_CASE("relations by kind, persistence, definition and policy") {
  const auto catalog = test::small_catalog();
  for (const char* name : {"t", "v", "stored", "guards_itself"}) {
    CAPTURE(name);
    CHECK(word(catalog->relation({"", name})) == "safe");
  }
  for (const char* name :
       {"unlogged", "foreign_one", "sequence", "mixed", "v_writes", "v_over", "v_broken", "guarded", "pg_locks"}) {
    CAPTURE(name);
    CHECK(word(catalog->relation({"", name})) == "unsafe");
  }
  CHECK(word(catalog->relation({"", "missing"})) == "unknown");
  CHECK(word(catalog->relation({"pg_temp", "t"})) == "unknown");
}

TEST_CASE("types and operators") {
  const auto catalog = test::small_catalog();
  CHECK(word(catalog->type({"", "text"})) == "safe");
  CHECK(word(catalog->type({"pg_catalog", "_int4"})) == "safe");
  CHECK(word(catalog->type({"", "positive"})) == "safe");
  CHECK(word(catalog->type({"", "checked"})) == "unsafe");
  CHECK(word(catalog->type({"", "_checked"})) == "unsafe");
  CHECK(word(catalog->type({"", "bad"})) == "unsafe");
  CHECK(word(catalog->type({"", "missing"})) == "unknown");
  CHECK(word(catalog->operator_({"", "="})) == "safe");
  CHECK(word(catalog->operator_({"", "###"})) == "unsafe");
  CHECK(word(catalog->operator_({"", "@@@@"})) == "unknown");
  CHECK(word(catalog->attribute("row_writes")) == "unsafe");
  CHECK(word(catalog->attribute("writes")) == "safe");
}

TEST_CASE("what may change the session's state") {
  const auto catalog = test::small_catalog();
  for (const char* name : {"writes", "set_config", "missing", "stable_twice"}) {
    CAPTURE(name);
    CHECK(catalog->may_have_user_effects({"", name}));
  }
  for (const char* name : {"count", "nextval", "random", "reads", "pg_advisory_lock", "by_default"}) {
    CAPTURE(name);
    CHECK_FALSE(catalog->may_have_user_effects({"", name}));
  }
  CHECK(catalog->relation_may_have_user_effects({"", "v_over"}));
  CHECK(catalog->relation_may_have_user_effects({"", "guarded"}));
  CHECK_FALSE(catalog->relation_may_have_user_effects({"", "t"}));
  CHECK_FALSE(catalog->relation_may_have_user_effects({"", "missing"}));
  CHECK(catalog->type_may_have_user_effects({"", "checked"}));
  CHECK(catalog->operator_may_have_user_effects({"", "###"}));
  CHECK(catalog->write_may_have_user_effects({"", "triggering"}));
  CHECK(catalog->write_may_have_user_effects({"public", "triggering"}));
  CHECK_FALSE(catalog->write_may_have_user_effects({"a", "triggering"}));
  CHECK_FALSE(catalog->relation_may_have_user_effects({"", "triggering"}));
  CHECK_FALSE(catalog->write_may_have_user_effects({"", "t"}));
  CHECK_FALSE(catalog->write_may_have_user_effects({"", "missing"}));
}

namespace {

using Rows = routing::CatalogRows;
using Target = Rows::Reach::Target;

/// A volatile function of this code.
void add_code(Rows& rows, const char* name, const char* body, const char* language = "plpgsql",
              const char* extension = "", const char* expressions = "") {
  rows.functions.push_back(
      {"public", name, true, false, false, expressions, 1, {Rows::Code{language, extension, body}}});
}

Rows rows_with_code() {
  Rows rows = test::small_rows();
  add_code(rows, "touches", "BEGIN NEW.updated_at := now(); RETURN NEW; END");
  add_code(rows, "sets", "BEGIN PERFORM set_config('a.b', '1', false); RETURN NEW; END");
  add_code(rows, "by_sql", "UPDATE t SET a = 1", "sql");
  add_code(rows, "calls_quiet", "BEGIN PERFORM touches(); PERFORM calls_quiet(); END");
  add_code(rows, "calls_loud", "BEGIN PERFORM other.Sets(); END");
  add_code(rows, "calls_deep", "BEGIN PERFORM calls_loud(); END");
  add_code(rows, "calls_opaque", "BEGIN PERFORM writes(); END");
  add_code(rows, "loud_argument", "BEGIN RETURN 1; END", "plpgsql", "", "set_config('a.b', '1', false)");
  add_code(rows, "in_c", "", "c");
  add_code(rows, "in_c_of_uuid", "", "c", "uuid-ossp");
  add_code(rows, "in_c_of_dblink", "", "c", "dblink");
  add_code(rows, "in_perl", "return 1", "plperl");
  add_code(rows, "writes_loud", "BEGIN INSERT INTO loud_table VALUES (1); END");
  add_code(rows, "reads_loud", "BEGIN PERFORM 1 FROM loud_table; END");
  add_code(rows, "writes_through_view", "BEGIN DELETE FROM over_loud_table; END");
  add_code(rows, "writes_quiet", "BEGIN INSERT INTO quiet_table VALUES (1); END");
  add_code(rows, "reads_loud_view", "BEGIN PERFORM 1 FROM v_over; END");
  add_code(rows, "loud_type", "DECLARE x checked; BEGIN NULL; END");
  add_code(rows, "loud_array", "DECLARE x _checked; BEGIN NULL; END");
  add_code(rows, "loud_operator", "BEGIN RETURN 1 ### 2; END");
  rows.functions.push_back({"public", "half_known", true, false, false, "", 2, {Rows::Code{"sql", "", "SELECT 1"}}});
  rows.functions.push_back(
      {"public",
       "overloaded",
       true,
       false,
       false,
       "",
       2,
       {Rows::Code{"sql", "", "SELECT 1"}, Rows::Code{"sql", "", "SELECT set_config('a', '', true)"}}});
  for (const char* name : {"loud_table", "quiet_table", "parent", "far_parent", "both"})
    rows.relations.push_back({"public", name, 'r', 'p', false, "", {}});
  rows.relations.push_back({"public", "over_loud_table", 'v', 'p', false, " SELECT a FROM public.loud_table;", {}});
  rows.relations.push_back({"pg_catalog", "pg_settings", 'v', 'p', false, " SELECT 1;", {}});
  rows.relations.push_back({"public", "my_settings", 'v', 'p', false, " SELECT 1 FROM pg_settings;", {}});
  rows.reaches = {
      {"public", "loud_table", Target::function, "public", "sets"},
      {"public", "quiet_table", Target::function, "public", "touches"},
      {"public", "parent", Target::relation, "public", "loud_table"},
      {"public", "far_parent", Target::relation, "public", "parent"},
      {"public", "both", Target::function, "public", "touches"},
      {"public", "both", Target::function, "public", "calls_deep"},
  };
  return rows;
}

}  // namespace

TEST_CASE("functions whose code leaves the session alone have no effects") {
  const auto catalog = routing::Catalog::build(1, {}, rows_with_code());
  for (const char* name : {"touches", "by_sql", "calls_quiet", "in_c_of_uuid", "reads_loud", "writes_quiet"}) {
    CAPTURE(name);
    CHECK_FALSE(catalog->may_have_user_effects({"", name}));
    CHECK(word(catalog->function({"", name})) == "unsafe");  // to a standby it does not go for that
  }
  for (const char* name : {"sets", "calls_loud", "calls_deep", "calls_opaque", "loud_argument", "in_c",
                           "in_c_of_dblink", "in_perl", "writes_loud", "writes_through_view", "reads_loud_view",
                           "loud_type", "loud_array", "loud_operator", "half_known", "overloaded"}) {
    CAPTURE(name);
    CHECK(catalog->may_have_user_effects({"", name}));
  }
}

TEST_CASE("a write has effects when what it fires or reaches has") {
  const auto catalog = routing::Catalog::build(1, {}, rows_with_code());
  for (const char* name :
       {"loud_table", "parent", "far_parent", "both", "over_loud_table", "pg_settings", "my_settings"}) {
    CAPTURE(name);
    CHECK(catalog->write_may_have_user_effects({"", name}));
    CHECK_FALSE(catalog->relation_may_have_user_effects({"", name}));
  }
  CHECK_FALSE(catalog->write_may_have_user_effects({"", "quiet_table"}));
}

TEST_CASE("a loud function that any statement may run leaves no code quiet") {
  Rows rows = rows_with_code();
  rows.reaches.push_back({"", "", Target::function, "public", "touches"});
  CHECK_FALSE(routing::Catalog::build(1, {}, rows)->may_have_user_effects({"", "by_sql"}));
  rows.reaches.push_back({"", "", Target::function, "public", "calls_deep"});
  CHECK(routing::Catalog::build(1, {}, rows)->may_have_user_effects({"", "by_sql"}));
}

TEST_CASE("custom settings keep their order") {
  CHECK(test::small_catalog()->custom_settings() == std::vector<std::string>{"app.tenant", "app.a.b"});
  CHECK(routing::Catalog::build(1, {}, {})->custom_settings().empty());
}
