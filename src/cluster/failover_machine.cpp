// The frame of the machine: events in, actions out, what is pending, what is written down; see failover_machine.h.
#include "cluster/failover_machine.h"

#include <algorithm>
#include <utility>

namespace pgweir::cluster {

FailoverMachine::FailoverMachine(FailoverRules rules, std::vector<FailoverNode> nodes, FailoverMemory memory)
    : rules_(rules), nodes_(std::move(nodes)), records_(nodes_.size()), memory_(std::move(memory)) {
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    records_[i].application_name = nodes_[i].name;  // what it is usually called, until it says what it is
    if (i >= memory_.nodes.size()) continue;
    records_[i].disabled = memory_.nodes[i].disabled;
    records_[i].cut_off = memory_.nodes[i].cut_off;
    records_[i].demoted = memory_.nodes[i].demoted;
    records_[i].maybe_promoted = memory_.nodes[i].maybe_promoted;
    records_[i].system_identifier = memory_.nodes[i].system_identifier;
  }
  memory_.nodes.clear();
  if (memory_.primary && memory_.primary->value >= nodes_.size()) memory_.primary.reset();
}

void FailoverMachine::add(FailoverNode node) {
  records_.emplace_back().application_name = node.name;
  nodes_.push_back(std::move(node));
}

FailoverMemory FailoverMachine::memory() const {
  FailoverMemory memory = memory_;
  for (const NodeRecord& node : records_)
    memory.nodes.push_back({node.disabled, node.cut_off, node.demoted, node.maybe_promoted, node.system_identifier});
  return memory;
}

const std::vector<Action>& FailoverMachine::apply(const Event& event, Moment now) {
  now_ = now;
  actions_.clear();
  if (phase_since_ == base::Time{}) begin();
  expire_actions();
  std::visit([this](const auto& one) { take(one); }, event);
  // A phase may end at once, and the next one too; who is the primary is asked before each.
  constexpr int kMostPhases = 8;
  for (int i = 0; i < kMostPhases; ++i) {
    const Phase before = phase_;
    believe();
    run_phase();
    if (phase_ == before) break;
  }
  upkeep();
  judge();
  return actions_;
}

/// What the process before this one asked for may still be on its way.
void FailoverMachine::begin() {
  phase_since_ = gone_since_ = now_.time;
  for (NodeRecord& node : records_) {
    if (node.cut_off || node.demoted) node.not_before = now_.time + rules_.action_limit;
    if (node.maybe_promoted) node.no_follow_before = now_.time + rules_.promote_limit;
  }
}

base::Duration FailoverMachine::tick_after() const {
  const bool busy = phase_ != Phase::following || !primary_ ||
                    std::any_of(records_.begin(), records_.end(), [](const auto& n) { return n.pending.has_value(); });
  return busy ? rules_.quick_interval / 2 : rules_.quick_interval * 5;
}

void FailoverMachine::take(const Probed& probed) {
  if (probed.node.value >= records_.size()) return;
  take_probe(records_[probed.node.value], probed, rules_.retries, now_.time);
}

void FailoverMachine::take(const ActionEnded& one) {
  for (std::size_t i = 0; i < records_.size(); ++i) {
    const auto& pending = records_[i].pending;
    if (!pending || pending->id != one.id) continue;
    // It may still take effect within its time: until then nothing else is asked of this node.
    if (one.outcome == Outcome::unknown && pending->kind != ActionKind::promote && pending->kind != ActionKind::rejoin)
      return;
    return ended(i, one.outcome);
  }
}

void FailoverMachine::take(const Disable& request) {
  const std::size_t node = request.node.value;
  if (node >= records_.size()) return;
  const bool in_use = primary_ == request.node || (phase_ != Phase::following && chosen_ == request.node);
  if (in_use) return note(HistoryEntry::What::request, request.node, {ReasonCode::not_that_node, request.node});
  records_[node].disabled = true;
}

void FailoverMachine::take(const Enable& request) {
  const std::size_t node = request.node.value;
  if (node >= records_.size()) return;
  NodeRecord& record = records_[node];
  record.disabled = false;
  record.attempts = 0;
  record.system_identifier = 0;  // it may be another server now
  record.not_before = std::min(record.not_before, now_.time + rules_.action_limit);
}

/// The operator may say of this one that it is the primary.
bool FailoverMachine::may_be_told(std::size_t node) const {
  const ProbeAnswer& answer = *records_[node].answer;
  if (rules_.kind == config::TopologyKind::single) return true;
  if (rules_.kind == config::TopologyKind::logical) return origin() == id_of(node) && !answer.in_recovery;
  return !answer.in_recovery && right_system(answer);
}

