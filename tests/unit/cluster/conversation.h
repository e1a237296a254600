// A conversation with the failover machine, in the order in which it happens: what nodes say, how time passes, what the
// machine asks for.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "cluster/failover_machine.h"
#include "doctest/doctest.h"

namespace pgweir::test {

using namespace std::chrono_literals;
using namespace cluster;

constexpr base::NodeId node(std::uint16_t id) { return base::NodeId{id}; }

inline ProbeAnswer a_primary(routing::Lsn position = 1000, std::uint32_t timeline = 1) {
  ProbeAnswer answer;
  answer.system_identifier = 7;
  answer.timeline = timeline;
  answer.received = answer.replayed = position;
  answer.has_upstream = false;
  return answer;
}
inline ProbeAnswer a_standby(routing::Lsn position = 1000, std::uint32_t timeline = 1, std::uint16_t sender = 0) {
  ProbeAnswer answer = a_primary(position, timeline);
  answer.in_recovery = true;
  answer.has_upstream = true;
  answer.receiver = Receiver::streaming;
  answer.sender = node(sender);
  answer.heard_ago = 5s;
  return answer;
}
/// Its primary has gone; it looks for it.
inline ProbeAnswer an_orphan(routing::Lsn position = 1000, std::uint32_t timeline = 1) {
  ProbeAnswer answer = a_standby(position, timeline);
  answer.receiver = Receiver::connecting;
  answer.heard_ago.reset();
  return answer;
}
/// pgweir has cut it off.
inline ProbeAnswer a_cut_one(routing::Lsn position = 1000, std::uint32_t timeline = 1) {
  ProbeAnswer answer = an_orphan(position, timeline);
  answer.receiver = Receiver::none;
  answer.has_upstream = false;
  answer.sender.reset();
  return answer;
}

class Conversation {
 public:
  explicit Conversation(FailoverRules rules, std::size_t nodes = 3, FailoverMemory memory = {})
      : machine(rules, names(nodes), std::move(memory)) {}

  void says(std::uint16_t who, ProbeAnswer answer) {
    answer.application_name = "pg" + std::to_string(who + 1);
    tell(Probed{node(who), now, std::move(answer)});
  }
  void fails(std::uint16_t who, FailureKind kind, std::string text = "no answer") {
    tell(Probed{node(who), now, ProbeFailure{kind, std::move(text)}});
  }
  void after(base::Duration time) {
    now += time;
    tell(Tick{});
  }
  void tell(const Event& event) {
    for (const Action& action : machine.apply(event, {now, base::WallTime{} + (now - base::Time{})}))
      if (action.kind != ActionKind::probe) asked.push_back(action);
  }
  /// Whether it has asked for this since it was last heard; it is answered at once.
  bool was_asked(ActionKind kind, std::uint16_t who, Outcome outcome = Outcome::done) {
    for (std::size_t i = 0; i < asked.size(); ++i) {
      if (asked[i].kind != kind || asked[i].node != node(who)) continue;
      last = asked[i];
      asked.erase(asked.begin() + static_cast<std::ptrdiff_t>(i));
      now += 1ms;
      tell(ActionEnded{last.id, outcome});
      now += 1ms;
      return true;
    }
    return false;
  }
  [[nodiscard]] NodeState state(std::uint16_t who) const { return machine.nodes()[who].state; }
  [[nodiscard]] std::string why(std::uint16_t who) const { return text_of(machine.nodes()[who].why, machine.names()); }
  [[nodiscard]] bool primary_is(std::uint16_t who) const { return machine.primary() == node(who); }

  static std::vector<FailoverNode> names(std::size_t count) {
    std::vector<FailoverNode> all;
    for (std::size_t i = 0; i < count; ++i) all.push_back({"pg" + std::to_string(i + 1), 0});
    return all;
  }

  FailoverMachine machine;
  base::Time now = base::Time{} + 1h;
  std::vector<Action> asked;
  Action last;
};

inline FailoverRules promoting() {
  FailoverRules rules;
  rules.mode = FailoverMode::promote;
  return rules;
}

/// pg1 is the primary, pg2 and pg3 follow.
inline Conversation a_cluster(FailoverRules rules = promoting(), const std::string& sync = "") {
  Conversation talk(rules);
  ProbeAnswer primary = a_primary();
  primary.synchronous_standby_names = sync;
  talk.says(0, primary);
  talk.says(1, a_standby());
  talk.says(2, a_standby());
  REQUIRE(talk.primary_is(0));
  talk.now += 1s;
  return talk;
}

/// pg1 has died and refuses; both standbys have been cut off, pg3 with more.
inline void lose_primary(Conversation& talk, routing::Lsn second = 1000, routing::Lsn third = 1100) {
  talk.fails(0, FailureKind::refused);
  talk.now += 1ms;
  talk.says(1, an_orphan(second));
  talk.says(2, an_orphan(third));
  talk.after(500ms);
  talk.says(1, an_orphan(second));
  talk.says(2, an_orphan(third));
  REQUIRE(talk.machine.phase() == Phase::electing);
  REQUIRE(talk.was_asked(ActionKind::stop_receiving, 1));
  REQUIRE(talk.was_asked(ActionKind::stop_receiving, 2));
}

}  // namespace pgweir::test
