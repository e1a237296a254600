// Which standby becomes the primary. Pure: the standbys that are in sight in, one of them out, or why none yet.
#pragma once
#include <optional>
#include <span>

#include "cluster/node_reason.h"
#include "routing/topology.h"

namespace pgweir::cluster {

/// A standby of the right database cluster that answers and that the operator has not taken out.
struct Candidate {
  base::NodeId node;
  int priority = 0;
  std::uint32_t timeline = 0;
  routing::Lsn received = 0;
  bool is_cut = false;       ///< it cannot receive any more from anybody: `received` is final
  bool still_hears = false;  ///< it is not cut, and hears from the old primary: it may have more by now
  bool has_failed = false;   ///< it was told to become the primary, several times, and did not
};

struct Electorate {
  std::span<const Candidate> candidates;  ///< by node
  std::uint32_t timeline = 0;             ///< of the primary that was lost
  std::size_t seen = 0;                   ///< nodes that have given any sign of life
  std::size_t needed = 0;
  bool sync_seen = true;  ///< enough standbys are in sight that every acknowledged commit is on one of them
};

struct Verdict {
  std::optional<base::NodeId> winner;
  Reason why;
};

/// The standby with the longest history: timeline, then position; then priority, then its place in the configuration.
/// It never passes over one that is in sight and has more, be it cut off or not: then it waits for that one.
[[nodiscard]] Verdict elect(const Electorate& electorate);

}  // namespace pgweir::cluster