void FailoverMachine::take(const Believe& request) {
  if (request.node.value >= records_.size()) return;
  const NodeRecord& record = records_[request.node.value];
  if (primary_ || record.disabled || !record.answering() || !may_be_told(request.node.value))
    return note(HistoryEntry::What::request, request.node, {ReasonCode::not_that_node, request.node});
  for (NodeRecord& one : records_) one.maybe_promoted = false;
  records_[request.node.value].system_identifier = 0;
  memory_.primary = request.node;
  if (rules_.kind != config::TopologyKind::streaming) memory_.system_identifier = record.answer->system_identifier;
  memory_.timeline = record.answer->timeline;
  note(HistoryEntry::What::request, request.node, {ReasonCode::believed_by_operator, request.node});
}

void FailoverMachine::expire_actions() {
  for (std::size_t i = 0; i < records_.size(); ++i)
    if (records_[i].pending && records_[i].pending->deadline <= now_.time) ended(i, Outcome::unknown);
}

/// Only bookkeeping; what it means is decided by the phase and the upkeep.
void FailoverMachine::ended(std::size_t node, Outcome outcome) {
  NodeRecord& record = records_[node];
  const NodeRecord::Pending pending = *record.pending;
  record.pending.reset();
  record.last = {pending.kind, outcome, now_.time};
  const bool done = outcome == Outcome::done;
  switch (pending.kind) {
    case ActionKind::probe:
    case ActionKind::restart_receiver: break;
    case ActionKind::demote:
      if (outcome == Outcome::refused) record.demoted = pending.was_uncertain;
      [[fallthrough]];
    case ActionKind::stop_receiving:
      // Who may not do it, or cannot, is asked again, but not ten times a second for ever.
      record.refusals = outcome == Outcome::refused ? record.refusals + 1 : 0;
      if (!done) record.not_before = now_.time + std::min(pause_after(record.refusals), rules_.longest_refusal_pause);
      break;
    case ActionKind::promote:
      if (outcome == Outcome::refused) record.maybe_promoted = pending.was_uncertain;
      if (outcome == Outcome::unknown) record.no_follow_before = pending.deadline;
      if (done) break;
      ++record.promotions;
      record.not_before = now_.time + pause_after(record.promotions);
      break;
    case ActionKind::follow:
      record.not_before = now_.time + (done ? rules_.follow_patience : pause_after(record.attempts));
      break;
    case ActionKind::rejoin:
      record.not_before = now_.time + std::max(rules_.follow_patience, pause_after(record.rejoins));
      break;
    case ActionKind::restore:
      if (done) record.demoted = false;
      if (!done) record.not_before = now_.time + pause_after(1);
      break;
  }
}

void FailoverMachine::ask(ActionKind kind, std::size_t node, base::NodeId other) {
  base::Duration limit = rules_.action_limit;
  if (kind == ActionKind::promote) limit = rules_.promote_limit;
  if (kind == ActionKind::follow) limit = rules_.follow_limit;
  if (kind == ActionKind::rejoin) limit = rules_.rejoin_limit;
  const std::uint64_t id = ++last_action_id_;
  actions_.push_back({id, kind, id_of(node), other, limit});
  if (kind == ActionKind::probe) return;
  NodeRecord& record = records_[node];
  record.pending = {id, kind, now_.time + limit, kind == ActionKind::demote ? record.demoted : record.maybe_promoted};
  if (kind == ActionKind::stop_receiving) record.cut_off = true;
  if (kind == ActionKind::promote) record.maybe_promoted = true;
  if (kind == ActionKind::demote) record.demoted = true;
}

bool FailoverMachine::may_act(std::size_t node) const {
  return !records_[node].pending && now_.time >= records_[node].not_before;
}

/// Something is going on: the usual interval is too long.
void FailoverMachine::probe_quickly() {
  if (now_.time < next_quick_probe_) return;
  next_quick_probe_ = now_.time + rules_.quick_interval;
  for (std::size_t i = 0; i < records_.size(); ++i)
    if (!records_[i].disabled) ask(ActionKind::probe, i);
}

void FailoverMachine::enter(Phase phase, Reason why) {
  if (phase_ == phase && phase_why_ == why) return;
  const Phase before = std::exchange(phase_, phase);
  phase_why_ = why;
  if (before != phase) phase_since_ = now_.time;
  history_.add({HistoryEntry::What::phase, now_, why.node, name_of(before), name_of(phase), why, {}});
  ++version_;
}

void FailoverMachine::note(HistoryEntry::What what, std::optional<base::NodeId> node, Reason why) {
  history_.add({what, now_, node, {}, {}, why, {}});
  ++version_;
}

base::Duration FailoverMachine::pause_after(unsigned failures) const {
  constexpr unsigned kMostDoublings = 10;
  const base::Duration pause = rules_.quick_interval * (1 << std::min(failures, kMostDoublings));
  return std::min(pause, rules_.longest_pause);
}

}  // namespace pgweir::cluster
