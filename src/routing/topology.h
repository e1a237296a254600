// The nodes as the monitor last saw them: an immutable value, published as a new epoch at each change.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"

namespace pgweir::routing {

enum class Role : std::uint8_t { unknown, primary, standby };
/// Only a node that is `up` gets work. `disabled`: by the operator. `catching_up`: it is back, and far behind.
enum class NodeStatus : std::uint8_t { unknown, up, down, quarantined, disabled, catching_up };

[[nodiscard]] std::string_view name_of(Role role);
[[nodiscard]] std::string_view name_of(NodeStatus status);

/// A position in the write-ahead log, in bytes (pg_lsn).
using Lsn = std::uint64_t;

struct Node {
  base::NodeId id;
  std::string name;
  std::string host;
  std::uint16_t port = 0;
  std::uint32_t weight = 1;  ///< share of the reads while it is a standby; 0: none
  Role role = Role::unknown;
  NodeStatus status = NodeStatus::unknown;
  std::string reason;  ///< why it has this status
  std::uint64_t system_identifier = 0;
  std::uint32_t timeline = 0;
  int server_version = 0;         ///< server_version_num
  Lsn position = 0;               ///< primary: insert position; standby: replay position; at the time of the snapshot
  std::string replication_state;  ///< pg_stat_replication.state on the primary; empty if unknown
  std::string replication_sync_state;  ///< pg_stat_replication.sync_state; empty if unknown
  base::WallTime last_status_change{};
};

struct Topology {
  std::uint64_t epoch = 0;
  std::vector<Node> nodes;              ///< by NodeId
  std::optional<base::NodeId> primary;  ///< the one node that is up and a primary
  std::string no_primary_reason;        ///< why there is none, and what is being done about it; for people
  bool writes_paused = false;           ///< new writes wait although there is a primary: a switchover is under way
  /// Each node has a catalog, roles and tables of its own (topology: logical): the primary is the one that writes, a
  /// standby one that receives some of its tables, and takes no writes of clients.
  bool independent_nodes = false;
  std::uint64_t system_identifier = 0;  ///< of the cluster, since a first primary was seen; 0: none was yet

  [[nodiscard]] const Node& node(base::NodeId id) const { return nodes[id.value]; }
  /// Whether it can be asked for what clients are told: roles, catalogs. The primary knows best.
  [[nodiscard]] bool may_be_asked(const Node& one) const {
    return one.status == NodeStatus::up && (!independent_nodes || primary == one.id);
  }
};

using TopologyPtr = std::shared_ptr<const Topology>;

/// What changes many times a second and so is not part of the snapshot, one element per node.
struct NodeFreshness {
  base::Time fresh_until{};     ///< everything acknowledged before this moment has been replayed here
  std::uint64_t lag_bytes = 0;  ///< primary's insert position minus replay position, at the last poll
};

}  // namespace pgweir::routing
