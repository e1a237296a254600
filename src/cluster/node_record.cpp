// From probe results to health; see node_record.h.
#include "cluster/node_record.h"

#include <algorithm>
#include <utility>

namespace pgweir::cluster {

namespace {

void set_health(NodeRecord& node, Health health, base::Time now) {
  if (std::exchange(node.health, health) != health) node.health_since = now;
}

void take_answer(NodeRecord& node, const ProbeAnswer& answer) {
  // A standby whose receiver has ended can only say which timeline its last checkpoint was on: older than what it has
  // received (PostgreSQL source, pg_control_checkpoint). It has not lost what it had, unless it was made anew.
  std::uint32_t timeline = answer.timeline;
  if (node.answer && node.answer->in_recovery && answer.in_recovery && answer.receiver != Receiver::streaming &&
      node.answer->timeline > timeline && answer.received >= node.answer->received)
    timeline = node.answer->timeline;
  node.answer = answer;
  node.answer->timeline = timeline;
  if (!answer.application_name.empty()) node.application_name = answer.application_name;
}

}  // namespace

void take_probe(NodeRecord& node, const Probed& probed, unsigned retries, base::Time now) {
  if (const auto* answer = std::get_if<ProbeAnswer>(&probed.result)) {
    if (node.answer && probed.started < node.answer_started) return;  // overtaken by a newer one
    take_answer(node, *answer);
    node.answer_started = probed.started;
    if (answer->heard_ago) node.heard_at = std::max(node.heard_at, probed.started - *answer->heard_ago);
    node.silences = 0;
    node.refused = false;
    node.failure.clear();
    return set_health(node, Health::answering, now);
  }
  const auto& failure = std::get<ProbeFailure>(probed.result);
  if (node.answering() && probed.started < node.answer_started) return;
  node.failure = failure.text;
  node.refused = failure.kind == FailureKind::refused;
  node.silences = failure.kind == FailureKind::silent ? node.silences + 1 : 0;
  switch (failure.kind) {
    case FailureKind::refused: return set_health(node, Health::lost, now);
    case FailureKind::silent:
      if (node.health == Health::lost || node.silences >= retries) return set_health(node, Health::lost, now);
      if (node.health != Health::untold && node.health != Health::starting)
        set_health(node, node.answer ? Health::trouble : Health::unknown, now);
      return;
    case FailureKind::starting: return set_health(node, Health::starting, now);
    case FailureKind::full:
      // It has said what it is; that nobody else may come in does not change it.
      if (node.answering() || node.health == Health::trouble) return;
      return set_health(node, Health::untold, now);
    case FailureKind::login: return set_health(node, Health::untold, now);
  }
}

}  // namespace pgweir::cluster
