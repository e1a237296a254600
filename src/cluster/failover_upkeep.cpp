// While there is a primary: the others follow it, those who cannot are handed to the rejoin command, and every node has
// a state with a reason. Nothing is given up: what fails is tried again, later and later.
#include <utility>

#include "cluster/failover_machine.h"

namespace pgweir::cluster {

/// It receives what the primary writes: from it, or from another standby.
bool FailoverMachine::follows(std::size_t node) const {
  const NodeRecord& record = records_[node];
  if (!primary_ || !record.answering() || !record.answer->in_recovery) return false;
  const ProbeAnswer& answer = *record.answer;
  if (answer.receiver != Receiver::streaming || answer.timeline != memory_.timeline) return false;
  if (!answer.sender || answer.sender == primary_) return true;
  const NodeRecord& sender = records_[answer.sender->value];
  return sender.answer && sender.answer->in_recovery;
}

/// It has replayed what is not in the primary's history: it can never follow as it is.
bool FailoverMachine::is_ahead_of_fork(std::size_t node) const {
  const ProbeAnswer& answer = *records_[node].answer;
  return memory_.timeline_began != 0 && answer.timeline < memory_.timeline && answer.replayed > memory_.timeline_began;
}

void FailoverMachine::upkeep() {
  if (phase_ != Phase::following || !primary_ || rules_.mode == FailoverMode::observe ||
      rules_.kind != config::TopologyKind::streaming)
    return;
  for (std::size_t i = 0; i < records_.size(); ++i) {
    NodeRecord& record = records_[i];
    // The rejoin command has stopped it, and failed: nobody else will start it.
    const bool was_left = record.health == Health::lost && record.rejoins > 0 && record.last &&
                          record.last->kind == ActionKind::rejoin && record.last->outcome != Outcome::done;
    if (was_left && !record.disabled && may_act(i)) rejoin(i);
    if (!record.answering() || !right_system(*record.answer)) continue;
    const bool is_primary = primary_ == id_of(i);
    if (follows(i) && !(record.pending && record.pending->kind == ActionKind::stop_receiving)) {
      record.cut_off = false;
      record.attempts = record.rejoins = 0;
    }
    if (record.disabled || !may_act(i)) continue;
    if (record.demoted && (is_primary || follows(i)))
      ask(ActionKind::restore, i);
    else if (is_primary || follows(i))
      continue;
    else if (!record.answer->in_recovery)
      rejoin(i);
    else if (record.cut_off || record.answer->timeline < memory_.timeline)
      lead(i);
  }
}

void FailoverMachine::lead(std::size_t node) {
  NodeRecord& record = records_[node];
  if (now_.time < record.no_follow_before) return;
  const bool is_hopeless = is_ahead_of_fork(node) || record.attempts >= rules_.attempts;
  if (is_hopeless && rules_.rejoin) return rejoin(node);
  if (is_ahead_of_fork(node)) return;
  ++record.attempts;
  ask(ActionKind::follow, node, *primary_);
}

void FailoverMachine::rejoin(std::size_t node) {
  if (!rules_.rejoin) return;
  ++records_[node].rejoins;
  ask(ActionKind::rejoin, node, *primary_);
}

std::pair<NodeState, Reason> FailoverMachine::state_of(std::size_t node) const {
  const NodeRecord& record = records_[node];
  if (record.disabled) return {NodeState::disabled, {ReasonCode::by_operator}};
  if (record.health == Health::unknown) {
    if (record.silences == 0) return {NodeState::unknown, {ReasonCode::not_asked}};
    return {NodeState::down, {ReasonCode::no_answer}};
  }
  if (!record.answering() && record.health != Health::trouble) return {NodeState::down, {ReasonCode::no_answer}};
  const ProbeAnswer& answer = *record.answer;
  if (primary_ == id_of(node)) return {NodeState::up, {ReasonCode::answers}};
  if (rules_.kind == config::TopologyKind::logical) return state_of_independent(node);
  if (!right_system(answer))
    return {NodeState::quarantined,
            {ReasonCode::other_cluster, {}, answer.system_identifier, memory_.system_identifier}};
  if (rules_.kind == config::TopologyKind::single)
    return {NodeState::quarantined, {ReasonCode::older_timeline, {}, answer.timeline, memory_.timeline}};
  if (answer.in_recovery) return state_of_standby(node, answer);
  if (memory_.system_identifier == 0) return {NodeState::unknown, {ReasonCode::not_asked}};
  if (record.health == Health::trouble) return {record.state, record.why};
  if (!primary_ && answer.timeline < memory_.timeline)
    return {NodeState::quarantined, {ReasonCode::older_timeline, {}, answer.timeline, memory_.timeline}};
  return {NodeState::quarantined, {ReasonCode::second_primary, primary_ ? primary_ : chosen_}};
}

std::pair<NodeState, Reason> FailoverMachine::state_of_standby(std::size_t node, const ProbeAnswer& answer) const {
  const NodeRecord& record = records_[node];
  const std::uint32_t right = memory_.timeline;
  if (right != 0 && answer.timeline > right)
    return {NodeState::quarantined, {ReasonCode::newer_timeline, {}, answer.timeline, right}};
  if (is_ahead_of_fork(node))
    return {NodeState::quarantined, {ReasonCode::ahead_of_fork, {}, answer.replayed, memory_.timeline_began}};
  const bool is_old = answer.timeline < right;
  if (is_old && (rules_.mode == FailoverMode::observe || !primary_))
    return {NodeState::quarantined, {ReasonCode::older_timeline, {}, answer.timeline, right}};
  if (primary_ && (is_old || record.cut_off)) {
    if (record.attempts >= rules_.attempts)
      return {NodeState::quarantined, {ReasonCode::does_not_follow, primary_, rules_.attempts}};
    return {NodeState::catching_up, {ReasonCode::catching_up, primary_}};
  }
  if (record.state == NodeState::up) return {NodeState::up, {ReasonCode::answers}};
  if (primary_ && records_[primary_->value].answer->received > answer.received + rules_.catch_up_lag)
    return {NodeState::catching_up, {ReasonCode::catching_up, primary_}};
  return {NodeState::up, {ReasonCode::answers}};
}

void FailoverMachine::judge() {
  for (std::size_t i = 0; i < records_.size(); ++i) {
    NodeRecord& record = records_[i];
    const auto [state, why] = state_of(i);
    const auto role = record.answer ? role_of(i) : record.role;
    if (state == record.state && why == record.why && role == record.role) continue;
    if (state != record.state || role != record.role) record.since = now_.wall;
    const NodeState before = std::exchange(record.state, state);
    record.why = why;
    record.role = role;
    history_.add({HistoryEntry::What::node, now_, id_of(i), name_of(before), name_of(state), why, record.failure});
    ++version_;
  }
}

}  // namespace pgweir::cluster
