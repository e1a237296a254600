// Which start-up parameters make connections interchangeable.
#include "pool/startup_class.h"

#include "doctest/doctest.h"

using pgweir::pool::asks_for_replication;
using pgweir::pool::StartupClass;
using Parameters = std::vector<std::pair<std::string, std::string>>;

TEST_CASE("the order of parameters does not count, the last value of a name does") {
  const StartupClass one({{"b", "2"}, {"a", "1"}}, "");
  const StartupClass other({{"a", "0"}, {"a", "1"}, {"b", "2"}}, "");
  CHECK(one == other);
  CHECK(one.key() == other.key());
  CHECK(one.parameters() == Parameters{{"a", "1"}, {"b", "2"}});
  CHECK(StartupClass({}, "") == StartupClass());
}

TEST_CASE("different classes have different keys") {
  const std::vector<StartupClass> all{
      StartupClass(),
      StartupClass({{"a", "1"}}, ""),
      StartupClass({{"a", "2"}}, ""),
      StartupClass({{"a", ""}}, ""),
      StartupClass({{"a", ""}, {"b", ""}}, ""),
      StartupClass({{"ab", ""}}, ""),
      StartupClass({{"a", "b"}}, ""),
      StartupClass({{"a", "1"}, {"b", "2"}}, ""),
      StartupClass({}, "true"),
      StartupClass({}, "database"),
  };
  for (std::size_t i = 0; i < all.size(); ++i)
    for (std::size_t j = 0; j < all.size(); ++j) {
      CHECK((all[i] == all[j]) == (i == j));
      CHECK((all[i].key() == all[j].key()) == (i == j));
    }
}

TEST_CASE("a connection to a WAL sender") {
  for (const char* value : {"", "0", "false", "off", "no", "f"}) CHECK_FALSE(asks_for_replication(value));
  for (const char* value : {"1", "true", "on", "yes", "database", "anything"}) CHECK(asks_for_replication(value));
  const StartupClass wal({}, "database");
  CHECK(wal.replication());
  CHECK(wal.parameters() == Parameters{{"replication", "database"}});
  CHECK_FALSE(StartupClass({}, "false").replication());
}
