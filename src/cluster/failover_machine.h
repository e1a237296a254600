// The failover machine: from what the nodes say, to who is the primary and what has to be done. Pure: events and times
// in, actions out; no socket, no clock, no thread. tests/sim runs it through many thousands of random disasters.
// docs/failover_design.md has the rules and their reasons.
//
//               lost                     nobody hears it              chosen
//   following -------> asking ---------------------------> electing -------> promoting
//     | ^  ^             | it is back                         | it is back       |  |
//     | |  +-------------+------------------------------------+     refused, or  |  | a newer primary is seen
//     | |                                                     ^---- no answer ---+  |
//     | +------------------------------------------------------------------------- +
//     +-> pausing -> demoting -> catching -> promoting     (switchover; every failure before goes back to following)
//
// Any phase ends as soon as a primary is believed that is newer than the one that was lost, whoever made it one.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cluster/election.h"
#include "cluster/failover_facts.h"
#include "cluster/node_reason.h"
#include "cluster/node_record.h"
#include "cluster/sync_rule.h"

namespace pgweir::cluster {

/// What must not be forgotten when the process ends in the middle of a failover.
struct FailoverMemory {
  std::uint64_t system_identifier = 0;
  std::optional<base::NodeId> primary;  ///< the last one that was believed
  std::uint32_t timeline = 0;           ///< its timeline: no older one is ever believed again
  routing::Lsn timeline_began = 0;
  std::string own_name;   ///< what the primary would call itself as a standby
  std::string sync_text;  ///< its synchronous_standby_names
  SyncRule sync;
  /// The rule before, as long as commits that were acknowledged under it may be on fewer standbys than `sync` counts
  /// on: until `sync.count` of them have received `sync_changed_at`.
  std::optional<SyncRule> sync_before;
  routing::Lsn sync_changed_at = 0;
  std::vector<std::string> strangers;  ///< walsenders' clients that are no node of the configuration
  /// Given by the operator, in place of the one that the configuration had then.
  std::optional<base::NodeId> origin, instead_of;
  struct Node {
    bool disabled = false, cut_off = false, demoted = false, maybe_promoted = false;
    std::uint64_t system_identifier = 0;  ///< its own, where each has one
  };
  std::vector<Node> nodes;
};

class FailoverMachine {
 public:
  FailoverMachine(FailoverRules rules, std::vector<FailoverNode> nodes, FailoverMemory memory = {});

  /// The only way in. The actions are valid until the next call.
  const std::vector<Action>& apply(const Event& event, Moment now);

  /// A node that is new, with the next id. No node ever goes: it is disabled.
  void add(FailoverNode node);

  /// The one node that may be used for writes. None: clients wait.
  [[nodiscard]] std::optional<base::NodeId> primary() const { return primary_; }
  /// Writes wait although there is a primary (switchover). Transactions that are open may end. After a switchover that
  /// came to nothing they wait until the primary takes writes again.
  [[nodiscard]] bool writes_paused() const {
    return phase_ >= Phase::pausing || (primary_ && records_[primary_->value].demoted);
  }
  [[nodiscard]] Phase phase() const { return phase_; }
  [[nodiscard]] const Reason& phase_reason() const { return phase_why_; }
  [[nodiscard]] const std::vector<NodeRecord>& nodes() const { return records_; }
  [[nodiscard]] const std::vector<FailoverNode>& names() const { return nodes_; }
  [[nodiscard]] const EventHistory& history() const { return history_; }
  [[nodiscard]] FailoverMemory memory() const;
  /// The same without copying it, and without what it says of single nodes.
  [[nodiscard]] const FailoverMemory& memory_view() const { return memory_; }
  /// Grows with each change that a client or an operator can see.
  [[nodiscard]] std::uint64_t version() const { return version_; }
  /// When `Tick` is due if nothing else happens.
  [[nodiscard]] base::Duration tick_after() const;

