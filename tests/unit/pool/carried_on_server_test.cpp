// The books of a server connection: equal settings, and the prepared statements in the order of their use.
#include "pool/carried_on_server.h"

#include <algorithm>
#include <initializer_list>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "doctest/doctest.h"

namespace {

using namespace pgweir;
using namespace pgweir::pool;

SettingsPtr settings(std::vector<SettingText> list) {
  return std::make_shared<const std::vector<SettingText>>(std::move(list));
}

std::vector<std::string> names(const PreparedOnServer& prepared) {
  std::vector<std::string> out;
  for (const auto& entry : prepared.entries()) out.push_back(entry.name);
  return out;
}
using Names = std::vector<std::string>;

PreparedOnServer with(std::initializer_list<const char*> all) {
  PreparedOnServer prepared;
  std::uint64_t number = 0;
  for (const char* name : all) {
    ++number;
    prepared.add({name, {number, 0}, 10 * number, {}});
  }
  return prepared;
}

}  // namespace

TEST_CASE("settings are the same when they say the same, and none are as good as an empty list") {
  const SettingsPtr one = settings({{"a", "SET a = 1"}});
  CHECK(same_settings(one, one));
  CHECK(same_settings(one, settings({{"a", "SET a = 1"}})));
  CHECK_FALSE(same_settings(one, settings({{"a", "SET a = 2"}})));
  CHECK_FALSE(same_settings(one, settings({{"b", "SET a = 1"}})));
  CHECK_FALSE(same_settings(one, settings({{"a", "SET a = 1"}, {"b", "SET b = 1"}})));
  CHECK(same_settings(nullptr, nullptr));
  for (const SettingsPtr& none : {SettingsPtr(), settings({})}) {
    CHECK_FALSE(same_settings(one, none));
    CHECK_FALSE(same_settings(none, one));
    CHECK(same_settings(none, nullptr));
    CHECK(same_settings(settings({}), none));
  }
}

TEST_CASE("the order is that of the use") {
  PreparedOnServer prepared = with({"a", "b", "c"});
  CHECK(names(prepared) == Names{"c", "b", "a"});
  const auto* found = prepared.find("a");
  REQUIRE(found != nullptr);
  CHECK(found->name == "a");
  CHECK(found->key == StatementKey{1, 0});
  CHECK(names(prepared) == Names{"a", "c", "b"});
  CHECK(prepared.find("nobody") == nullptr);
  CHECK(prepared.find("") == nullptr);
  CHECK(names(prepared) == Names{"a", "c", "b"});
}

TEST_CASE("bytes are those of what is there") {
  PreparedOnServer prepared = with({"a", "b", "c"});
  CHECK(prepared.size() == 3);
  CHECK(prepared.bytes() == 60);
  const auto removed = prepared.remove("b");
  REQUIRE(removed.has_value());
  CHECK(removed->name == "b");
  CHECK(removed->key == StatementKey{2, 0});
  CHECK(removed->bytes == 20);
  CHECK(prepared.bytes() == 40);
  CHECK(prepared.size() == 2);
  CHECK(prepared.find("b") == nullptr);
  CHECK_FALSE(prepared.remove("b").has_value());
  CHECK_FALSE(prepared.remove("").has_value());
  CHECK(prepared.bytes() == 40);
  prepared.add(*removed);  // the name is free again
  CHECK(prepared.bytes() == 60);
  CHECK(names(prepared) == Names{"b", "c", "a"});
}

TEST_CASE("the one to give up is the one that was used longest ago, and never the last") {
  PreparedOnServer prepared = with({"a", "b", "c"});
  CHECK(prepared.over(60) == nullptr);
  Names given_up;
  const auto shrink_to = [&](std::size_t budget) {
    while (const auto* oldest = prepared.over(budget)) {
      given_up.push_back(oldest->name);
      prepared.remove(std::string(oldest->name));
    }
  };
  REQUIRE(prepared.find("a") != nullptr);
  shrink_to(59);
  CHECK(given_up == Names{"b"});
  shrink_to(0);
  CHECK(given_up == Names{"b", "c"});
  CHECK(names(prepared) == Names{"a"});
}

