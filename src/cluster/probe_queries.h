// What the monitor asks a node. Plain SQL for PostgreSQL 12 and later; any login role may run it, membership in
// pg_monitor lets it see the replication states too.
#pragma once
#include <optional>
#include <string_view>

#include "base/result.h"
#include "cluster/observation.h"
#include "cluster/pq_session.h"

namespace pgweir::cluster {

/// Everything: one row for the node, then one per walsender.
extern const std::string_view kFullProbe;
/// Only role and position, many times a second.
extern const std::string_view kPositionProbe;

[[nodiscard]] base::Result<NodeFacts> facts_from(const Rows& rows);

struct PositionFacts {
  bool in_recovery = false;
  routing::Lsn position = 0;
};
[[nodiscard]] base::Result<PositionFacts> position_from(const Rows& rows);

}  // namespace pgweir::cluster
