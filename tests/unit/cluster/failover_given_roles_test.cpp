// Origin and replicas, whose roles are given. `single` is in failover_belief_test.cpp.
#include "unit/cluster/conversation.h"

using namespace pgweir;
using namespace pgweir::test;

namespace {

/// Every node takes writes, and has a system identifier of its own: 101, 102, ...
ProbeAnswer a_server(std::uint16_t who, std::uint32_t timeline = 1) {
  ProbeAnswer answer = a_primary(1000, timeline);
  answer.system_identifier = 101U + who;
  return answer;
}

FailoverRules logical(std::uint16_t origin = 0) {
  FailoverRules rules;
  rules.kind = config::TopologyKind::logical;
  rules.origin = node(origin);
  return rules;
}

Conversation an_origin_with_replicas() {
  Conversation talk(logical());
  for (std::uint16_t who = 0; who < 3; ++who) talk.says(who, a_server(who));
  REQUIRE(talk.primary_is(0));
  return talk;
}

}  // namespace

TEST_CASE("the origin is the one of the configuration, whoever answers first") {
  Conversation talk(logical(1));
  talk.says(0, a_server(0));
  talk.says(2, a_server(2));
  CHECK_FALSE(talk.machine.primary());
  CHECK(talk.state(0) == NodeState::up);
  talk.says(1, a_server(1));
  CHECK(talk.primary_is(1));
  CHECK(talk.machine.nodes()[1].role == routing::Role::primary);
  CHECK(talk.machine.nodes()[0].role == routing::Role::standby);
  CHECK(talk.machine.nodes()[2].role == routing::Role::standby);
  CHECK(talk.asked.empty());
}

TEST_CASE("nobody takes the place of an origin that is away, and it is the origin when it is back") {
  Conversation talk = an_origin_with_replicas();
  talk.fails(0, FailureKind::refused);
  talk.after(1h);
  CHECK_FALSE(talk.machine.primary());
  CHECK(talk.state(1) == NodeState::up);
  CHECK(talk.machine.phase_reason().code == ReasonCode::primary_lost);
  talk.says(0, a_server(0));
  CHECK(talk.primary_is(0));
  CHECK(talk.asked.empty());
}

TEST_CASE("a node that is another server than before is not used until the operator takes it back") {
  Conversation talk = an_origin_with_replicas();
  talk.says(1, a_server(8));
  CHECK(talk.state(1) == NodeState::quarantined);
  CHECK(talk.why(1) == "it is another server than before (system identifier 109, it was 102)");
  talk.tell(Enable{node(1)});
  CHECK(talk.state(1) == NodeState::up);
  talk.says(0, a_server(9));
  CHECK_FALSE(talk.machine.primary());
  CHECK(talk.state(0) == NodeState::quarantined);
  talk.tell(Believe{node(1)});
  CHECK_FALSE(talk.machine.primary());
  talk.tell(Believe{node(0)});
  CHECK(talk.primary_is(0));
}

TEST_CASE("an origin that was put back to an older timeline is not used until the operator says so") {
  Conversation talk(logical());
  talk.says(0, a_server(0, 3));
  REQUIRE(talk.primary_is(0));
  talk.says(0, a_server(0, 2));
  CHECK_FALSE(talk.machine.primary());
  CHECK(talk.why(0) == "it is on timeline 2, the primary on 3");
  talk.tell(Believe{node(0)});
  CHECK(talk.primary_is(0));
}

TEST_CASE("a node in recovery takes no writes, so it is neither origin nor replica") {
  Conversation talk = an_origin_with_replicas();
  ProbeAnswer recovering = a_server(2);
  recovering.in_recovery = true;
  talk.says(2, recovering);
  CHECK(talk.state(2) == NodeState::quarantined);
  talk.tell(BecomeOrigin{node(2)});
  CHECK(talk.primary_is(0));
  recovering.system_identifier = 101;
  talk.says(0, recovering);
  CHECK_FALSE(talk.machine.primary());
}

TEST_CASE("the operator makes another node the origin, which is remembered until the configuration says another one") {
  Conversation talk = an_origin_with_replicas();
  talk.fails(2, FailureKind::refused);
  talk.tell(BecomeOrigin{node(2)});
  CHECK(talk.primary_is(0));
  talk.tell(BecomeOrigin{node(1)});
  CHECK(talk.primary_is(1));
  CHECK(talk.machine.nodes()[0].role == routing::Role::standby);
  CHECK(talk.state(0) == NodeState::up);

  const FailoverMemory memory = talk.machine.memory();
  Conversation again(logical(), 3, memory);
  for (std::uint16_t who = 0; who < 3; ++who) again.says(who, a_server(who));
  CHECK(again.primary_is(1));
  again.says(1, a_server(7));
  CHECK(again.state(1) == NodeState::quarantined);  // that it was another server is remembered, too

  Conversation other(logical(2), 3, memory);
  for (std::uint16_t who = 0; who < 3; ++who) other.says(who, a_server(who));
  CHECK(other.primary_is(2));
}

TEST_CASE("there is no origin to be told in other topologies") {
  Conversation talk = a_cluster(FailoverRules{});
  talk.tell(BecomeOrigin{node(1)});
  CHECK(talk.primary_is(0));
  CHECK_FALSE(talk.machine.memory().origin);
}
