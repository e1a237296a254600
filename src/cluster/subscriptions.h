// How far the replicas of an origin are (topology: logical). A subscriber's apply worker tells the origin's walsender
// what it has applied (PostgreSQL, replication/logical/worker.c, send_feedback), in commit order; so the walsender's
// replay_lsn is worth what a standby's replay position is. Pure.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "routing/topology.h"

namespace pgweir::cluster {

/// A walsender of the origin.
struct Walsender {
  std::int64_t pid = 0;
  std::string slot;              ///< empty: none, or a physical one
  std::string application_name;  ///< a subscription's name, unless its connection says otherwise
  routing::Lsn applied = 0;
};

/// A subscription of a replica, whatever its database.
struct Subscription {
  std::string name;
  std::string slot;  ///< on its publisher; empty: none
};

struct Applied {
  routing::Lsn position = 0;       ///< everything before is there, of all that counts
  std::vector<std::int64_t> pids;  ///< of the walsenders that say so
};

/// How far a node is. Nothing: nobody knows. That is so when it has no subscription, when one of them has no walsender
/// on the origin, or when two nodes name the same slot, of which only one can have it.
/// `only`: the subscription that counts; empty: all of them.
[[nodiscard]] std::optional<Applied> applied_by(base::NodeId node, std::string_view only,
                                                std::span<const std::vector<Subscription>> by_node,
                                                std::span<const Walsender> walsenders);

}  // namespace pgweir::cluster
