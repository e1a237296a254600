// The rules by which a primary is believed; see observation.h.
#include "cluster/observation.h"

#include <algorithm>
#include <map>

namespace pgweir::cluster {

namespace {

using routing::Node;
using routing::NodeStatus;
using routing::Role;
using routing::Topology;

Node describe(const config::NodeSettings& settings, std::size_t index, const Observation& seen) {
  Node node;
  node.id = base::NodeId{static_cast<std::uint16_t>(index)};
  node.name = settings.name;
  node.host = settings.host;
  node.port = settings.port;
  node.weight = settings.weight;
  if (seen.facts) {
    node.status = NodeStatus::up;
    node.role = seen.facts->in_recovery ? Role::standby : Role::primary;
    node.system_identifier = seen.facts->system_identifier;
    node.timeline = seen.facts->timeline;
    node.server_version = seen.facts->server_version;
    node.position = seen.facts->position;
  } else if (!seen.failure.empty()) {
    node.status = NodeStatus::down;
    node.reason = seen.failure;
  } else {
    node.reason = "not probed yet";
  }
  return node;
}

void quarantine(Node& node, std::string reason) {
  node.status = NodeStatus::quarantined;
  node.reason = std::move(reason);
}

/// The cluster is the one of the first primary that was seen; before there was one, that of most nodes.
std::uint64_t believed_system(const std::vector<Node>& nodes, const Topology& previous) {
  if (previous.system_identifier != 0) return previous.system_identifier;
  std::map<std::uint64_t, int> votes;
  for (const Node& node : nodes)
    if (node.status == NodeStatus::up) ++votes[node.system_identifier];
  const auto most =
      std::max_element(votes.begin(), votes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == votes.end() ? 0 : most->first;
}

/// Whether `a` is a better claim to be the primary than `b`.
bool better_primary(const Node& a, const Node& b, const Topology& previous) {
  if (a.timeline != b.timeline) return a.timeline > b.timeline;
  if (previous.primary && *previous.primary == a.id) return true;
  if (previous.primary && *previous.primary == b.id) return false;
  return a.position > b.position;
}

void choose_primary(Topology& topology, const Topology& previous) {
  Node* best = nullptr;
  for (Node& node : topology.nodes) {
    if (node.status != NodeStatus::up || node.role != Role::primary) continue;
    if (!best || better_primary(node, *best, previous)) best = &node;
  }
  if (!best) return;
  topology.primary = best->id;
  for (Node& node : topology.nodes)
    if (node.status == NodeStatus::up && node.role == Role::primary && !(node.id == best->id))
      quarantine(node, "a second primary: node \"" + best->name + "\" is believed");
  // Who has not followed a promotion replays another history: its position proves nothing about this primary's.
  for (Node& node : topology.nodes)
    if (node.status == NodeStatus::up && node.role == Role::standby && node.timeline < best->timeline)
      quarantine(node, "it is on timeline " + std::to_string(node.timeline) + ", the primary on " +
                           std::to_string(best->timeline));
}

const ReplicationPeer* peer_of(const Node& node, const NodeFacts& facts, const NodeFacts& primary,
                               std::size_t standbys) {
  for (const auto& peer : primary.peers)
    if (peer.application_name == node.name ||
        (!facts.cluster_name.empty() && peer.application_name == facts.cluster_name))
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

Topology assess(const std::vector<config::NodeSettings>& nodes, config::TopologyKind kind,
                const std::vector<Observation>& observations, const Topology& previous, base::WallTime now) {
  Topology topology;
  topology.epoch = previous.epoch;
  for (std::size_t i = 0; i < nodes.size(); ++i) topology.nodes.push_back(describe(nodes[i], i, observations[i]));
  if (kind == config::TopologyKind::single) {
    // One address, whatever stands behind it: it is the primary even while it is in recovery.
    for (Node& node : topology.nodes) {
      if (node.status != NodeStatus::up) continue;
      node.role = Role::primary;
      topology.primary = node.id;
    }
  } else {
    const std::uint64_t system = believed_system(topology.nodes, previous);
    for (Node& node : topology.nodes)
      if (node.status == NodeStatus::up && node.system_identifier != system)
        quarantine(node, "it belongs to another database cluster (system identifier " +
                             std::to_string(node.system_identifier) + ", expected " + std::to_string(system) + ")");
    choose_primary(topology, previous);
    topology.system_identifier = topology.primary ? system : previous.system_identifier;
  }
  add_replication(topology, observations);
  carry_over(topology, previous, now);
  return topology;
}

bool differs(const Topology& a, const Topology& b) {
  if (a.primary != b.primary || a.nodes.size() != b.nodes.size()) return true;
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
