// A switchover on request: writes wait, the primary refuses them, the target receives the rest, and is promoted. Until
// it is, every failure goes back to the primary that is there; afterwards it is a failover like any other.
#include "cluster/failover_machine.h"

namespace pgweir::cluster {

/// The standby that is asked for must follow the primary; without a name, the one that has received the most.
std::optional<base::NodeId> FailoverMachine::choose_target() const {
  std::optional<std::size_t> best;
  for (std::size_t i = 0; i < records_.size(); ++i) {
    if (records_[i].state != NodeState::up || primary_ == id_of(i) || !follows(i)) continue;
    const auto rank = [&](std::size_t n) { return std::pair(nodes_[n].priority, records_[n].answer->received); };
    if (!best || rank(i) > rank(*best)) best = i;
  }
  if (!best) return {};
  return id_of(*best);
}

void FailoverMachine::take(const Switchover& request) {
  const bool possible = rules_.mode != FailoverMode::observe && rules_.kind == config::TopologyKind::streaming &&
                        phase_ == Phase::following && primary_ && !records_[primary_->value].pending;
  if (!possible) return note(HistoryEntry::What::request, request.target, {ReasonCode::not_possible_now});
  const auto target = request.target ? request.target : choose_target();
  if (!target || target->value >= records_.size() || records_[target->value].state != NodeState::up ||
      target == primary_ || !follows(target->value))
    return note(HistoryEntry::What::request, target, {ReasonCode::not_that_node, target});
  chosen_ = target;
  in_switchover_ = true;
  enter(Phase::pausing, {ReasonCode::switchover_asked, target});
}

void FailoverMachine::take(const WritesQuiet&) {
  if (phase_ != Phase::pausing || !primary_ || !may_act(primary_->value)) return;
  ask(ActionKind::demote, primary_->value);
  enter(Phase::demoting, phase_why_);
}

void FailoverMachine::abandon(Reason why) {
  note(HistoryEntry::What::request, chosen_, why);
  in_switchover_ = false;
  chosen_.reset();
  enter(Phase::following, why);
}

void FailoverMachine::run_pausing() {
  if (!primary_) return abandon({ReasonCode::primary_lost, memory_.primary});
  if (!follows(chosen_->value)) return abandon({ReasonCode::target_lost, chosen_});
  if (now_.time - phase_since_ >= rules_.pause_limit) abandon({ReasonCode::writes_do_not_end});
}

void FailoverMachine::run_demoting() {
  if (!primary_) return abandon({ReasonCode::primary_lost, memory_.primary});
  if (now_.time - phase_since_ >= rules_.pause_limit) return abandon({ReasonCode::demote_failed});
  const NodeRecord& record = records_[primary_->value];
  if (record.pending) return;
  if (record.last->outcome == Outcome::done) return enter(Phase::catching, phase_why_);
  if (record.last->outcome == Outcome::refused) return abandon({ReasonCode::demote_failed});
  if (may_act(primary_->value)) ask(ActionKind::demote, primary_->value);
}

/// What the primary says after it has been demoted is its last word.
void FailoverMachine::run_catching() {
  if (!primary_) return abandon({ReasonCode::primary_lost, memory_.primary});
  if (now_.time - phase_since_ >= rules_.catch_up_limit) return abandon({ReasonCode::target_is_behind, chosen_});
  const std::size_t target = chosen_->value;
  if (records_[target].health == Health::lost) return abandon({ReasonCode::target_lost, chosen_});
  probe_quickly();
  if (!records_[primary_->value].answered_since(phase_since_) || !records_[target].answered_since(phase_since_)) return;
  const ProbeAnswer& last_word = *records_[primary_->value].answer;
  const ProbeAnswer& answer = *records_[target].answer;
  if (!answer.in_recovery || answer.timeline != last_word.timeline || answer.received < last_word.received) return;
  if (!may_act(target)) return;
  ask(ActionKind::promote, target);
  enter(Phase::promoting, {ReasonCode::most_received, chosen_, answer.received});
}

}  // namespace pgweir::cluster
