// The primary is lost: is it, who is next, and what if that fails.
#include "unit/cluster/conversation.h"

using namespace pgweir;
using namespace pgweir::test;

namespace {

Phase phase(const Conversation& talk) { return talk.machine.phase(); }
ReasonCode reason(const Conversation& talk) { return talk.machine.phase_reason().code; }

/// Cut off, both have said so; pg3 has more.
void cut_both(Conversation& talk) {
  talk.says(1, a_cut_one(1000));
  talk.says(2, a_cut_one(1100));
}

}  // namespace

TEST_CASE("a primary dies: standbys are cut off, the one with the most is promoted, the other follows it") {
  Conversation talk = a_cluster();
  lose_primary(talk);
  talk.says(1, a_cut_one(1000));
  CHECK(phase(talk) == Phase::electing);
  talk.says(2, a_cut_one(1100));
  CHECK(phase(talk) == Phase::promoting);
  CHECK_FALSE(talk.machine.primary());
  CHECK(talk.was_asked(ActionKind::promote, 2));
  CHECK_FALSE(talk.machine.primary());  // what it says counts, not what the action says
  talk.says(2, a_primary(1100, 2));
  CHECK(talk.primary_is(2));
  CHECK(phase(talk) == Phase::following);
  CHECK(talk.state(1) == NodeState::catching_up);
  CHECK(talk.was_asked(ActionKind::follow, 1));
  CHECK(talk.last.other == node(2));
  talk.says(1, a_standby(1150, 2, 2));
  CHECK(talk.state(1) == NodeState::up);
}

TEST_CASE("a restart is not a death") {
  Conversation talk = a_cluster();
  talk.fails(0, FailureKind::refused);
  CHECK(phase(talk) == Phase::asking);
  talk.after(400ms);
  talk.fails(0, FailureKind::starting);
  CHECK(phase(talk) == Phase::following);
  talk.after(5s);
  CHECK(phase(talk) == Phase::following);
  talk.says(0, a_primary());
  CHECK(talk.primary_is(0));
  CHECK(talk.asked.empty());
}

TEST_CASE("a start-up that takes too long is a death") {
  Conversation talk = a_cluster();
  talk.fails(0, FailureKind::starting);
  CHECK_FALSE(talk.machine.primary());
  talk.after(9s);
  CHECK(phase(talk) == Phase::following);
  talk.after(2s);
  CHECK(phase(talk) == Phase::asking);
}

TEST_CASE("a primary that is full, or does not let pgweir ask, is never replaced") {
  Conversation talk = a_cluster();
  talk.fails(0, FailureKind::full);
  CHECK(talk.primary_is(0));
  talk.fails(0, FailureKind::login, "password authentication failed");
  CHECK_FALSE(talk.machine.primary());
  talk.after(10min);
  CHECK(phase(talk) == Phase::following);
  CHECK(talk.asked.empty());
}

TEST_CASE("only pgweir is cut off: standbys hear from the primary, and nothing is done") {
  Conversation talk = a_cluster();
  talk.fails(0, FailureKind::silent);
  talk.fails(0, FailureKind::silent);
  CHECK(phase(talk) == Phase::asking);
  for (const std::uint16_t one : {std::uint16_t{1}, std::uint16_t{2}}) {
    talk.now += 10ms;
    ProbeAnswer answer = a_standby(1010);
    answer.heard_ago = 1ms;
    talk.says(one, answer);
  }
  CHECK(phase(talk) == Phase::asking);
  CHECK(reason(talk) == ReasonCode::primary_heard);
  CHECK(talk.asked.empty());
  talk.says(0, a_primary());
  CHECK(talk.primary_is(0));
}

TEST_CASE("who claims to receive, but has heard nothing, has to connect again to know") {
  Conversation talk = a_cluster();
  talk.fails(0, FailureKind::silent);
  talk.fails(0, FailureKind::silent);
  talk.now += 1ms;
  talk.says(1, a_standby());
  talk.says(2, an_orphan());
  CHECK(phase(talk) == Phase::asking);
  CHECK(talk.was_asked(ActionKind::restart_receiver, 1));
  talk.now += 600ms;
  SUBCASE("it finds the primary") {
    ProbeAnswer answer = a_standby();
    answer.heard_ago = 500ms;
    talk.says(1, answer);
    CHECK(reason(talk) == ReasonCode::primary_heard);
  }
  SUBCASE("it does not") {
    talk.says(1, an_orphan());
    CHECK(phase(talk) == Phase::electing);
  }
}

TEST_CASE("who sees too few nodes decides nothing") {
  Conversation talk = a_cluster();
  talk.fails(1, FailureKind::silent);
  talk.fails(1, FailureKind::silent);
  talk.fails(0, FailureKind::silent);
  talk.fails(0, FailureKind::silent);
  talk.now += 1ms;
  talk.says(2, an_orphan());
  talk.after(10s);
  talk.says(2, an_orphan());
  CHECK(phase(talk) == Phase::asking);
  CHECK(reason(talk) == ReasonCode::too_few_seen);
}

