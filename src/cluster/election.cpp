// The rules of the election, from the first that says no; see election.h.
#include "cluster/election.h"

#include <tuple>

namespace pgweir::cluster {

namespace {

auto history_of(const Candidate& one) { return std::tuple(one.timeline, one.received); }

bool better(const Candidate& a, const Candidate& b) {
  if (history_of(a) != history_of(b)) return history_of(a) > history_of(b);
  if (a.has_failed != b.has_failed) return b.has_failed;
  return a.priority > b.priority;  // else the first one stays
}

}  // namespace

Verdict elect(const Electorate& electorate) {
  if (electorate.seen < electorate.needed)
    return {{}, {ReasonCode::too_few_seen, {}, electorate.seen, electorate.needed}};
  if (!electorate.sync_seen) return {{}, {ReasonCode::commits_out_of_sight}};
  const Candidate* best = nullptr;
  for (const Candidate& one : electorate.candidates)
    if (one.is_cut && one.timeline >= electorate.timeline && (!best || better(one, *best))) best = &one;
  if (!best) return {{}, {ReasonCode::no_candidate, {}, electorate.timeline}};
  for (const Candidate& one : electorate.candidates)
    if (history_of(one) > history_of(*best) || one.still_hears) return {{}, {ReasonCode::one_is_further, one.node}};
  return {best->node, {ReasonCode::most_received, best->node, best->received}};
}

}  // namespace pgweir::cluster
