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

TEST_CASE("custom settings keep their order") {
  CHECK(test::small_catalog()->custom_settings() == std::vector<std::string>{"app.tenant", "app.a.b"});
  CHECK(routing::Catalog::build(1, {}, {})->custom_settings().empty());
}
