// Roles that nobody has to find out: the one node of `single`, and the origin and the replicas of `logical`, which are
// servers of their own. There is nobody to promote; what is left to decide is whether a node is still what it was.
#include "cluster/failover_machine.h"

namespace pgweir::cluster {

/// One address, whatever stands behind it: another server, another host, a standby. But not another database cluster,
/// and not one that has not what was written on a newer timeline: what the clients know would not be true there.
bool FailoverMachine::may_stand_in(const ProbeAnswer& answer) const {
  return right_system(answer) && answer.timeline >= memory_.timeline;
}

void FailoverMachine::believe_in_the_only_one(std::optional<base::NodeId> before) {
  for (std::size_t i = 0; i < records_.size(); ++i) {
    const NodeRecord& record = records_[i];
    const bool is_there = record.answering() || (record.health == Health::trouble && before == id_of(i));
    if (!is_there || !may_stand_in(*record.answer)) continue;
    memory_.system_identifier = record.answer->system_identifier;
    return believe_in(i);
  }
}

/// What the operator has said holds as long as the configuration says what it said then.
std::optional<base::NodeId> FailoverMachine::origin() const {
  const bool is_told = memory_.origin && memory_.instead_of == rules_.origin;
  return is_told ? memory_.origin : rules_.origin;
}

void FailoverMachine::note_identities() {
  for (NodeRecord& record : records_)
    if (record.answering() && record.system_identifier == 0)
      record.system_identifier = record.answer->system_identifier;
}

/// Nodes do not share a system identifier here; each is compared with what it was.
bool FailoverMachine::is_itself(std::size_t node) const {
  const NodeRecord& record = records_[node];
  return record.answer && record.answer->system_identifier == record.system_identifier;
}

/// The origin that was, put back to an earlier time: what clients were told is not there.
bool FailoverMachine::is_older_than_known(std::size_t node) const {
  return memory_.primary == id_of(node) && records_[node].answer->timeline < memory_.timeline;
}

void FailoverMachine::believe_in_origin(std::optional<base::NodeId> before) {
  note_identities();
  const auto given = origin();
  if (!given || given->value >= records_.size()) return;
  const std::size_t node = given->value;
  const NodeRecord& record = records_[node];
  const bool is_there = record.answering() || (record.health == Health::trouble && before == given);
  if (record.disabled || !is_there || record.answer->in_recovery || !is_itself(node) || is_older_than_known(node))
    return;
  memory_.system_identifier = record.answer->system_identifier;
  believe_in(node);
}

void FailoverMachine::take(const BecomeOrigin& request) {
  const std::size_t node = request.node.value;
  const bool possible = rules_.kind == config::TopologyKind::logical && node < records_.size() &&
                        !records_[node].disabled && records_[node].answering() && !records_[node].answer->in_recovery &&
                        is_itself(node);
  if (!possible) return note(HistoryEntry::What::request, request.node, {ReasonCode::not_that_node, request.node});
  memory_.origin = request.node;
  memory_.instead_of = rules_.origin;
  note(HistoryEntry::What::request, request.node, {ReasonCode::origin_by_operator, request.node});
}

/// It answers, or has not been silent for long enough, and is not the primary.
std::pair<NodeState, Reason> FailoverMachine::state_of_independent(std::size_t node) const {
  const ProbeAnswer& answer = *records_[node].answer;
  if (!is_itself(node))
    return {NodeState::quarantined,
            {ReasonCode::other_server, {}, answer.system_identifier, records_[node].system_identifier}};
  if (answer.in_recovery) return {NodeState::quarantined, {ReasonCode::in_recovery}};
  if (origin() == id_of(node))
    return {NodeState::quarantined, {ReasonCode::older_timeline, {}, answer.timeline, memory_.timeline}};
  return {NodeState::up, {ReasonCode::answers}};
}

/// Of a node that has answered.
routing::Role FailoverMachine::role_of(std::size_t node) const {
  bool is_standby = records_[node].answer->in_recovery;
  if (rules_.kind == config::TopologyKind::single) is_standby = false;
  if (rules_.kind == config::TopologyKind::logical) is_standby = origin() != id_of(node);
  return is_standby ? routing::Role::standby : routing::Role::primary;
}

}  // namespace pgweir::cluster
