// From observations to the machine, and from there to a Topology; see observation.h.
#include "cluster/observation.h"

#include <algorithm>
#include <limits>

namespace pgweir::cluster {

namespace {

using routing::Node;
using routing::NodeStatus;
using routing::Role;
using routing::Topology;

NodeStatus status_of(NodeState state) {
  switch (state) {
    case NodeState::unknown: return NodeStatus::unknown;
    case NodeState::up: return NodeStatus::up;
    case NodeState::down: return NodeStatus::down;
    case NodeState::quarantined: return NodeStatus::quarantined;
    case NodeState::disabled: return NodeStatus::disabled;
    case NodeState::catching_up: return NodeStatus::catching_up;
  }
  return NodeStatus::unknown;
}

Node describe(const FailoverMachine& machine, const config::NodeSettings& settings, std::size_t index,
              const Observation& seen) {
  const NodeRecord& record = machine.nodes()[index];
  Node node;
  node.id = base::NodeId{static_cast<std::uint16_t>(index)};
  node.name = settings.name;
  node.host = settings.host;
  node.port = settings.port;
  node.weight = settings.weight;
  node.status = status_of(record.state);
  if (record.state == NodeState::down)
    node.reason = record.failure.empty() ? text_of(record.why, machine.names()) : record.failure;
  else if (record.state != NodeState::up)
    node.reason = text_of(record.why, machine.names());
  if (!seen.facts) return node;
  node.role = record.role;
  node.system_identifier = seen.facts->answer.system_identifier;
  node.timeline = record.answer ? record.answer->timeline : seen.facts->answer.timeline;
  node.server_version = seen.facts->server_version;
  node.position = seen.facts->position;
  return node;
}

const ReplicationPeer* peer_of(const Node& node, const NodeFacts& facts, const NodeFacts& primary,
                               std::size_t standbys) {
  for (const auto& peer : primary.peers)
    if (peer.application_name == node.name ||
        (!facts.answer.application_name.empty() && peer.application_name == facts.answer.application_name) ||
        std::any_of(facts.subscriptions.begin(), facts.subscriptions.end(),
                    [&](const Subscription& one) { return one.name == peer.application_name; }))
      return &peer;
  return standbys == 1 && primary.peers.size() == 1 ? &primary.peers.front() : nullptr;
}

void add_replication(Topology& topology, const std::vector<Observation>& observations) {
  if (!topology.primary) return;
  const NodeFacts& primary = *observations[topology.primary->value].facts;
  const auto standbys = static_cast<std::size_t>(std::count_if(
      topology.nodes.begin(), topology.nodes.end(), [](const Node& node) { return node.role == Role::standby; }));
  for (Node& node : topology.nodes) {
    const auto& facts = observations[node.id.value].facts;
    if (node.role != Role::standby || !facts) continue;
    if (const ReplicationPeer* peer = peer_of(node, *facts, primary, standbys)) {
      node.replication_state = peer->state;
      node.replication_sync_state = peer->sync_state;
    }
  }
}

void carry_over(Topology& topology, const Topology& previous, base::WallTime now) {
  for (Node& node : topology.nodes) {
    if (node.id.value >= previous.nodes.size()) {
      node.last_status_change = now;
      continue;
    }
    const Node& before = previous.node(node.id);
    if (node.role == Role::unknown) node.role = before.role;  // what it was when it was last seen
    const bool same = node.status == before.status && node.role == before.role;
    node.last_status_change = same ? before.last_status_change : now;
  }
}

}  // namespace

FailoverRules rules_of(const config::Settings& settings) {
  const config::Failover& failover = settings.failover;
  const bool runs_commands = failover.mode == FailoverMode::command;
  FailoverRules rules;
  rules.mode = failover.mode;
  rules.kind = settings.topology;
  for (std::size_t i = 0; i < settings.nodes.size(); ++i)
    if (settings.nodes[i].role == config::NodeRole::origin) rules.origin = base::NodeId{static_cast<std::uint16_t>(i)};
  rules.rejoin = !failover.rejoin_command.empty();
  rules.retries = settings.monitor.retries;
  rules.minimum_seen = failover.minimum_seen;
  rules.refused_grace = failover.refused_grace;
  rules.starting_patience = failover.starting_grace;
  rules.action_limit = failover.action_timeout;
  rules.promote_limit = runs_commands ? failover.command_timeout : failover.promote_timeout;
  rules.follow_limit = runs_commands ? failover.command_timeout : failover.action_timeout;
  rules.rejoin_limit = failover.rejoin_timeout;
  rules.pause_limit = rules.catch_up_limit = failover.switchover_timeout;
  rules.catch_up_lag = std::numeric_limits<routing::Lsn>::max() / 2;  // who lags is judged at each read
  return rules;
}

std::vector<FailoverNode> failover_nodes_of(const std::vector<config::NodeSettings>& nodes) {
  std::vector<FailoverNode> all;
  for (const auto& node : nodes) all.push_back({node.name, static_cast<int>(node.priority)});
  return all;
}

Probed probed_from(std::size_t node, const Observation& observation, base::Time started) {
  Probed probed{base::NodeId{static_cast<std::uint16_t>(node)}, started, {}};
  if (observation.facts)
    probed.result = observation.facts->answer;
  else
    probed.result = ProbeFailure{observation.failure_kind, observation.failure};
  return probed;
}

Topology topology_of(const FailoverMachine& machine, const std::vector<config::NodeSettings>& nodes,
                     const std::vector<Observation>& observations, const Topology& previous, base::WallTime now) {
  Topology topology;
  topology.epoch = previous.epoch;
  for (std::size_t i = 0; i < nodes.size(); ++i)
    topology.nodes.push_back(describe(machine, nodes[i], i, observations[i]));
  topology.primary = machine.primary();
  topology.writes_paused = machine.writes_paused();
  topology.independent_nodes =
      std::any_of(nodes.begin(), nodes.end(), [](const auto& node) { return node.role.has_value(); });
  if (!topology.primary) {
    topology.no_primary_reason = text_of(machine.phase_reason(), machine.names());
    if (topology.no_primary_reason.empty()) topology.no_primary_reason = "no primary has been found among the nodes";
  }
  topology.system_identifier = machine.memory_view().system_identifier;
  if (topology.primary && !observations[topology.primary->value].facts) topology.primary.reset();
  add_replication(topology, observations);
  carry_over(topology, previous, now);
  return topology;
}

bool differs(const Topology& a, const Topology& b) {
  if (a.primary != b.primary || a.nodes.size() != b.nodes.size()) return true;
  if (a.writes_paused != b.writes_paused || a.no_primary_reason != b.no_primary_reason) return true;
  for (std::size_t i = 0; i < a.nodes.size(); ++i) {
    const Node& x = a.nodes[i];
    const Node& y = b.nodes[i];
    if (x.status != y.status || x.role != y.role || x.reason != y.reason || x.weight != y.weight ||
        x.timeline != y.timeline || x.system_identifier != y.system_identifier ||
        x.server_version != y.server_version || x.replication_state != y.replication_state ||
        x.replication_sync_state != y.replication_sync_state)
      return true;
  }
  return false;
}

}  // namespace pgweir::cluster
