// What the monitor asks a node. Plain SQL for PostgreSQL 12 and later; any login role may run it, membership in
// pg_monitor lets it see the replication states too.
#pragma once
#include <chrono>
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
  routing::Lsn position = 0;  ///< primary: insert position; standby: replay position
  /// Primary: what is on disk and may be sent to standbys. Records that belong to no commit (pruning by reads, aborted
  /// transactions) may stay between the two for as long as the server is idle.
  routing::Lsn flushed = 0;
  /// Primary: a commit acknowledged without waiting for the disk (synchronous_commit = off) is flushed after at most
  /// three times wal_writer_delay (PostgreSQL documentation, "Asynchronous Commit").
  std::chrono::milliseconds flush_delay{0};
};
[[nodiscard]] base::Result<PositionFacts> position_from(const Rows& rows);

}  // namespace pgweir::cluster
