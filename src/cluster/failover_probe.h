// What the failover machine has to know of a node: the query, the reading of its answer, and what a failure to get one
// means. Pure.
#pragma once
#include <functional>
#include <string_view>

#include "base/result.h"
#include "cluster/failover_facts.h"
#include "cluster/pq_session.h"

namespace pgweir::cluster {

/// One row for the node, then one for each walsender. PostgreSQL 12 and later. Any login role
/// may run it; without membership in pg_monitor a receiver's state is hidden, and such a standby counts as still
/// receiving.
extern const std::string_view kFailoverProbe;

/// The node that a receiver names as its sender, if it is one of the configuration.
using FindNode = std::function<std::optional<base::NodeId>(std::string_view host, std::string_view port)>;

[[nodiscard]] base::Result<ProbeAnswer> probe_answer_from(const Rows& rows, const FindNode& find_node);

/// One walsender, as the primary sees it (pg_stat_replication). Empty: not known.
struct ReplicationPeer {
  std::string application_name;
  std::string state;
  std::string sync_state;
};
/// From the same rows, if they are of the right form.
[[nodiscard]] std::vector<ReplicationPeer> walsenders_from(const Rows& rows);

/// The error in libpq's text for a connection that could not be made. `text` is libpq's with PQERRORS_VERBOSE, which is
/// the only place where it gives the server's SQLSTATE: "... failed: FATAL:  57P03: the database ...". The message that
/// comes back has neither the code nor the source's line. Without a code the SQLSTATE is 08006.
[[nodiscard]] base::Error connection_error_from(std::string_view text);

/// What a failed probe says of the node. `error`: of a new connection, or of a query.
[[nodiscard]] ProbeFailure probe_failure_from(const base::Error& error);

}  // namespace pgweir::cluster
