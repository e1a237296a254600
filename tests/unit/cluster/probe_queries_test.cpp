// Reading what the monitor's query answers; that servers answer so is shown by the integration tests.
#include "cluster/probe_queries.h"

#include "doctest/doctest.h"

using namespace pgweir::cluster;

TEST_CASE("role and position") {
  const auto facts = position_from({{"t", "123", {}, {}}});
  REQUIRE(facts.has_value());
  CHECK(facts->in_recovery);
  CHECK(facts->position == 123);
  CHECK(position_from({{"t", {}, {}, {}}})->position == 0);
  const auto primary = position_from({{"f", "200", "150", "200"}});
  REQUIRE(primary.has_value());
  CHECK(primary->flushed == 150);
  CHECK(primary->flush_delay == std::chrono::milliseconds(600));
  const Rows::value_type good{"t", "1", {}, {}};
  for (const Rows& rows : {Rows{}, Rows{{"t"}}, Rows{{{}, "1", {}, {}}}, Rows{{"t", "x", {}, {}}}, Rows{good, good},
                           Rows{{"f", "1", "x", "200"}}, Rows{{"f", "1", "1", "soon"}}})
    CHECK_FALSE(position_from(rows).has_value());
}
