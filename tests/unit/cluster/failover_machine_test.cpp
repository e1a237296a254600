// The frame: what is pending, what operators ask for, and what survives the process.
#include "cluster/failover_machine.h"

#include "unit/cluster/conversation.h"

using namespace pgweir;
using namespace pgweir::test;

TEST_CASE("an answer that nobody waits for any more changes nothing") {
  Conversation talk = a_cluster();
  lose_primary(talk);
  const auto version = talk.machine.version();
  talk.tell(ActionEnded{talk.last.id, Outcome::refused});
  talk.tell(ActionEnded{12345, Outcome::done});
  CHECK(talk.machine.version() == version);
}

TEST_CASE("an action without an answer blocks its node until its time is over, then it is tried again") {
  Conversation talk = a_cluster();
  talk.fails(0, FailureKind::refused);
  talk.now += 1ms;
  talk.says(1, an_orphan());
  talk.says(2, an_orphan());
  talk.after(500ms);
  talk.says(1, an_orphan());
  REQUIRE(talk.was_asked(ActionKind::stop_receiving, 1, Outcome::unknown));
  talk.after(2s);
  CHECK_FALSE(talk.was_asked(ActionKind::stop_receiving, 1));
  talk.after(2s);
  talk.after(200ms);
  CHECK(talk.was_asked(ActionKind::stop_receiving, 1));
}

TEST_CASE("a node that the operator has taken out is not there: no state changes, no vote") {
  Conversation talk = a_cluster();
  talk.tell(Disable{node(2)});
  CHECK(talk.state(2) == NodeState::disabled);
  talk.fails(2, FailureKind::refused);
  CHECK(talk.state(2) == NodeState::disabled);
  talk.tell(Enable{node(2)});
  CHECK(talk.state(2) == NodeState::down);
  talk.says(2, a_standby());
  CHECK(talk.state(2) == NodeState::up);
}

TEST_CASE("the primary cannot be taken out") {
  Conversation talk = a_cluster();
  talk.tell(Disable{node(0)});
  CHECK(talk.primary_is(0));
  CHECK(talk.machine.history().entries().back().why.code == ReasonCode::not_that_node);
  talk.tell(Disable{node(99)});
  talk.tell(Enable{node(99)});
  talk.tell(Believe{node(99)});
  talk.tell(Probed{node(99), talk.now, a_primary()});
  CHECK(talk.primary_is(0));
}

TEST_CASE("the operator's word makes an older primary the right one, if there is no other") {
  Conversation talk = a_cluster();
  talk.says(1, a_primary(1100, 2));
  talk.says(0, a_primary(1200));
  talk.tell(Believe{node(0)});
  CHECK(talk.primary_is(1));
  talk.fails(1, FailureKind::refused);
  talk.tell(Believe{node(0)});
  CHECK(talk.primary_is(0));
}

TEST_CASE("what was begun is known to the next process") {
  Conversation before = a_cluster(promoting(), "ANY 1 (pg2, pg3)");
  lose_primary(before);
  before.says(1, a_cut_one());
  before.says(2, a_cut_one(1100));
  CHECK(before.was_asked(ActionKind::promote, 2, Outcome::unknown));

  Conversation talk(promoting(), 3, before.machine.memory());
  talk.now = before.now;
  talk.says(0, a_primary(1200));  // it is over, although nobody else is a primary yet
  CHECK_FALSE(talk.machine.primary());
  talk.says(1, a_cut_one());
  CHECK(talk.machine.phase() == Phase::electing);
  talk.fails(2, FailureKind::refused);
  talk.after(10s);
  talk.says(1, a_cut_one());
  CHECK(talk.machine.phase_reason().code == ReasonCode::commits_out_of_sight);
  talk.says(2, a_primary(1100, 2));
  CHECK(talk.primary_is(2));
}

TEST_CASE("a memory of more or other nodes is no programming error") {
  FailoverMemory memory;
  memory.primary = node(9);
  memory.timeline = 1;
  memory.nodes.resize(20);
  Conversation talk(promoting(), 2, memory);
  talk.says(0, a_primary(1, 2));
  talk.says(1, a_standby(1, 2));
  CHECK(talk.primary_is(0));
}

TEST_CASE("ticks are wanted often while something is going on") {
  Conversation talk = a_cluster();
  const auto calm = talk.machine.tick_after();
  talk.fails(0, FailureKind::refused);
  CHECK(talk.machine.tick_after() < calm);
}
