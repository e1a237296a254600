// The names that a client has given to statements.
#include "session/prepared_statements.h"

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "doctest/doctest.h"

namespace {

using namespace pgweir;
using namespace pgweir::session;

constexpr std::uint64_t kSeed = 20251;

StatementPtr make(PreparedStatements& all, std::string_view name, std::string_view text) {
  return all.make({.name = name, .text = text, .types = {}, .query = {}}, kSeed);
}

pool::StatementKey key(std::string_view text, std::string_view types = {},
                       PreparedStatement::Origin origin = PreparedStatement::Origin::protocol,
                       std::uint64_t seed = kSeed) {
  StatementStock stock;
  PreparedStatements all(stock);
  return all.make({.origin = origin, .name = "n", .text = text, .types = types, .query = {}}, seed)->key;
}

}  // namespace

TEST_CASE("making defines nothing, and gives each statement a number of its own") {
  StatementStock stock;
  PreparedStatements all(stock);
  const auto first = make(all, "a", "SELECT 1");
  const auto second = make(all, "a", "SELECT 1");
  CHECK(first->id != 0);
  CHECK(first->id != second->id);
  CHECK(all.get("a") == nullptr);
  CHECK(all.size() == 0);
}

TEST_CASE("a name stays with its first statement, the unnamed one is replaced") {
  StatementStock stock;
  PreparedStatements all(stock);
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
  StatementStock stock;
  PreparedStatements all(stock);
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
  StatementStock stock;
  PreparedStatements all(stock);
  for (const char* name : {"", "a", "b", "c"}) all.define(make(all, name, "SELECT 1"));
  all.erase("b");
  all.erase("nobody");
  CHECK(all.size() == 3);
  CHECK(all.get("b") == nullptr);
  CHECK(all.take("nobody").empty());
  const auto a = all.get("a");
  CHECK(all.take("a") == std::vector{a});
  CHECK(all.size() == 2);
  all.define(a);
  CHECK(all.take("").size() == 2);
  CHECK(all.size() == 1);
  CHECK(all.get("") != nullptr);
  CHECK(all.take("").empty());
}

TEST_CASE("DEALLOCATE takes what servers have answered, not what was defined behind it") {
  StatementStock stock;
  PreparedStatements all(stock);
  for (const char* name : {"", "a", "b"}) {
    all.define(make(all, name, "SELECT 1"));
    all.get(name)->confirmed = true;
  }
  all.define(make(all, "behind", "SELECT 1"));
  all.define(all.make({.origin = PreparedStatement::Origin::local, .name = "own", .text = {}, .types = {}, .query = {}},
                      kSeed));
  SUBCASE("one") {
    all.deallocated("a");
    CHECK(all.get("a") == nullptr);
    all.deallocated("behind");
    CHECK(all.get("behind") != nullptr);
    CHECK(all.size() == 4);
  }
  SUBCASE("all that have names") {
    all.deallocated("");
    CHECK(all.get("") != nullptr);
    CHECK(all.get("behind") != nullptr);
    CHECK(all.size() == 2);
  }
}

TEST_CASE("EXECUTE finds what was prepared") {
  StatementStock stock;
  PreparedStatements all(stock);
  CHECK(all.find("a") == nullptr);
  const auto facts = base::make_local<sql::CachedFacts>();
  all.define(all.make({.name = "a", .text = {}, .types = {}, .query = {facts, {}}}, kSeed));
  CHECK(all.find("a") == facts);
  CHECK(all.find("A") == nullptr);  // names arrive folded
}

TEST_CASE("the hint points into the statement's own text") {
  StatementStock stock;
  PreparedStatements all(stock);
  std::string text = "/* pgweir: node=pg2 */ SELECT 1";
  const auto made = all.make({.name = {}, .text = text, .types = {}, .query = {{}, sql::hint_of(text)}}, kSeed);
  text.assign(text.size(), 'x');
  CHECK(made->query.hint.node == "pg2");
}

TEST_CASE("the key is made of the text, the types and the kind, and of nothing else") {
  using Origin = PreparedStatement::Origin;
  StatementStock stock;
  PreparedStatements all(stock);
  CHECK(make(all, "a", "SELECT 1")->key == make(all, "b", "SELECT 1")->key);
  CHECK(key("SELECT 1") == key("SELECT 1"));
  const std::vector<pool::StatementKey> different{key("SELECT 1"),
                                                  key("SELECT 2"),
                                                  key("SELECT 1 "),
                                                  key("SELECT 1", "\1"),
                                                  key("SELECT 1", "\2"),
                                                  key("SELECT 1\1"),
                                                  key("SELECT 1", {}, Origin::sql),
                                                  key("SELECT 1", {}, Origin::protocol, kSeed + 7)};
  for (std::size_t i = 0; i < different.size(); ++i)
    for (std::size_t j = 0; j < i; ++j) {
      CAPTURE(i);
      CAPTURE(j);
      CHECK_FALSE(different[i] == different[j]);
    }
}

