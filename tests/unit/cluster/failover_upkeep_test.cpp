// Standbys follow the primary, or are handed on; and the states of nodes.
#include "unit/cluster/conversation.h"

using namespace pgweir;
using namespace pgweir::test;

namespace {

/// pg2 was promoted; pg3 is still on timeline 1.
Conversation after_promotion(FailoverRules rules = promoting(), routing::Lsn began = 1100) {
  Conversation talk = a_cluster(rules);
  ProbeAnswer primary = a_primary(1100, 2);
  primary.timeline_began = began;
  talk.fails(0, FailureKind::refused);
  talk.says(1, primary);
  REQUIRE(talk.primary_is(1));
  return talk;
}

}  // namespace

TEST_CASE("a standby dies and comes back: it is down, then up, with nothing to do") {
  Conversation talk = a_cluster();
  talk.fails(2, FailureKind::refused, "connection refused");
  CHECK(talk.state(2) == NodeState::down);
  CHECK(talk.machine.history().entries().back().evidence == "connection refused");
  CHECK(talk.primary_is(0));
  ProbeAnswer back = an_orphan(900);
  talk.says(2, back);
  CHECK(talk.state(2) == NodeState::up);
  CHECK(talk.asked.empty());
}

TEST_CASE("one that comes back far behind is catching up") {
  Conversation talk = a_cluster();
  talk.fails(2, FailureKind::refused);
  talk.says(0, a_primary(100'000'000));
  talk.says(2, a_standby(1000));
  CHECK(talk.state(2) == NodeState::catching_up);
  talk.says(2, a_standby(99'000'000));
  CHECK(talk.state(2) == NodeState::up);
  talk.says(2, a_standby(50'000'000));  // once up, only freshness counts
  CHECK(talk.state(2) == NodeState::up);
}

TEST_CASE("who has not followed a promotion is led there; who does not follow is quarantined, and tried again") {
  Conversation talk = after_promotion();
  CHECK(talk.was_asked(ActionKind::follow, 2));
  for (int i = 0; i < 2; ++i) {
    CHECK(talk.state(2) == NodeState::catching_up);
    talk.now += 4s;
    talk.says(2, an_orphan(1000));
    CHECK(talk.was_asked(ActionKind::follow, 2));
  }
  CHECK(talk.state(2) == NodeState::quarantined);
  CHECK(talk.why(2) == "it does not follow node \"pg2\" after 3 attempts");
  talk.now += 4s;
  talk.says(2, an_orphan(1000));
  CHECK(talk.was_asked(ActionKind::follow, 2));
  talk.says(2, a_standby(1100, 2, 1));
  CHECK(talk.state(2) == NodeState::up);
}

TEST_CASE("who has replayed more than the primary's history has cannot follow") {
  FailoverRules rules = promoting();
  rules.rejoin = true;
  Conversation talk = after_promotion(rules, 950);
  CHECK(talk.state(2) == NodeState::quarantined);
  CHECK(talk.why(2) == "it has replayed 0/3E8, but the primary's timeline began at 0/3B6");
  CHECK(talk.was_asked(ActionKind::rejoin, 2));
}

TEST_CASE("the old primary comes back: it is quarantined, rejoined, and taken back when it streams") {
  FailoverRules rules = promoting();
  rules.rejoin = true;
  Conversation talk = after_promotion(rules);
  talk.says(0, a_primary(1200));
  CHECK(talk.primary_is(1));
  CHECK(talk.state(0) == NodeState::quarantined);
  CHECK(talk.was_asked(ActionKind::rejoin, 0, Outcome::unknown));
  talk.after(1s);
  CHECK(talk.state(0) == NodeState::quarantined);
  talk.says(0, a_standby(1100, 2, 1));
  CHECK(talk.state(0) == NodeState::up);
  CHECK(talk.asked.size() == 1);  // pg3's follow
}

TEST_CASE(
    "a rejoin command that has stopped its node and failed is run again; a node that was only stopped is left alone") {
  FailoverRules rules = promoting();
  rules.rejoin = true;
  Conversation talk = a_cluster(rules);
  lose_primary(talk);
  talk.says(2, a_primary(1100, 2));
  talk.after(10s);
  CHECK_FALSE(talk.was_asked(ActionKind::rejoin, 0));  // it is down
  talk.says(0, a_primary(1000));
  talk.fails(0, FailureKind::refused);
  REQUIRE(talk.was_asked(ActionKind::rejoin, 0, Outcome::unknown));
  talk.after(5s);
  REQUIRE(talk.was_asked(ActionKind::rejoin, 0, Outcome::done));
  talk.after(2min);
  CHECK_FALSE(talk.was_asked(ActionKind::rejoin, 0));
}

TEST_CASE("without a rejoin command the old primary waits for the operator") {
  Conversation talk = after_promotion();
  talk.says(0, a_primary(1200));
  talk.after(1h);
  CHECK(talk.state(0) == NodeState::quarantined);
  CHECK_FALSE(talk.was_asked(ActionKind::rejoin, 0));
}

TEST_CASE("a standby that receives from another standby follows as well") {
  Conversation talk = a_cluster();
  talk.says(2, a_standby(1000, 1, 1));
  talk.tell(Switchover{node(2)});
  CHECK(talk.machine.phase() == Phase::pausing);
}
