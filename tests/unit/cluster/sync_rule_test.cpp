// Reading synchronous_standby_names, and how many standbys must be in sight.
#include "cluster/sync_rule.h"

#include "doctest/doctest.h"

using namespace pgweir::cluster;

namespace {

SyncRule rule(unsigned count, std::vector<std::string> names, bool everyone = false) {
  return {count, everyone, names};
}

bool enough(const char* setting, std::vector<SyncWitness> nodes, std::vector<std::string> strangers = {}) {
  return sight_of(parse_synchronous_standby_names(setting), nodes, strangers, "pg1").enough;
}

}  // namespace

TEST_CASE("the setting as servers write it") {
  const auto parse = parse_synchronous_standby_names;
  CHECK(parse("").asynchronous());
  CHECK(parse("  ").asynchronous());
  CHECK(parse("pg2") == rule(1, {"pg2"}));
  CHECK(parse("pg2, PG3") == rule(1, {"pg2", "pg3"}));
  CHECK(parse("2 (a, b, c)") == rule(2, {"a", "b", "c"}));
  CHECK(parse("FIRST 1 (a,b)") == rule(1, {"a", "b"}));
  CHECK(parse("any 2(a , \"b, \"\"x\", c)") == rule(2, {"a", "b, \"x", "c"}));
  CHECK(parse("ANY 1 (*)") == rule(1, {}, true));
  CHECK(parse("*") == rule(1, {}, true));
  CHECK(parse("any") == rule(1, {"any"}));  // a name like any other
}

TEST_CASE("what no server accepts is read as strictly as possible") {
  for (const char* text : {"ANY 1 (a", "ANY 1 (a) b", "ANY x (a)", "a,", "(a)", "1 ()", ",", "FIRST"}) {
    CAPTURE(text);
    const SyncRule read = parse_synchronous_standby_names(text);
    CHECK_FALSE(read.asynchronous());
  }
}

TEST_CASE("names compare as the server compares them") {
  const SyncRule one = parse_synchronous_standby_names("Pg2");
  CHECK(one.lists("pg2"));
  CHECK(one.lists("PG2"));
  CHECK_FALSE(one.lists("pg22"));
  CHECK(parse_synchronous_standby_names("*").lists("whatever"));
}

TEST_CASE("asynchronous: nobody has to be seen") { CHECK(enough("", {{"pg2", false}, {"pg3", false}})); }

TEST_CASE("ANY n of N, and FIRST as well: N - n + 1 must be seen") {
  for (const std::string kind : {"ANY", "FIRST"}) {
    const std::string one = kind + " 1 (pg1, pg2, pg3, pg4)";
    CHECK(enough(one.c_str(), {{"pg2", true}, {"pg3", true}, {"pg4", true}}));
    CHECK_FALSE(enough(one.c_str(), {{"pg2", true}, {"pg3", true}, {"pg4", false}}));
    const std::string two = kind + " 2 (pg1, pg2, pg3, pg4)";
    CHECK(enough(two.c_str(), {{"pg2", true}, {"pg3", false}, {"pg4", true}}));
    CHECK_FALSE(enough(two.c_str(), {{"pg2", true}, {"pg3", false}, {"pg4", false}}));
  }
}

TEST_CASE("who is not listed does not matter") {
  CHECK(enough("ANY 1 (pg2)", {{"pg2", true}, {"pg3", false}}));
  CHECK_FALSE(enough("ANY 1 (pg2)", {{"pg2", false}, {"pg3", true}}));
}

TEST_CASE("a name that nobody in sight has may be somebody who has it all") {
  CHECK_FALSE(enough("ANY 1 (pg2, archive)", {{"pg2", true}}));
  CHECK(enough("ANY 2 (pg2, archive)", {{"pg2", true}}));
  CHECK_FALSE(enough("ANY 1 (*)", {{"pg2", true}}, {"archive"}));
  CHECK(enough("ANY 1 (pg2)", {{"pg2", true}}, {"archive"}));
  CHECK_FALSE(enough("ANY 1 (pg2)", {{"pg2", true}, {"", false}}));  // it has not said what it is called
}