TEST_CASE("a key under other settings is another key") {
  const pool::StatementKey one = key("SELECT 1");
  CHECK(with_meaning(one, 0) == one);
  std::set<std::pair<std::uint64_t, std::uint64_t>> seen;
  for (std::uint64_t meaning = 0; meaning < 1000; ++meaning) {
    const auto changed = with_meaning(one, meaning);
    CHECK(seen.emplace(changed.high, changed.low).second);
    CHECK(with_meaning(one, meaning) == changed);
  }
  // Texts first, then names: the order counts.
  CHECK_FALSE(with_meaning(with_meaning(one, 1), 2) == with_meaning(with_meaning(one, 2), 2));
}

TEST_CASE("the name on a server is the key in hexadecimal digits") {
  const SharedName shared({0x0123456789abcdefULL, 0xfedcba9876543210ULL});
  const std::string name(shared.view());
  CHECK(name == "pgweir_0123456789abcdeffedcba9876543210");
  CHECK(name.size() == SharedName::kSize);
  CHECK(name.starts_with(SharedName::kPrefix));
  CHECK(name.size() < 64);  // PostgreSQL cuts longer names
  CHECK(SharedName({0, 1}).view() == "pgweir_00000000000000000000000000000001");
  CHECK(SharedName({1, 0}).view() == "pgweir_00000000000000010000000000000000");
}

TEST_CASE("bytes are counted for what is defined, and only once") {
  StatementStock stock;
  PreparedStatements all(stock);
  CHECK(all.bytes() == 0);
  const auto first = make(all, "a", std::string(1000, 'x'));
  CHECK(all.bytes() == 0);
  all.define(first);
  const std::size_t one = all.bytes();
  CHECK(one > 1000);
  all.define(make(all, "a", std::string(5000, 'x')));  // stays as it was
  CHECK(all.bytes() == one);
  all.define(make(all, "", std::string(2000, 'x')));
  CHECK(all.bytes() > one + 2000);
  all.define(make(all, "", std::string(10, 'x')));  // replaces
  CHECK(all.bytes() < one + 2000);
  const std::size_t both = all.bytes();
  CHECK(all.take("").size() == 1);
  CHECK(all.bytes() == both - one);
  all.erase("");
  CHECK(all.bytes() == 0);
  all.define(first);
  CHECK(all.bytes() == one);
  all.withdraw(*first);
  CHECK(all.bytes() == 0);
  all.define(first);
  all.erase("a");
  CHECK(all.bytes() == 0);
}

TEST_CASE("what is withdrawn says so, until it is defined again") {
  StatementStock stock;
  PreparedStatements all(stock);
  const auto first = make(all, "a", "SELECT 1");
  CHECK_FALSE(first->withdrawn);
  all.withdraw(*first);
  CHECK(first->withdrawn);
  all.define(first);
  CHECK_FALSE(first->withdrawn);
  CHECK(all.all().size() == 1);
  CHECK(all.all().begin()->first == "a");
}

TEST_CASE("an unnamed statement that nobody has any more lends its memory to the next one") {
  StatementStock stock;
  PreparedStatements all(stock);
  all.define(make(all, "", "SELECT a FROM a_table_with_a_name"));
  const PreparedStatement* first = all.get("").get();
  all.define(make(all, "", "SELECT b FROM a_table_with_a_name"));
  CHECK(all.get("").get() != first);
  const auto third = make(all, "", "SELECT c");
  CHECK(third.get() == first);
  CHECK(third->text == "SELECT c");
  CHECK_FALSE(third->confirmed);
  // Somebody still has it: it stays as it is.
  const auto held = all.get("");
  all.define(third);
  CHECK(held->text == "SELECT b FROM a_table_with_a_name");
  CHECK(make(all, "", "SELECT d").get() != held.get());
  CHECK(all.bytes() > 0);
  all.erase("");
  CHECK(all.bytes() == 0);
}

TEST_CASE("memory that is much is not kept for the next one") {
  StatementStock stock;
  const auto keeps = [&](std::string_view text, std::string_view types) {
    StatementPtr statement = stock.take();
    statement->text = text;
    statement->types = types;
    stock.put_back(std::move(statement));
    const StatementPtr next = stock.take();
    return next->text.capacity() >= text.size() && next->types.capacity() >= types.size();
  };
  const std::string some(100, 'x'), much(5000, 'x');
  CHECK(keeps(some, some));
  CHECK_FALSE(keeps(much, ""));
  CHECK_FALSE(keeps("", much));
}

TEST_CASE("whether one may mean something else under other settings") {
  StatementStock stock;
  PreparedStatements all(stock);
  CHECK_FALSE(all.may_mean_another(0));
  all.define(make(all, "a", "SELECT 1"));
  all.note_meaning(7);
  CHECK_FALSE(all.may_mean_another(7));
  CHECK(all.may_mean_another(0));
  all.define(make(all, "b", "SELECT 1"));
  all.note_meaning(8);
  for (const std::uint64_t texts : {7, 8}) CHECK(all.may_mean_another(texts));
  all.erase("b");
  CHECK(all.may_mean_another(7));
  all.erase("a");
  CHECK_FALSE(all.may_mean_another(7));
}
