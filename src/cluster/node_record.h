// What the failover machine knows of one node: how its probes went, what it said last, what is being done with it.
#pragma once
#include <optional>
#include <string>

#include "cluster/failover_facts.h"
#include "cluster/node_reason.h"

namespace pgweir::cluster {

/// What the probes say of a node, before anybody asks what it is.
enum class Health : std::uint8_t {
  unknown,  ///< not asked yet
  answering,
  trouble,   ///< silent, but not for long enough
  lost,      ///< refused, or silent for long enough
  starting,  ///< alive, but of no use yet
  untold,    ///< alive, but pgweir may not ask: what it said last still counts while it is `full`
};

struct NodeRecord {
  Health health = Health::unknown;
  base::Time health_since{};
  bool refused = false;  ///< the last failure was an answer from its host
  unsigned silences = 0;
  std::optional<ProbeAnswer> answer;  ///< the last one, kept while there is none
  base::Time answer_started{};
  /// It has heard from its sender at this time or later. A slow answer says less than the one before it: the latest
  /// counts.
  base::Time heard_at{};
  std::string failure;

  bool disabled = false;
  bool cut_off = false;         ///< by pgweir: it has to be told whom to follow
  bool demoted = false;         ///< by pgweir: to be taken back if it stays the primary
  bool maybe_promoted = false;  ///< it was told to become the primary, and nobody knows whether it will
  std::string application_name;
  std::uint64_t system_identifier = 0;  ///< where each node has one of its own: the first that it said; 0: none yet

  struct Pending {
    std::uint64_t id = 0;
    ActionKind kind = ActionKind::probe;
    base::Time deadline{};
    bool was_uncertain = false;  ///< `maybe_promoted` (demote: `demoted`) before this one
  };
  std::optional<Pending> pending;
  struct Ended {
    ActionKind kind = ActionKind::probe;
    Outcome outcome = Outcome::unknown;
    base::Time at{};
  };
  std::optional<Ended> last;  ///< the last action that is over
  unsigned attempts = 0;      ///< at making it follow
  unsigned rejoins = 0;
  unsigned refusals = 0;          ///< to be cut off or demoted, in a row
  unsigned promotions = 0;        ///< that came to nothing
  base::Time not_before{};        ///< no other action until then
  base::Time no_follow_before{};  ///< until then it may still become a primary: it must not follow another one first

  NodeState state = NodeState::unknown;
  routing::Role role = routing::Role::unknown;
  Reason why{ReasonCode::not_asked};
  base::WallTime since{};

  [[nodiscard]] bool answering() const { return health == Health::answering; }
  /// It answered a probe that began at or after `moment`.
  [[nodiscard]] bool answered_since(base::Time moment) const { return answering() && answer_started >= moment; }
  /// Its receiver is there, and has heard from its sender since `moment`.
  [[nodiscard]] bool hears_since(base::Time moment) const {
    return answer && answer->receiver == Receiver::streaming && heard_at >= moment;
  }
  /// The last action was `kind`, and it was over at or after `moment`.
  [[nodiscard]] bool ended_since(ActionKind kind, base::Time moment) const {
    return !pending && last && last->kind == kind && last->at >= moment;
  }
  /// Its host has given some sign of life.
  [[nodiscard]] bool alive() const {
    return answering() || health == Health::starting || health == Health::untold || refused;
  }
};

/// Takes in one result. `retries`: how many silences in a row make it lost.
void take_probe(NodeRecord& node, const Probed& probed, unsigned retries, base::Time now);

}  // namespace pgweir::cluster