 private:
  // failover_machine.cpp
  void begin();
  void take(const Probed& probed);
  void take(const ActionEnded& ended);
  void take(const Tick&) {}
  void take(const Disable& request);
  void take(const Enable& request);
  void take(const Believe& request);
  void take(const BecomeOrigin& request);
  [[nodiscard]] bool may_be_told(std::size_t node) const;
  void take(const Switchover& request);
  void take(const WritesQuiet& quiet);
  void expire_actions();
  void ended(std::size_t node, Outcome outcome);
  void ask(ActionKind kind, std::size_t node, base::NodeId other = {});
  bool may_act(std::size_t node) const;
  void probe_quickly();
  void enter(Phase phase, Reason why);
  void note(HistoryEntry::What what, std::optional<base::NodeId> node, Reason why);
  [[nodiscard]] base::Duration pause_after(unsigned failures) const;

  // failover_belief.cpp: who is the primary
  void believe();
  void believe_in(std::size_t node);
  [[nodiscard]] bool can_be_believed(std::size_t node) const;
  [[nodiscard]] bool may_be_primary(std::size_t node) const;
  void learn_system();
  void remember_sync(const ProbeAnswer& answer);
  [[nodiscard]] bool is_superseded() const;
  [[nodiscard]] bool right_system(const ProbeAnswer& answer) const;

  // failover_given_roles.cpp: where nobody has to find out who is what
  void believe_in_the_only_one(std::optional<base::NodeId> before);
  void believe_in_origin(std::optional<base::NodeId> before);
  void note_identities();
  [[nodiscard]] bool may_stand_in(const ProbeAnswer& answer) const;
  [[nodiscard]] bool is_itself(std::size_t node) const;
  [[nodiscard]] bool is_older_than_known(std::size_t node) const;
  [[nodiscard]] std::optional<base::NodeId> origin() const;
  [[nodiscard]] std::pair<NodeState, Reason> state_of_independent(std::size_t node) const;
  [[nodiscard]] routing::Role role_of(std::size_t node) const;

  // failover_phases.cpp: what to do without one
  void run_phase();
  void run_following();
  void run_asking();
  void run_electing();
  void run_promoting();
  [[nodiscard]] bool primary_is_lost() const;
  [[nodiscard]] bool is_standby_in_sight(std::size_t node) const;
  [[nodiscard]] bool is_cut(std::size_t node) const;
  [[nodiscard]] bool enough_sync_seen() const;
  [[nodiscard]] std::size_t nodes_in_sight() const;
  [[nodiscard]] std::size_t nodes_needed() const;
  [[nodiscard]] Verdict hold_election();

  // failover_switchover.cpp
  void run_pausing();
  void run_demoting();
  void run_catching();
  void abandon(Reason why);
  [[nodiscard]] std::optional<base::NodeId> choose_target() const;

  // failover_upkeep.cpp: standbys follow, and every node has a state
  void upkeep();
  void lead(std::size_t node);
  void rejoin(std::size_t node);
  [[nodiscard]] bool follows(std::size_t node) const;
  [[nodiscard]] bool is_ahead_of_fork(std::size_t node) const;
  void judge();
  [[nodiscard]] std::pair<NodeState, Reason> state_of(std::size_t node) const;
  [[nodiscard]] std::pair<NodeState, Reason> state_of_standby(std::size_t node, const ProbeAnswer& answer) const;

  [[nodiscard]] static base::NodeId id_of(std::size_t node) { return base::NodeId{static_cast<std::uint16_t>(node)}; }

  FailoverRules rules_;
  std::vector<FailoverNode> nodes_;
  std::vector<NodeRecord> records_;
  FailoverMemory memory_;  ///< without `nodes`: those are in the records

  Moment now_;
  std::vector<Action> actions_;
  std::uint64_t last_action_id_ = 0;
  std::optional<base::NodeId> primary_;
  Phase phase_ = Phase::following;
  Reason phase_why_;
  base::Time phase_since_{};
  base::Time gone_since_{};  ///< when the primary was last lost sight of
  base::Time heard_at_{};    ///< when standbys last said that they hear from a primary that pgweir does not reach
  base::Time next_quick_probe_{};
  std::optional<base::NodeId> chosen_;  ///< to be promoted
  bool in_switchover_ = false;
  std::vector<Candidate> candidates_;   ///< scratch of elections
  std::vector<SyncWitness> witnesses_;  ///< scratch
  EventHistory history_;
  std::uint64_t version_ = 0;
};

}  // namespace pgweir::cluster
