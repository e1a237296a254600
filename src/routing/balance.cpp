// Smooth weighted round-robin: at each choice every candidate earns its weight, the richest is taken and pays the sum
// of all weights. Shares are exact over one round, and unequal weights interleave instead of coming in runs.
#include "routing/balance.h"

#include <algorithm>

namespace pgweir::routing {
namespace {

std::uint32_t weight_of(const Topology& topology, const Node& node, const ReadRequirements& requirements) {
  if (node.status != NodeStatus::up) return 0;
  if (topology.primary == node.id) return requirements.primary_weight;
  return node.role == Role::standby ? node.weight : 0;
}

}  // namespace

bool qualifies(const Topology& topology, const Node& node, const NodeFreshness& freshness,
               const ReadRequirements& requirements) {
  if (topology.primary == node.id) return true;
  const Wanted& wanted = requirements.wanted;
  if (!wanted.nodes.has(node.id)) return false;
  if (freshness.fresh_until < wanted.not_before || freshness.lag_bytes > requirements.max_lag_bytes) return false;
  return wanted.seen_on == node.id || freshness.fresh_until >= wanted.seen;
}

void add_readers(std::vector<base::NodeId>& nodes, const Topology& topology, std::span<const NodeFreshness> freshness,
                 const ReadRequirements& requirements) {
  for (std::size_t i = 0; i < topology.nodes.size(); ++i) {
    const Node& node = topology.nodes[i];
    const NodeFreshness known = i < freshness.size() ? freshness[i] : NodeFreshness{};
    if (weight_of(topology, node, requirements) == 0 || !qualifies(topology, node, known, requirements)) continue;
    if (std::find(nodes.begin(), nodes.end(), node.id) == nodes.end()) nodes.push_back(node.id);
  }
}

Choice Balancer::choose(const Topology& topology, std::span<const NodeFreshness> freshness,
                        const ReadRequirements& requirements) {
  credit_.resize(topology.nodes.size(), 0);
  std::int64_t total = 0;
  const Node* best = nullptr;
  bool standby_is_up = false;
  for (std::size_t i = 0; i < topology.nodes.size(); ++i) {
    const Node& node = topology.nodes[i];
    const std::uint32_t weight = weight_of(topology, node, requirements);
    if (weight == 0) continue;
    if (topology.primary != node.id && requirements.wanted.nodes.has(node.id)) standby_is_up = true;
    const NodeFreshness known = i < freshness.size() ? freshness[i] : NodeFreshness{};
    if (!qualifies(topology, node, known, requirements)) continue;
    credit_[i] += weight;
    total += weight;
    if (best == nullptr || credit_[i] > credit_[best->id.value]) best = &node;
  }
  if (best == nullptr) return {topology.primary, standby_is_up ? Reason::not_fresh : Reason::no_standby};
  credit_[best->id.value] -= total;
  return {best->id, Reason::read};
}

}  // namespace pgweir::routing
