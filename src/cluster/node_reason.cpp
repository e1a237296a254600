// The words for what the failover machine decides; see node_reason.h.
#include "cluster/node_reason.h"

#include <array>

namespace pgweir::cluster {

namespace {

std::string lsn_text(routing::Lsn lsn) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  const auto hex = [&](std::uint32_t value) {
    std::string out;
    do out.insert(out.begin(), kDigits[value % 16]);
    while ((value /= 16) != 0);
    return out;
  };
  return hex(static_cast<std::uint32_t>(lsn >> 32)) + "/" + hex(static_cast<std::uint32_t>(lsn));
}

}  // namespace

std::string text_of(const Reason& reason, std::span<const FailoverNode> nodes) {
  const std::string node = reason.node && reason.node->value < nodes.size()
                               ? "node \"" + nodes[reason.node->value].name + "\""
                               : std::string("a node");
  const std::string x = std::to_string(reason.x);
  const std::string y = std::to_string(reason.y);
  switch (reason.code) {
    case ReasonCode::none: return {};
    case ReasonCode::not_asked: return "not probed yet";
    case ReasonCode::answers: return "it answers";
    case ReasonCode::no_answer: return "it does not answer";
    case ReasonCode::other_cluster:
      return "it belongs to another database cluster (system identifier " + x + ", expected " + y + ")";
    case ReasonCode::second_primary: return "a second primary: " + node + " is believed";
    case ReasonCode::older_timeline: return "it is on timeline " + x + ", the primary on " + y;
    case ReasonCode::newer_timeline: return "it is on timeline " + x + ", the primary still on " + y;
    case ReasonCode::ahead_of_fork:
      return "it has replayed " + lsn_text(reason.x) + ", but the primary's timeline began at " + lsn_text(reason.y);
    case ReasonCode::does_not_follow: return "it does not follow " + node + " after " + x + " attempts";
    case ReasonCode::catching_up: return "it is catching up with " + node;
    case ReasonCode::by_operator: return "taken out by the operator";
    case ReasonCode::other_server:
      return "it is another server than before (system identifier " + x + ", it was " + y + ")";
    case ReasonCode::in_recovery: return "it is in recovery, and takes no writes of its own";
    case ReasonCode::following: return "the primary is there";
    case ReasonCode::primary_lost: return "the primary is lost";
    case ReasonCode::primary_starting: return "the primary is starting";
    case ReasonCode::primary_heard:
      return x + " of " + y + " standbys still hear from the primary: only pgweir cannot reach it";
    case ReasonCode::too_few_seen: return "only " + x + " nodes are in sight, " + y + " must be";
    case ReasonCode::commits_out_of_sight:
      return "too few synchronous standbys are in sight to be sure that one has every acknowledged commit";
    case ReasonCode::no_candidate: return "no standby on timeline " + x + " can be promoted";
    case ReasonCode::one_is_further: return node + " has received more, and cannot be promoted yet";
    case ReasonCode::waits_for_standbys: return "standbys are being cut off from the old primary";
    case ReasonCode::most_received: return node + " has received the most, up to " + lsn_text(reason.x);
    case ReasonCode::promotion_refused: return node + " refused to become the primary";
    case ReasonCode::promotion_unknown: return node + " did not become the primary in time";
    case ReasonCode::promoted: return node + " is the primary, on timeline " + x;
    case ReasonCode::primary_is_back: return "the primary is back";
    case ReasonCode::believed_by_operator: return "the operator says that " + node + " is the primary";
    case ReasonCode::origin_by_operator: return "the operator says that " + node + " is the origin";
    case ReasonCode::switchover_asked: return "the operator asked for a switchover to " + node;
    case ReasonCode::switchover_done: return "the switchover to " + node + " is done";
    case ReasonCode::not_possible_now: return "not possible now";
    case ReasonCode::not_that_node: return "not possible with " + node;
    case ReasonCode::writes_do_not_end: return "running transactions did not end in time";
    case ReasonCode::demote_failed: return "the primary could not be made to refuse writes";
    case ReasonCode::target_is_behind: return node + " did not receive everything in time";
    case ReasonCode::target_lost: return node + " is lost";
  }
  return {};
}

std::string_view name_of(Phase phase) {
  constexpr std::array<std::string_view, 7> kNames{"following", "asking",   "electing", "promoting",
                                                   "pausing",   "demoting", "catching"};
  return kNames[static_cast<std::size_t>(phase)];
}

std::string_view name_of(HistoryEntry::What what) {
  constexpr std::array<std::string_view, 4> kNames{"node", "phase", "primary", "request"};
  return kNames[static_cast<std::size_t>(what)];
}

std::string_view name_of(NodeState state) {
  constexpr std::array<std::string_view, 6> kNames{"unknown", "up", "down", "quarantined", "disabled", "catching_up"};
  return kNames[static_cast<std::size_t>(state)];
}

std::string_view name_of(ActionKind kind) {
  constexpr std::array<std::string_view, 8> kNames{"probe",  "restart_receiver", "stop_receiving", "promote",
                                                   "follow", "rejoin",           "demote",         "restore"};
  return kNames[static_cast<std::size_t>(kind)];
}

}  // namespace pgweir::cluster
