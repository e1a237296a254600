// Another address in primary_conninfo.
#include "cluster/conninfo.h"

#include "doctest/doctest.h"

using namespace pgweir::cluster;

TEST_CASE("only the address changes") {
  const auto made = with_address(
      "user=replicator password='it''s' sslmode=verify-full host=old port=1 hostaddr=10.0.0.9 application_name=pg2",
      "new.example", 5433);
  REQUIRE_FALSE(made.has_value());  // two quotes are not libpq's way
  const auto good = with_address(
      R"(user=replicator password='it\'s a \\ b' sslmode=verify-full host=old port=1 hostaddr=10.0.0.9 application_name=pg2)",
      "new.example", 5433);
  REQUIRE(good.has_value());
  CHECK(
      *good ==
      R"(host=new.example port=5433 user=replicator password='it\'s a \\ b' application_name=pg2 sslmode=verify-full)");
  CHECK(*with_address(*good, "new.example", 5433) == *good);
}

TEST_CASE("several hosts, sockets and URIs become one address") {
  CHECK(*with_address("host=a,b,c port=1,2,3 user=u", "/run/pg", 5432) == "host=/run/pg port=5432 user=u");
  CHECK(*with_address("host=a user=u", "/with space", 5432) == "host='/with space' port=5432 user=u");
  CHECK(*with_address("postgresql://u:p%20w@a:5/db?application_name=pg3", "b", 6) ==
        "host=b port=6 user=u password='p w' dbname=db application_name=pg3");
}

TEST_CASE("what cannot be read") {
  for (const char* wrong : {"", "   ", "host", "host=a nonsense=1", "host='a"}) {
    CAPTURE(wrong);
    CHECK_FALSE(with_address(wrong, "b", 1).has_value());
  }
}

TEST_CASE("another spelling, and back") {
  const std::string one = "host=a port=1";
  CHECK(respelled(one) != one);
  CHECK(*with_address(respelled(one), "b", 2) == *with_address(one, "b", 2));
  CHECK(respelled(respelled(one)) == one);
}

TEST_CASE("constants in SQL") {
  CHECK(sql_constant("it's") == "'it''s'");
  CHECK(sql_constant("a\\b") == "'a\\b'");
}
