// Why a node is in its state and why a failover goes on or waits: a code and its numbers, so that the machine compares
// and keeps it cheaply; words are made only for those who read them. And the bounded history of what changed.
#pragma once
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "cluster/failover_facts.h"

namespace pgweir::cluster {

enum class ReasonCode : std::uint8_t {
  none,
  // of a node
  not_asked,
  answers,
  no_answer,        ///< the failure's own words are the evidence
  other_cluster,    ///< x: its system identifier, y: the expected one
  second_primary,   ///< node: the believed one
  older_timeline,   ///< x: its timeline, y: the right one
  newer_timeline,   ///< x: its timeline, y: the primary's
  ahead_of_fork,    ///< x: replayed, y: where the primary's timeline began
  does_not_follow,  ///< node: the primary, x: attempts
  catching_up,      ///< node: the primary
  by_operator,
  other_server,  ///< x: its system identifier, y: that of before
  in_recovery,
  // of a phase
  following,
  primary_lost,
  primary_starting,
  primary_heard,  ///< x of y standbys hear from it
  too_few_seen,   ///< x of the y nodes that must be seen
  commits_out_of_sight,
  no_candidate,    ///< x: the timeline
  one_is_further,  ///< node
  waits_for_standbys,
  most_received,      ///< node, x: position
  promotion_refused,  ///< node
  promotion_unknown,  ///< node
  promoted,           ///< node, x: timeline
  primary_is_back,
  // of a request
  believed_by_operator,  ///< node
  origin_by_operator,    ///< node
  switchover_asked,
  switchover_done,
  not_possible_now,
  not_that_node,
  writes_do_not_end,
  demote_failed,
  target_is_behind,
  target_lost,
};

struct Reason {
  ReasonCode code = ReasonCode::none;
  std::optional<base::NodeId> node{};
  std::uint64_t x = 0;
  std::uint64_t y = 0;
  friend bool operator==(const Reason&, const Reason&) = default;
};

/// One sentence without a full stop. `nodes` gives the names.
[[nodiscard]] std::string text_of(const Reason& reason, std::span<const FailoverNode> nodes);

/// What the machine is doing.
enum class Phase : std::uint8_t {
  following,  ///< the primary that is there, or nobody
  asking,     ///< the primary is lost: do others hear from it?
  electing,   ///< standbys are cut off and compared
  promoting,  ///< one was chosen
  pausing,    ///< switchover: running writes end
  demoting,   ///< switchover: the primary stops taking writes
  catching,   ///< switchover: the target receives the rest
};
[[nodiscard]] std::string_view name_of(Phase phase);

enum class NodeState : std::uint8_t { unknown, up, down, quarantined, disabled, catching_up };
[[nodiscard]] std::string_view name_of(NodeState state);

/// One change: of a node's state, of the phase, of the primary, or the answer to a request.
struct HistoryEntry {
  enum class What : std::uint8_t { node, phase, primary, request };
  What what = What::node;
  Moment when;
  std::optional<base::NodeId> node;
  std::string_view before;  ///< names of states or phases
  std::string_view after;
  Reason why;
  std::string evidence;  ///< what the probe said, if it failed
};

[[nodiscard]] std::string_view name_of(HistoryEntry::What what);

/// The newest changes; older ones are dropped.
class EventHistory {
 public:
  static constexpr std::size_t kMost = 256;

  void add(HistoryEntry entry) {
    if (entries_.size() == kMost) entries_.pop_front();
    entries_.push_back(std::move(entry));
    ++added_;
  }
  [[nodiscard]] const std::deque<HistoryEntry>& entries() const { return entries_; }
  /// Of all times: who has seen `n` of them finds the rest at the end of `entries`.
  [[nodiscard]] std::uint64_t added() const { return added_; }

 private:
  std::deque<HistoryEntry> entries_;
  std::uint64_t added_ = 0;
};

}  // namespace pgweir::cluster
