// See subscriptions.h. A slot has one name on the origin and one walsender, so it tells more than application_name;
// that counts only where the operator has named it and the node has no such subscription (pglogical and its kin).
#include "cluster/subscriptions.h"

#include <algorithm>

namespace pgweir::cluster {

namespace {

/// Of several with one name the slowest counts.
const Walsender* slowest(std::span<const Walsender> all, std::string_view name, std::string Walsender::*by) {
  const Walsender* found = nullptr;
  for (const Walsender& one : all)
    if (one.*by == name && (!found || one.applied < found->applied)) found = &one;
  return found;
}

bool is_claimed_twice(std::string_view slot, std::span<const std::vector<Subscription>> by_node) {
  return std::count_if(by_node.begin(), by_node.end(), [&](const std::vector<Subscription>& node) {
           return std::any_of(node.begin(), node.end(), [&](const Subscription& one) { return one.slot == slot; });
         }) > 1;
}

}  // namespace

std::optional<Applied> applied_by(base::NodeId node, std::string_view only,
                                  std::span<const std::vector<Subscription>> by_node,
                                  std::span<const Walsender> walsenders) {
  std::optional<Applied> applied;
  const auto take = [&](const Walsender* from) {
    if (!from) return false;
    if (!applied) applied = Applied{from->applied, {}};
    applied->position = std::min(applied->position, from->applied);
    applied->pids.push_back(from->pid);
    return true;
  };
  bool found = false;
  for (const Subscription& one : by_node[node.value]) {
    if (!only.empty() && one.name != only) continue;
    found = true;
    const bool known = !one.slot.empty() && !is_claimed_twice(one.slot, by_node) &&
                       take(slowest(walsenders, one.slot, &Walsender::slot));
    if (!known) return std::nullopt;
  }
  if (!found && !only.empty()) take(slowest(walsenders, only, &Walsender::application_name));
  return applied;
}

}  // namespace pgweir::cluster
