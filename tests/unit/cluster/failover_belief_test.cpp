// Who is believed to be the primary.
#include "unit/cluster/conversation.h"

using namespace pgweir;
using namespace pgweir::test;

TEST_CASE("nobody is believed before all have been asked") {
  Conversation talk(promoting());
  talk.says(0, a_primary());
  CHECK_FALSE(talk.machine.primary());
  talk.says(1, a_standby());
  talk.fails(2, FailureKind::silent);
  CHECK(talk.primary_is(0));
  CHECK(talk.state(0) == NodeState::up);
  CHECK(talk.state(2) == NodeState::down);
}

TEST_CASE("one silence costs nothing; a primary that refuses is not used any more") {
  Conversation talk = a_cluster();
  talk.fails(0, FailureKind::silent);
  CHECK(talk.primary_is(0));
  CHECK(talk.state(0) == NodeState::up);
  talk.fails(0, FailureKind::refused);
  CHECK_FALSE(talk.machine.primary());
  CHECK(talk.state(0) == NodeState::down);
}

TEST_CASE("somebody else promotes: the newer timeline is believed, the old primary quarantined") {
  for (const FailoverMode mode : {FailoverMode::observe, FailoverMode::promote}) {
    FailoverRules rules;
    rules.mode = mode;
    Conversation talk = a_cluster(rules);
    talk.says(1, a_primary(1100, 2));
    CHECK(talk.primary_is(1));
    CHECK(talk.state(0) == NodeState::quarantined);
    CHECK(talk.why(0) == "a second primary: node \"pg2\" is believed");
  }
}

TEST_CASE("a timeline never goes back, even when nobody else is there") {
  Conversation talk = a_cluster(FailoverRules{});
  talk.says(1, a_primary(1100, 2));
  talk.fails(1, FailureKind::refused);
  talk.says(0, a_primary(1200, 1));
  CHECK_FALSE(talk.machine.primary());
  CHECK(talk.state(0) == NodeState::quarantined);
  CHECK(talk.why(0) == "it is on timeline 1, the primary on 2");
}

TEST_CASE("two on one timeline: the one that was believed; another one only where somebody else is in charge") {
  for (const FailoverMode mode : {FailoverMode::observe, FailoverMode::promote}) {
    FailoverRules rules;
    rules.mode = mode;
    Conversation talk = a_cluster(rules);
    talk.says(1, a_primary(5000));
    CHECK(talk.primary_is(0));
    CHECK(talk.why(1) == "a second primary: node \"pg1\" is believed");
    talk.fails(0, FailureKind::refused);
    CHECK(talk.primary_is(1) == (mode == FailoverMode::observe));
  }
}

TEST_CASE("a node of another database cluster is quarantined, and a majority of them convinces nobody") {
  Conversation talk = a_cluster();
  ProbeAnswer stranger = a_primary(9000, 5);
  stranger.system_identifier = 8;
  talk.says(1, stranger);
  talk.says(2, stranger);
  CHECK(talk.primary_is(0));
  CHECK(talk.why(1) == "it belongs to another database cluster (system identifier 8, expected 7)");
  talk.fails(0, FailureKind::refused);
  CHECK_FALSE(talk.machine.primary());
}

TEST_CASE("a weaker rule of synchronous replication does not count before enough standbys are past the change") {
  Conversation talk = a_cluster(promoting(), "ANY 1 (pg2, pg3)");
  ProbeAnswer primary = a_primary(2000);
  primary.synchronous_standby_names = "ANY 2 (pg2, pg3)";
  talk.says(0, primary);
  CHECK(talk.machine.memory().sync.count == 2);
  REQUIRE(talk.machine.memory().sync_before);
  CHECK(talk.machine.memory().sync_before->count == 1);
  talk.says(1, a_standby(2000));
  talk.says(0, primary);
  CHECK(talk.machine.memory().sync_before);
  talk.says(2, a_standby(2100));
  talk.says(0, primary);
  CHECK_FALSE(talk.machine.memory().sync_before);
}

TEST_CASE("single: another server of the same cluster stands in, another cluster only when the operator says so") {
  FailoverRules rules;
  rules.kind = config::TopologyKind::single;
  Conversation talk(rules, 1);
  talk.says(0, a_standby());
  CHECK(talk.primary_is(0));
  talk.fails(0, FailureKind::refused);
  CHECK_FALSE(talk.machine.primary());
  CHECK(talk.machine.phase_reason().code == ReasonCode::primary_lost);
  talk.says(0, a_primary(900, 2));  // its standby, promoted
  CHECK(talk.primary_is(0));
  talk.says(0, a_primary(2000, 1));  // the old one again: what was written since is not there
  CHECK_FALSE(talk.machine.primary());
  CHECK(talk.state(0) == NodeState::quarantined);
  CHECK(talk.why(0).find("timeline 1") != std::string::npos);
  talk.tell(Believe{node(0)});
  CHECK(talk.primary_is(0));
  ProbeAnswer stranger = a_primary(1, 9);
  stranger.system_identifier = 8;
  talk.says(0, stranger);
  CHECK_FALSE(talk.machine.primary());
  CHECK(talk.state(0) == NodeState::quarantined);
  talk.tell(Believe{node(0)});
  CHECK(talk.primary_is(0));
  CHECK(talk.state(0) == NodeState::up);
  CHECK(talk.asked.empty());
}
