// The names that a client has given to statements.
#include "session/prepared_statements.h"

#include "doctest/doctest.h"

namespace {

using namespace pgweir;
using namespace pgweir::session;

StatementPtr make(PreparedStatements& all, std::string name, std::string text) {
  PreparedStatement statement;
  statement.name = std::move(name);
  statement.text = std::move(text);
  return all.make(std::move(statement));
}

}  // namespace

TEST_CASE("making defines nothing, and gives each statement a number of its own") {
  PreparedStatements all;
  const auto first = make(all, "a", "SELECT 1");
  const auto second = make(all, "a", "SELECT 1");
  CHECK(first->id != 0);
  CHECK(first->id != second->id);
  CHECK(all.get("a") == nullptr);
  CHECK(all.size() == 0);
}

TEST_CASE("a name stays with its first statement, the unnamed one is replaced") {
  PreparedStatements all;
  const auto first = make(all, "a", "SELECT 1");
  all.define(first);
  all.define(make(all, "a", "SELECT 2"));
  CHECK(all.get("a") == first);
  const auto unnamed = make(all, "", "SELECT 3");
  all.define(make(all, "", "SELECT 2"));
  all.define(unnamed);
  CHECK(all.get("") == unnamed);
  CHECK(all.size() == 2);
}

TEST_CASE("a failed Parse takes its own statement away and no other") {
  PreparedStatements all;
  const auto first = make(all, "a", "SELECT 1");
  const auto refused = make(all, "a", "SELECT 2");
  all.define(first);
  all.define(refused);
  all.withdraw(*refused);
  CHECK(all.get("a") == first);
  all.withdraw(*first);
  CHECK(all.get("a") == nullptr);
  all.withdraw(*first);
  CHECK(all.size() == 0);
}

TEST_CASE("erasing") {
  PreparedStatements all;
  for (const char* name : {"", "a", "b", "c"}) all.define(make(all, name, "SELECT 1"));
  all.erase("b");
  all.erase("nobody");
  CHECK(all.size() == 3);
  CHECK(all.get("b") == nullptr);
  all.clear_named();
  CHECK(all.size() == 1);
  CHECK(all.get("") != nullptr);
  all.clear();
  CHECK(all.size() == 0);
}

TEST_CASE("EXECUTE finds what was prepared") {
  PreparedStatements all;
  CHECK(all.find("a") == nullptr);
  PreparedStatement statement;
  statement.name = "a";
  const auto facts = base::make_local<sql::CachedFacts>();
  statement.query.entry = facts;
  all.define(all.make(std::move(statement)));
  CHECK(all.find("a") == facts);
  CHECK(all.find("A") == nullptr);  // names arrive folded
}

TEST_CASE("the hint points into the statement's own text") {
  PreparedStatements all;
  std::string text = "/* pgweir: node=pg2 */ SELECT 1";
  PreparedStatement statement;
  statement.text = text;
  statement.query.hint = sql::hint_of(text);
  const auto made = all.make(std::move(statement));
  text.assign(text.size(), 'x');
  CHECK(made->query.hint.node == "pg2");
}