TEST_CASE("clear forgets all, the unnamed statement too") {
  CarriedOnServer carried;
  carried.settings = settings({{"a", "SET a = 1"}});
  carried.prepared = with({"a", "b"});
  carried.prepared.unnamed = StatementKey{1, 2};
  carried.clear();
  CHECK(carried.settings == nullptr);
  CHECK(carried.prepared.size() == 0);
  CHECK(carried.prepared.bytes() == 0);
  CHECK(carried.prepared.entries().empty());
  CHECK_FALSE(carried.prepared.unnamed.has_value());
  carried.prepared.add({"a", {}, 1, {}});
  CHECK(carried.prepared.find("a") != nullptr);
}

TEST_CASE("custom settings are noted once, and DISCARD ALL does not end them") {
  CarriedOnServer carried;
  CHECK_FALSE(carried.has_custom("a.b"));
  for (const char* name : {"b.b", "a.b", "c.b", "a.b"}) carried.add_custom(name);
  CHECK(carried.custom == Names{"a.b", "b.b", "c.b"});
  for (const char* name : {"a.b", "b.b", "c.b"}) CHECK(carried.has_custom(name));
  for (const char* name : {"", "a", "a.c", "d.b"}) CHECK_FALSE(carried.has_custom(name));
  carried.last_writer = base::SessionId{7};
  carried.clear();
  CHECK(carried.last_writer == base::SessionId{});
  CHECK(carried.has_custom("a.b"));  // PostgreSQL knows them until the connection ends
}

TEST_CASE("the books can be moved, with short names and long ones") {
  const std::string long_name(100, 'x');
  PreparedOnServer first = with({"a", "b", long_name.c_str()});
  first.unnamed = StatementKey{7, 8};
  PreparedOnServer second(std::move(first));
  PreparedOnServer third = with({"z"});
  third = std::move(second);
  CHECK(names(third) == Names{long_name, "b", "a"});
  CHECK(third.bytes() == 60);
  CHECK(third.unnamed == StatementKey{7, 8});
  CHECK(third.find("z") == nullptr);
  for (const std::string& name : {std::string("a"), std::string("b"), long_name}) {
    CHECK(third.find(name) != nullptr);
    CHECK(third.remove(name).has_value());
  }
  CHECK(third.bytes() == 0);
}

TEST_CASE("over random use, the books are a list with the last used first") {
  constexpr unsigned kSeed = 20251;
  MESSAGE("seed " << kSeed);
  std::mt19937 random(kSeed);
  const auto pick = [&](unsigned count) { return std::uniform_int_distribution<unsigned>(0, count - 1)(random); };
  PreparedOnServer prepared;
  std::vector<std::pair<std::string, std::size_t>> model;  // the last used first
  for (int step = 0; step < 20000; ++step) {
    const std::string name(1 + pick(30), static_cast<char>('a' + pick(3)));
    const auto place = std::find_if(model.begin(), model.end(), [&](const auto& one) { return one.first == name; });
    const bool there = place != model.end();
    switch (pick(3)) {
      case 0:
        CHECK((prepared.find(name) != nullptr) == there);
        if (there) std::rotate(model.begin(), place, place + 1);
        break;
      case 1:
        if (there) break;
        model.insert(model.begin(), {name, pick(1000)});
        prepared.add({name, {}, model.front().second, {}});
        break;
      default:
        CHECK(prepared.remove(name).has_value() == there);
        if (there) model.erase(place);
    }
    if (step % 100 != 0) continue;
    Names expected;
    std::size_t bytes = 0;
    for (const auto& [one, size] : model) {
      expected.push_back(one);
      bytes += size;
    }
    REQUIRE(names(prepared) == expected);
    REQUIRE(prepared.bytes() == bytes);
    REQUIRE(prepared.size() == model.size());
  }
}