TEST_CASE("ANY 1 of two: both standbys must be seen") {
  Conversation talk = a_cluster(promoting(), "ANY 1 (pg1, pg2, pg3)");
  lose_primary(talk);
  talk.says(1, a_cut_one());
  talk.fails(2, FailureKind::refused);
  talk.after(10s);
  CHECK(phase(talk) == Phase::electing);
  CHECK(reason(talk) == ReasonCode::commits_out_of_sight);
  talk.says(1, a_cut_one());
  talk.says(2, a_cut_one(1100));
  CHECK(phase(talk) == Phase::promoting);
  CHECK(talk.was_asked(ActionKind::promote, 2));
}

TEST_CASE("the primary comes back before anybody is promoted: the standbys are given back to it") {
  Conversation talk = a_cluster();
  lose_primary(talk);
  talk.says(1, a_cut_one());
  talk.says(0, a_primary());
  CHECK(talk.primary_is(0));
  CHECK(phase(talk) == Phase::following);
  CHECK(talk.was_asked(ActionKind::follow, 1));
  talk.says(2, a_cut_one(1100));
  CHECK(talk.was_asked(ActionKind::follow, 2));
}

TEST_CASE("after a promotion of unknown outcome the old primary is over") {
  Conversation talk = a_cluster();
  lose_primary(talk);
  cut_both(talk);
  CHECK(talk.was_asked(ActionKind::promote, 2, Outcome::unknown));
  CHECK(phase(talk) == Phase::electing);
  talk.says(0, a_primary(1200));
  CHECK_FALSE(talk.machine.primary());
  CHECK(talk.state(0) == NodeState::quarantined);
  talk.now += 1s;
  cut_both(talk);
  CHECK(talk.was_asked(ActionKind::promote, 2));
  talk.says(2, a_primary(1100, 2));
  CHECK(talk.primary_is(2));
}

TEST_CASE("after a promotion that was refused the old primary may come back") {
  Conversation talk = a_cluster();
  lose_primary(talk);
  cut_both(talk);
  CHECK(talk.was_asked(ActionKind::promote, 2, Outcome::refused));
  CHECK(phase(talk) == Phase::electing);
  talk.says(0, a_primary(1200));
  CHECK(talk.primary_is(0));
}

TEST_CASE("the chosen one dies: the next election has to do without it") {
  Conversation talk = a_cluster();
  lose_primary(talk, 1000, 1000);
  talk.says(1, a_cut_one());
  talk.says(2, a_cut_one());
  CHECK(talk.was_asked(ActionKind::promote, 1, Outcome::unknown));
  talk.fails(1, FailureKind::refused);
  talk.now += 1s;
  talk.says(2, a_cut_one());
  talk.after(1s);
  CHECK(talk.was_asked(ActionKind::promote, 2));
  talk.says(2, a_primary(1000, 2));
  CHECK(talk.primary_is(2));
  talk.says(1, a_primary(1000, 2));  // it was promoted after all
  CHECK(talk.primary_is(2));
  CHECK(talk.state(1) == NodeState::quarantined);
}

TEST_CASE("an answer from before an action was over does not prove that a standby is cut off") {
  Conversation talk = a_cluster();
  lose_primary(talk);
  const base::Time before = talk.now - 10ms;
  talk.now += 1s;
  talk.tell(Probed{node(1), before, a_cut_one()});
  talk.tell(Probed{node(2), before, a_cut_one(1100)});
  CHECK(phase(talk) == Phase::electing);
  cut_both(talk);
  CHECK(phase(talk) == Phase::promoting);
}

TEST_CASE("who may still become a primary does not follow another one first") {
  Conversation talk = a_cluster();
  lose_primary(talk, 1000, 1000);
  talk.says(1, a_cut_one());
  talk.says(2, a_cut_one());
  CHECK(talk.was_asked(ActionKind::promote, 1, Outcome::unknown));
  talk.says(2, a_primary(1000, 2));  // somebody promoted the other one
  REQUIRE(talk.primary_is(2));
  talk.now += 5s;
  talk.says(1, a_cut_one());
  CHECK_FALSE(talk.was_asked(ActionKind::follow, 1));
  talk.now += 30s;
  talk.says(1, a_cut_one());
  CHECK(talk.was_asked(ActionKind::follow, 1));
}

TEST_CASE("command: pgweir only looks, and its programs do the rest") {
  FailoverRules rules = promoting();
  rules.mode = FailoverMode::command;
  Conversation talk = a_cluster(rules);
  talk.fails(0, FailureKind::refused);
  talk.now += 1ms;
  talk.says(1, an_orphan());
  talk.says(2, an_orphan(1100));
  talk.after(500ms);
  talk.says(1, an_orphan());
  talk.says(2, an_orphan(1100));
  CHECK(talk.was_asked(ActionKind::promote, 2));
  CHECK(talk.asked.empty());
}

TEST_CASE("observe: nothing is ever asked for") {
  FailoverRules rules;
  Conversation talk = a_cluster(rules);
  talk.fails(0, FailureKind::refused);
  talk.says(1, an_orphan());
  talk.after(1h);
  CHECK(talk.asked.empty());
  CHECK(talk.machine.phase() == Phase::following);
  CHECK(talk.state(1) == NodeState::up);  // it may serve reads
}
