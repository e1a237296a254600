// Reading what the monitor's queries answer; that servers answer so is shown by the integration tests.
#include "cluster/probe_queries.h"

#include "doctest/doctest.h"

using namespace pgweir::cluster;

namespace {

using Row = Rows::value_type;

Row node_row() { return {"t", "7234567890123456789", "3", "150004", "50331648", "name", {}, {}, {}}; }
Row peer_row() { return {{}, {}, {}, {}, {}, {}, "pg2", "streaming", "async"}; }

}  // namespace

TEST_CASE("a node and its walsenders") {
  const auto facts = facts_from({node_row(), peer_row(), {{}, {}, {}, {}, {}, {}, "pg3", {}, {}}});
  REQUIRE(facts.has_value());
  CHECK(facts->in_recovery);
  CHECK(facts->system_identifier == 7234567890123456789ULL);
  CHECK(facts->timeline == 3);
  CHECK(facts->server_version == 150004);
  CHECK(facts->position == 50331648);
  CHECK(facts->cluster_name == "name");
  REQUIRE(facts->peers.size() == 2);
  CHECK(facts->peers[0].application_name == "pg2");
  CHECK(facts->peers[0].sync_state == "async");
  CHECK(facts->peers[1].state.empty());  // not a member of pg_monitor
}

TEST_CASE("what may be missing and what may not") {
  for (std::size_t column = 1; column < 9; ++column) {
    CAPTURE(column);
    Row missing = node_row();
    missing[column].reset();
    CHECK(facts_from({missing}).has_value() == (column >= 4));
  }
  for (std::size_t column = 1; column < 5; ++column) {
    for (const char* wrong : {"", "x", "1x", "-1", "99999999999999999999999"}) {
      if (column == 3 && std::string_view(wrong) == "-1") continue;
      CAPTURE(column);
      CAPTURE(wrong);
      Row row = node_row();
      row[column] = wrong;
      CHECK_FALSE(facts_from({row}).has_value());
    }
  }
  Row primary = node_row();
  primary[0] = "f";
  CHECK_FALSE(facts_from({primary})->in_recovery);
}

TEST_CASE("answers of another form") {
  CHECK_FALSE(facts_from({}).has_value());
  CHECK_FALSE(facts_from({peer_row()}).has_value());
  CHECK_FALSE(facts_from({{"t"}}).has_value());
  CHECK_FALSE(facts_from({node_row(), {}}).has_value());
}

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
