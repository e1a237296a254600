// Who is the primary: by system identifier, then timeline, then continuity. A timeline never goes back: whoever comes
// back on an older one than was believed before is not the primary, even if it is the only one there.
#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "cluster/failover_machine.h"

namespace pgweir::cluster {

bool FailoverMachine::right_system(const ProbeAnswer& answer) const {
  return memory_.system_identifier == 0 || answer.system_identifier == memory_.system_identifier;
}

/// Somebody was told to become the primary and nobody knows whether it will: the one before is over.
bool FailoverMachine::is_superseded() const {
  return std::any_of(records_.begin(), records_.end(), [](const NodeRecord& node) { return node.maybe_promoted; });
}

/// It says that it is a primary, of this cluster, and it is there.
bool FailoverMachine::may_be_primary(std::size_t node) const {
  const NodeRecord& record = records_[node];
  if (record.disabled || !record.answer || record.answer->in_recovery || !right_system(*record.answer)) return false;
  // One silence does not make a new choice, but it is not the time to choose this one either.
  return record.answering() || (record.health == Health::trouble && primary_ == id_of(node));
}

bool FailoverMachine::can_be_believed(std::size_t node) const {
  if (!may_be_primary(node)) return false;
  const std::uint32_t timeline = records_[node].answer->timeline;
  if (timeline != memory_.timeline) return timeline > memory_.timeline;
  if (!memory_.primary) return true;
  if (*memory_.primary == id_of(node)) return !is_superseded();
  // Two on one timeline: one of them was promoted without the other's knowledge. Only where somebody else is in charge
  // may the other one be right, once the first is gone.
  return rules_.mode == FailoverMode::observe && !may_be_primary(memory_.primary->value);
}

/// The cluster is the one of the first primary; before that, the one of most nodes, once all have been asked. Who only
/// follows does not wait for the last one when a majority agrees.
void FailoverMachine::learn_system() {
  std::map<std::uint64_t, std::size_t> votes;
  bool all_asked = true;
  for (const NodeRecord& node : records_) {
    if (node.health == Health::unknown && node.silences == 0) all_asked = false;
    if (node.answering() && !node.disabled) ++votes[node.answer->system_identifier];
  }
  const auto most =
      std::max_element(votes.begin(), votes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  if (most == votes.end()) return;
  const bool is_majority = rules_.mode == FailoverMode::observe && 2 * most->second > records_.size();
  if (all_asked || is_majority) memory_.system_identifier = most->first;
}

void FailoverMachine::believe() {
  const auto before = std::exchange(primary_, std::nullopt);
  std::optional<std::size_t> best;
  if (rules_.kind == config::TopologyKind::single) {
    believe_in_the_only_one(before);
  } else if (rules_.kind == config::TopologyKind::logical) {
    believe_in_origin(before);
  } else {
    primary_ = before;  // `may_be_primary` asks
    const bool was_unknown = memory_.system_identifier == 0;
    if (was_unknown) learn_system();
    for (std::size_t i = 0; memory_.system_identifier != 0 && i < records_.size(); ++i) {
      if (!can_be_believed(i)) continue;
      const auto rank = [&](std::size_t n) {
        const ProbeAnswer& answer = *records_[n].answer;
        return std::tuple(answer.timeline, memory_.primary == id_of(n), answer.received);
      };
      if (!best || rank(i) > rank(*best)) best = i;
    }
    primary_.reset();
    if (best) {
      believe_in(*best);
    } else if (was_unknown) {
      memory_.system_identifier = 0;  // a vote without a primary binds nobody
    }
  }
  if (primary_ == before) return;
  if (!primary_) gone_since_ = now_.time;
  ++version_;
}

void FailoverMachine::believe_in(std::size_t node) {
  const ProbeAnswer& answer = *records_[node].answer;
  primary_ = id_of(node);
  const bool is_another = memory_.primary != primary_ || memory_.timeline != answer.timeline;
  if (is_another) {
    memory_.primary = primary_;
    memory_.timeline = answer.timeline;
    memory_.sync_before.reset();
    memory_.sync_text = answer.synchronous_standby_names;
    memory_.sync = parse_synchronous_standby_names(memory_.sync_text);
    for (NodeRecord& one : records_) {
      one.maybe_promoted = false;
      if (one.pending && one.pending->kind != ActionKind::demote) one.pending->was_uncertain = false;
      one.promotions = one.attempts = 0;
    }
    const Reason why{ReasonCode::promoted, primary_, answer.timeline};
    note(HistoryEntry::What::primary, primary_, why);
    if (in_switchover_)
      note(HistoryEntry::What::request, primary_,
           chosen_ == primary_ ? Reason{ReasonCode::switchover_done, primary_} : why);
    in_switchover_ = false;
    chosen_.reset();
    enter(Phase::following, why);
  } else if (phase_ == Phase::asking || phase_ == Phase::electing || phase_why_.code == ReasonCode::primary_lost ||
             phase_why_.code == ReasonCode::primary_starting) {
    in_switchover_ = false;
    chosen_.reset();
    enter(Phase::following, {ReasonCode::primary_is_back, primary_});
  }
  memory_.timeline_began = answer.timeline_began;
  memory_.own_name = records_[node].application_name;
  remember_sync(answer);
}

/// A change of the rule counts at once; the one before counts as well until what was acknowledged under it cannot be
/// missed by those whom the new one needs.
void FailoverMachine::remember_sync(const ProbeAnswer& answer) {
  if (answer.synchronous_standby_names != memory_.sync_text) {
    if (!memory_.sync_before && !memory_.sync.asynchronous()) memory_.sync_before = memory_.sync;
    memory_.sync_text = answer.synchronous_standby_names;
    memory_.sync = parse_synchronous_standby_names(memory_.sync_text);
    memory_.sync_changed_at = answer.received;
  }
  if (memory_.sync_before) {
    const auto have_it = std::count_if(records_.begin(), records_.end(), [&](const NodeRecord& node) {
      return node.answer && node.answer->in_recovery && node.answer->timeline == memory_.timeline &&
             node.answer->received >= memory_.sync_changed_at && memory_.sync.lists(node.application_name);
    });
    if (have_it >= static_cast<std::ptrdiff_t>(std::max(1U, memory_.sync.count))) memory_.sync_before.reset();
  }
  const auto is_node = [&](const std::string& name) {
    return std::any_of(records_.begin(), records_.end(),
                       [&](const NodeRecord& node) { return node.application_name == name; });
  };
  memory_.strangers.clear();
  for (const std::string& peer : answer.peers)
    if (!is_node(peer)) memory_.strangers.push_back(peer);
}

}  // namespace pgweir::cluster
