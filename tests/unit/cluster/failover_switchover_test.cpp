// A switchover on request, and every way back.
#include "unit/cluster/conversation.h"

using namespace pgweir;
using namespace pgweir::test;

namespace {

void begin(Conversation& talk) {
  talk.tell(Switchover{node(1)});
  REQUIRE(talk.machine.phase() == Phase::pausing);
  CHECK(talk.machine.writes_paused());
  CHECK(talk.primary_is(0));
}

void demote(Conversation& talk) {
  talk.tell(WritesQuiet{});
  REQUIRE(talk.was_asked(ActionKind::demote, 0));
  REQUIRE(talk.machine.phase() == Phase::catching);
}

bool was_abandoned(const Conversation& talk, ReasonCode why) {
  return talk.machine.phase() == Phase::following && talk.machine.phase_reason().code == why &&
         talk.machine.writes_paused() == talk.machine.nodes()[0].demoted && talk.primary_is(0);
}

}  // namespace

TEST_CASE("writes wait, the primary is demoted, the target receives the rest and is promoted") {
  Conversation talk = a_cluster();
  begin(talk);
  demote(talk);
  talk.says(0, a_primary(2000));
  talk.says(1, a_standby(1900));
  CHECK(talk.machine.phase() == Phase::catching);
  talk.says(1, a_standby(2000));
  CHECK(talk.was_asked(ActionKind::promote, 1));
  CHECK_FALSE(talk.machine.primary());  // clients wait, reads of the old one too
  talk.says(1, a_primary(2000, 2));
  CHECK(talk.primary_is(1));
  CHECK_FALSE(talk.machine.writes_paused());
  CHECK(talk.state(0) == NodeState::quarantined);
  CHECK(talk.machine.history().entries().size() > 3);
}

TEST_CASE("what the primary said before it was demoted is not its last word") {
  Conversation talk = a_cluster();
  begin(talk);
  talk.says(0, a_primary(1000));
  demote(talk);
  talk.says(1, a_standby(1000));
  CHECK(talk.machine.phase() == Phase::catching);
}

TEST_CASE("writes that do not end") {
  Conversation talk = a_cluster();
  begin(talk);
  talk.after(11s);
  CHECK(was_abandoned(talk, ReasonCode::writes_do_not_end));
  CHECK(talk.asked.empty());
}

TEST_CASE("a target that does not receive the rest: the primary takes writes again") {
  Conversation talk = a_cluster();
  begin(talk);
  demote(talk);
  talk.says(0, a_primary(2000));
  talk.after(11s);
  CHECK(was_abandoned(talk, ReasonCode::target_is_behind));
  CHECK(talk.machine.writes_paused());  // it would refuse them
  talk.after(1s);
  CHECK(talk.was_asked(ActionKind::restore, 0));
  CHECK_FALSE(talk.machine.nodes()[0].demoted);
  CHECK_FALSE(talk.machine.writes_paused());
}

TEST_CASE("a primary that refuses to be demoted") {
  Conversation talk = a_cluster();
  begin(talk);
  talk.tell(WritesQuiet{});
  REQUIRE(talk.was_asked(ActionKind::demote, 0, Outcome::refused));
  CHECK(was_abandoned(talk, ReasonCode::demote_failed));
  CHECK_FALSE(talk.machine.writes_paused());
  talk.after(1s);
  CHECK_FALSE(talk.was_asked(ActionKind::restore, 0));  // there is nothing to take back
}

TEST_CASE("nobody knows whether the primary was demoted: it is asked again, and taken back at the end") {
  Conversation talk = a_cluster();
  begin(talk);
  talk.tell(WritesQuiet{});
  REQUIRE(talk.was_asked(ActionKind::demote, 0, Outcome::unknown));
  talk.after(4s);
  talk.after(1s);
  REQUIRE(talk.was_asked(ActionKind::demote, 0, Outcome::refused));
  CHECK(was_abandoned(talk, ReasonCode::demote_failed));
  CHECK(talk.machine.writes_paused());
  talk.after(1s);
  CHECK(talk.was_asked(ActionKind::restore, 0));
  CHECK_FALSE(talk.machine.writes_paused());
}

TEST_CASE("the primary dies in the middle: a failover like any other") {
  Conversation talk = a_cluster();
  begin(talk);
  talk.fails(0, FailureKind::refused);
  CHECK_FALSE(talk.machine.writes_paused());
  CHECK(talk.machine.phase() == Phase::asking);
}

TEST_CASE("the target refuses to be promoted: back to the primary") {
  Conversation talk = a_cluster();
  begin(talk);
  demote(talk);
  talk.says(0, a_primary(2000));
  talk.says(1, a_standby(2000));
  CHECK(talk.was_asked(ActionKind::promote, 1, Outcome::refused));
  CHECK(talk.primary_is(0));
  CHECK(talk.machine.writes_paused());
  talk.after(1s);
  CHECK(talk.was_asked(ActionKind::restore, 0));
  CHECK_FALSE(talk.machine.writes_paused());
}

TEST_CASE("what cannot be asked for") {
  Conversation talk = a_cluster();
  talk.tell(Switchover{node(0)});
  talk.tell(Switchover{node(7)});
  CHECK(talk.machine.phase() == Phase::following);
  talk.says(2, an_orphan());
  talk.tell(Switchover{node(2)});  // it follows nobody
  CHECK(talk.machine.phase() == Phase::following);
  talk.tell(Switchover{});
  CHECK(talk.machine.phase() == Phase::pausing);
  talk.tell(Switchover{node(1)});
  CHECK(talk.machine.history().entries().back().why.code == ReasonCode::not_possible_now);

  Conversation observer = a_cluster(FailoverRules{});
  observer.tell(Switchover{node(1)});
  CHECK(observer.machine.phase() == Phase::following);
}
