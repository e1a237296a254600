// Without a primary: is it lost for all or only for pgweir, who has everything, who becomes the next one.
#include <algorithm>

#include "cluster/failover_machine.h"

namespace pgweir::cluster {

void FailoverMachine::run_phase() {
  switch (phase_) {
    case Phase::following: return run_following();
    case Phase::asking: return run_asking();
    case Phase::electing: return run_electing();
    case Phase::promoting: return run_promoting();
    case Phase::pausing: return run_pausing();
    case Phase::demoting: return run_demoting();
    case Phase::catching: return run_catching();
  }
}

void FailoverMachine::run_following() {
  if (primary_ || !memory_.primary) return;
  const bool only_looks = rules_.mode == FailoverMode::observe || rules_.kind != config::TopologyKind::streaming;
  if (primary_is_lost() && only_looks)
    enter(Phase::following, {ReasonCode::primary_lost, memory_.primary});
  else if (primary_is_lost())
    enter(Phase::asking, {ReasonCode::primary_lost, memory_.primary});
  else
    enter(Phase::following, {ReasonCode::primary_starting, memory_.primary});
}

/// Lost for pgweir. A server that starts up, or was started as a standby, has some time: whoever did that may have
/// plans. One that pgweir may not ask is alive, for as long as that takes.
bool FailoverMachine::primary_is_lost() const {
  if (is_superseded()) return true;
  const NodeRecord& record = records_[memory_.primary->value];
  const bool patience_is_over = now_.time - gone_since_ >= rules_.starting_patience;
  switch (record.health) {
    case Health::lost: return true;
    case Health::starting:
    case Health::answering: return patience_is_over;
    case Health::unknown:
    case Health::trouble:
    case Health::untold: return false;
  }
  return false;
}

bool FailoverMachine::is_standby_in_sight(std::size_t node) const {
  const NodeRecord& record = records_[node];
  return !record.disabled && record.answered_since(phase_since_) && record.answer->in_recovery &&
         right_system(*record.answer);
}

/// pgweir's silence is not enough to call a primary dead. A standby that has heard from it since then knows better; one
/// that only has not noticed yet is made to connect again, and then knows too.
void FailoverMachine::run_asking() {
  if (!primary_is_lost()) return enter(Phase::following, {ReasonCode::primary_starting, memory_.primary});
  if (is_superseded()) return enter(Phase::electing, {ReasonCode::waits_for_standbys});
  probe_quickly();
  const NodeRecord& primary = records_[memory_.primary->value];
  if (primary.refused && now_.time - primary.health_since < rules_.refused_grace) return;
  std::uint64_t standbys = 0;
  std::uint64_t hear_it = 0;
  bool waits = false;
  for (std::size_t i = 0; i < records_.size(); ++i) {
    NodeRecord& record = records_[i];
    if (record.disabled || memory_.primary == id_of(i)) continue;
    if (!record.answered_since(phase_since_) && (record.answering() || record.health == Health::trouble)) waits = true;
    if (!is_standby_in_sight(i)) continue;
    ++standbys;
    const ProbeAnswer& answer = *record.answer;
    if (answer.sender && answer.sender != memory_.primary) continue;  // it hears from somebody else
    const bool receives = answer.receiver == Receiver::streaming;
    const bool hears = record.hears_since(phase_since_) || (rules_.mode == FailoverMode::command && receives &&
                                                            answer.heard_ago && *answer.heard_ago < rules_.quiet_limit);
    if (hears) ++hear_it;
    if (hears || rules_.mode == FailoverMode::command) continue;
    const bool was_asked = record.ended_since(ActionKind::restart_receiver, phase_since_);
    if (receives && !was_asked && may_act(i)) ask(ActionKind::restart_receiver, i);
    if (record.pending) waits = true;
    if (was_asked && record.answer_started - record.last->at < rules_.ask_patience) waits = true;
  }
  if (waits && now_.time - std::max(phase_since_, heard_at_) < 2 * (rules_.ask_patience + rules_.action_limit)) return;
  if (hear_it > 0 && 2 * hear_it >= standbys) {
    heard_at_ = now_.time;
    enter(Phase::asking, {ReasonCode::primary_heard, memory_.primary, hear_it, standbys});
    if (now_.time - phase_since_ >= rules_.ask_again) phase_since_ = now_.time;
    return;
  }
  if (standbys == 0) return enter(Phase::asking, {ReasonCode::no_candidate, {}, memory_.timeline});
  if (nodes_in_sight() < nodes_needed())
    return enter(Phase::asking, {ReasonCode::too_few_seen, {}, nodes_in_sight(), nodes_needed()});
  enter(Phase::electing, {ReasonCode::waits_for_standbys});
}

std::size_t FailoverMachine::nodes_in_sight() const {
  return static_cast<std::size_t>(std::count_if(records_.begin(), records_.end(), [&](const NodeRecord& node) {
    return !node.disabled && (node.answering() ? node.answered_since(phase_since_) : node.alive());
  }));
}

/// A majority of all, so that a pgweir that is cut off with a few nodes decides nothing; of two nodes one is enough,
/// or there would be no failover at all.
std::size_t FailoverMachine::nodes_needed() const {
  if (rules_.minimum_seen > 0) return rules_.minimum_seen;
  const auto all = static_cast<std::size_t>(
      std::count_if(records_.begin(), records_.end(), [](const NodeRecord& node) { return !node.disabled; }));
  return all < 2 ? 1 : std::min(all / 2 + 1, all - 1);
}

/// It cannot receive any more from the old primary: its position is final, and it acknowledges nothing.
bool FailoverMachine::is_cut(std::size_t node) const {
  const NodeRecord& record = records_[node];
  const ProbeAnswer& answer = *record.answer;
  // pgweir may only look, and wait a moment; to put an end to the old primary is the operator's command's part.
  if (rules_.mode == FailoverMode::command)
    return !record.hears_since(phase_since_) || now_.time - phase_since_ >= rules_.election_patience;
  if (record.pending && record.pending->kind != ActionKind::stop_receiving) return false;
  if (!record.pending && record.last && record.answer_started < record.last->at) return false;
  return !answer.has_upstream && answer.receiver == Receiver::none;
}

bool FailoverMachine::enough_sync_seen() const {
  std::vector<SyncWitness> witnesses;
  for (std::size_t i = 0; i < records_.size(); ++i) {
    if (memory_.primary == id_of(i)) continue;
    const NodeRecord& record = records_[i];
    // An old primary that never followed has nothing of this timeline: there is nothing to be missed.
    const bool has_nothing = record.answered_since(phase_since_) && !record.answer->in_recovery &&
                             record.answer->timeline < memory_.timeline;
    witnesses.push_back({record.application_name, has_nothing || (is_standby_in_sight(i) && is_cut(i))});
  }
  return sight_of(memory_.sync, witnesses, memory_.strangers, memory_.own_name).enough &&
         (!memory_.sync_before ||
          sight_of(*memory_.sync_before, witnesses, memory_.strangers, memory_.own_name).enough);
}

Verdict FailoverMachine::hold_election() {
  candidates_.clear();
  for (std::size_t i = 0; i < records_.size(); ++i) {
    if (!is_standby_in_sight(i)) continue;
    const NodeRecord& record = records_[i];
    const ProbeAnswer& answer = *record.answer;
    candidates_.push_back({id_of(i), nodes_[i].priority, answer.timeline, answer.received, is_cut(i),
                           record.hears_since(phase_since_) && !is_cut(i), record.promotions >= rules_.attempts});
  }
  return elect({candidates_, memory_.timeline, nodes_in_sight(), nodes_needed(), enough_sync_seen()});
}

void FailoverMachine::run_electing() {
  const base::Duration lasts = now_.time - phase_since_;
  const bool is_early = lasts < rules_.election_patience;
  if (is_early) probe_quickly();
  bool waits = false;
  bool is_being_cut = false;
  for (std::size_t i = 0; i < records_.size(); ++i) {
    const NodeRecord& record = records_[i];
    if (record.disabled) continue;
    if (!is_standby_in_sight(i)) {
      const bool may_come = record.answering() ? !record.answered_since(phase_since_)
                                               : record.health == Health::trouble || record.health == Health::starting;
      if (may_come && memory_.primary != id_of(i)) waits = true;
      continue;
    }
    if (is_cut(i)) continue;
    waits = true;
    const bool is_told = record.last && record.last->kind == ActionKind::stop_receiving &&
                         record.last->outcome == Outcome::done && record.answer_started < record.last->at;
    if (rules_.mode == FailoverMode::promote && !is_told && may_act(i)) ask(ActionKind::stop_receiving, i);
    if (record.pending || is_told) is_being_cut = true;
  }
  if (is_being_cut) probe_quickly();
  if (waits && (is_early || (is_being_cut && lasts < 3 * rules_.election_patience)))
    return enter(Phase::electing, {ReasonCode::waits_for_standbys});
  const Verdict verdict = hold_election();
  if (!verdict.winner) return enter(Phase::electing, verdict.why);
  const std::size_t winner = verdict.winner->value;
  if (!may_act(winner)) return;
  chosen_ = verdict.winner;
  ask(ActionKind::promote, winner);
  enter(Phase::promoting, verdict.why);
}

/// Success shows in what the node says, not in what the action says: then it is believed, and this phase is over.
void FailoverMachine::run_promoting() {
  probe_quickly();
  NodeRecord& record = records_[chosen_->value];
  if (record.pending && record.health == Health::lost) ended(chosen_->value, Outcome::unknown);
  if (record.pending) return;
  const NodeRecord::Ended& last = *record.last;
  if (last.outcome == Outcome::done) {
    if (record.health != Health::lost && now_.time - last.at < rules_.follow_patience) return;
    ++record.promotions;
  }
  const auto code = last.outcome == Outcome::refused ? ReasonCode::promotion_refused : ReasonCode::promotion_unknown;
  enter(Phase::electing, {code, chosen_});
}

}  // namespace pgweir::cluster
