// Which node a read goes to: smooth weighted round-robin over the nodes that qualify. Deterministic; one per worker.
#pragma once
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "routing/route.h"
#include "routing/topology.h"

namespace pgweir::routing {

/// What a session's read must see.
struct Wanted {
  /// A standby must be fresh up to here: the last acknowledged write that counts for the session.
  base::Time not_before{};
  /// And up to here: when the session last read something. But not the node where that was.
  base::Time seen{};
  std::optional<base::NodeId> seen_on{};
  /// Of the standbys: those that have what it reads.
  base::NodeSet nodes = base::NodeSet::all();
};

struct ReadRequirements {
  Wanted wanted{};
  std::uint64_t max_lag_bytes = std::numeric_limits<std::uint64_t>::max();
  /// The primary's own share of the reads (routing.primary_weight); its Node::weight does not count.
  std::uint32_t primary_weight = 0;
};

struct Choice {
  std::optional<base::NodeId> node;  ///< none: there is no primary either
  Reason reason = Reason::read;      ///< `read`, or why the primary had to serve: not_fresh, no_standby
};

/// Adds the nodes that may serve such a read, but for those that are in `nodes` already.
void add_readers(std::vector<base::NodeId>& nodes, const Topology& topology, std::span<const NodeFreshness> freshness,
                 const ReadRequirements& requirements);

/// Whether a standby that is up has what such a read reads, and is fresh enough; the primary always is.
[[nodiscard]] bool qualifies(const Topology& topology, const Node& node, const NodeFreshness& freshness,
                             const ReadRequirements& requirements);

class Balancer {
 public:
  /// `freshness` has one element per node of `topology`.
  [[nodiscard]] Choice choose(const Topology& topology, std::span<const NodeFreshness> freshness,
                              const ReadRequirements& requirements);

 private:
  std::vector<std::int64_t> credit_;  ///< by NodeId
};

}  // namespace pgweir::routing
