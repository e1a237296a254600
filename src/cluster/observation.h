// What one probe of a node found, and what all of them together say about the cluster. Pure: no socket, no clock.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "cluster/failover_machine.h"
#include "cluster/failover_probe.h"
#include "cluster/subscriptions.h"
#include "config/settings.h"
#include "routing/topology.h"

namespace pgweir::cluster {

/// The answer to a probe.
struct NodeFacts {
  ProbeAnswer answer;
  std::vector<ReplicationPeer> peers;  ///< on a primary
  int server_version = 0;
  std::vector<Subscription> subscriptions;  ///< topology: logical; as the last position probe said
  routing::Lsn position = 0;  ///< primary: insert position; standby: replay position; kept up to date between probes
};

/// The last that is known of a node: an answer, or why there is none. `nothing yet` is neither.
struct Observation {
  std::optional<NodeFacts> facts;
  std::string failure;
  FailureKind failure_kind = FailureKind::silent;
};

/// What the machine has to know of the configuration.
[[nodiscard]] FailoverRules rules_of(const config::Settings& settings);
[[nodiscard]] std::vector<FailoverNode> failover_nodes_of(const std::vector<config::NodeSettings>& nodes);

/// What the machine is told of an observation that was begun at `started`.
[[nodiscard]] Probed probed_from(std::size_t node, const Observation& observation, base::Time started);

/// What the machine believes, with what the nodes said. `previous` gives continuity: statuses that stay keep their time
/// of change, and a node that is away keeps its role.
[[nodiscard]] routing::Topology topology_of(const FailoverMachine& machine,
                                            const std::vector<config::NodeSettings>& nodes,
                                            const std::vector<Observation>& observations,
                                            const routing::Topology& previous, base::WallTime now);

/// True when somebody who looks at `a` would decide or show something else than with `b` (positions do not count).
[[nodiscard]] bool differs(const routing::Topology& a, const routing::Topology& b);

}  // namespace pgweir::cluster
