// What the monitor asks a node many times a second, between the probes. Plain SQL for PostgreSQL 12 and later; any
// login role may run it.
#pragma once
#include <chrono>
#include <optional>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cluster/pq_session.h"
#include "cluster/subscriptions.h"
#include "routing/topology.h"

namespace pgweir::cluster {

/// Only role and position.
extern const std::string_view kPositionProbe;
/// The same with the walsenders and the subscriptions of a node (topology: logical).
extern const std::string_view kLogicalPositionProbe;

struct PositionFacts {
  bool in_recovery = false;
  routing::Lsn position = 0;  ///< primary: the end of what has been inserted; standby: replay position
  /// Primary: what is on disk and may be sent to standbys. Records that belong to no commit (pruning by reads, aborted
  /// transactions) may stay between the two for as long as the server is idle.
  routing::Lsn flushed = 0;
  /// Primary: a commit acknowledged without waiting for the disk (synchronous_commit = off) is flushed after at most
  /// three times wal_writer_delay (PostgreSQL documentation, "Asynchronous Commit").
  std::chrono::milliseconds flush_delay{0};
  std::vector<Walsender> walsenders;
  std::vector<Subscription> subscriptions;
};
/// Of either query.
[[nodiscard]] base::Result<PositionFacts> position_from(const Rows& rows);

}  // namespace pgweir::cluster
