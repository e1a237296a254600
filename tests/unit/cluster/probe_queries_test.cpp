// Reading what the monitor's query answers; that servers answer so is shown by the integration tests.
#include "cluster/probe_queries.h"

#include <cstdint>
#include <string>

#include "doctest/doctest.h"

using namespace pgweir::cluster;

TEST_CASE("walsenders and subscriptions stand behind the node's own row") {
  const Rows::value_type own{"f", "200", "150", "200", "8192", "16777216", {}, {}, {}};
  const Rows::value_type walsender{{}, "120", {}, {}, {}, {}, "77", "slot", "name"};
  const Rows::value_type silent{{}, {}, {}, {}, {}, {}, "78", "", "other"};
  const Rows::value_type subscription{{}, {}, {}, {}, {}, {}, {}, "items", "slot_1"};
  const auto facts = position_from({own, walsender, silent, subscription});
  REQUIRE(facts.has_value());
  CHECK(facts->position == 200);
  REQUIRE(facts->walsenders.size() == 2);
  CHECK(facts->walsenders[0].pid == 77);
  CHECK(facts->walsenders[0].slot == "slot");
  CHECK(facts->walsenders[0].application_name == "name");
  CHECK(facts->walsenders[0].applied == 120);
  CHECK(facts->walsenders[1].applied == 0);
  REQUIRE(facts->subscriptions.size() == 1);
  CHECK(facts->subscriptions[0].name == "items");
  CHECK(facts->subscriptions[0].slot == "slot_1");
  CHECK_FALSE(position_from({walsender}).has_value());
  for (const Rows::value_type& bad : {own, Rows::value_type{{}, "x", {}, {}, {}, {}, "77", "slot", "name"},
                                      Rows::value_type{{}, "1", {}, {}, {}, {}, "x", "slot", "name"},
                                      Rows::value_type{{}, "1", {}, {}, {}, {}, "77", {}, "name"}})
    CHECK_FALSE(position_from({own, bad}).has_value());
}

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
