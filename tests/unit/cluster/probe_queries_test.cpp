// Reading what the monitor's query answers; that servers answer so is shown by the integration tests.
#include "cluster/probe_queries.h"

#include <cstdint>
#include <string>

#include "doctest/doctest.h"

using namespace pgweir::cluster;

TEST_CASE("role and position") {
  const auto facts = position_from({{"t", "123", {}, {}, {}, {}}});
  REQUIRE(facts.has_value());
  CHECK(facts->in_recovery);
  CHECK(facts->position == 123);
  CHECK(position_from({{"t", {}, {}, {}, {}, {}}})->position == 0);
  const auto primary = position_from({{"f", "200", "150", "200", "8192", "16777216"}});
  REQUIRE(primary.has_value());
  CHECK(primary->position == 200);
  CHECK(primary->flushed == 150);
  CHECK(primary->flush_delay == std::chrono::milliseconds(600));
  const Rows::value_type good{"t", "1", {}, {}, {}, {}};
  for (const Rows& rows :
       {Rows{}, Rows{{"t"}}, Rows{{{}, "1", {}, {}, {}, {}}}, Rows{{"t", "x", {}, {}, {}, {}}}, Rows{good, good},
        Rows{{"f", "1", "x", "200", "8192", "16777216"}}, Rows{{"f", "1", "1", "soon", "8192", "16777216"}},
        Rows{{"f", "1", "1", "200", "x", "16777216"}}, Rows{{"f", "1", "1", "200", "8192", "16MB"}}})
    CHECK_FALSE(position_from(rows).has_value());
}

TEST_CASE("the header of a page that has no record yet does not count") {
  struct Case {
    std::uint64_t insert, end;
  };
  constexpr std::uint64_t kPage = 8192, kSegment = 1024 * 1024;
  for (const Case& one :
       {Case{3 * kPage + 24, 3 * kPage}, Case{3 * kPage + 32, 3 * kPage + 32}, Case{3 * kPage + 40, 3 * kPage + 40},
        Case{3 * kPage, 3 * kPage}, Case{5 * kSegment + 40, 5 * kSegment}, Case{5 * kSegment + 48, 5 * kSegment + 48},
        Case{5 * kSegment + kPage + 24, 5 * kSegment + kPage}}) {
    CAPTURE(one.insert);
    CHECK(
        position_from({{"f", std::to_string(one.insert), "0", "200", std::to_string(kPage), std::to_string(kSegment)}})
            ->position == one.end);
    // What a standby has replayed is the end of a record.
    CHECK(position_from({{"t", std::to_string(one.insert), {}, {}, {}, {}}})->position == one.insert);
  }
  CHECK(position_from({{"f", "16777240", "0", "200", "8192", "1073741824"}})->position == 16777216);
}
