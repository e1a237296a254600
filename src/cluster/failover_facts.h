// The words of the failover machine: what it is told (facts, events) and what it asks for (actions). Plain values.
// docs/failover_design.md walks four failures through them.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "config/settings.h"
#include "routing/topology.h"

namespace pgweir::cluster {

/// The same moment on both clocks: `time` for everything that is decided, `wall` only for what people read.
struct Moment {
  base::Time time{};
  base::WallTime wall{};
};

using config::FailoverMode;

/// pg_stat_wal_receiver: no row, any status but `streaming`, `streaming`.
enum class Receiver : std::uint8_t { none, connecting, streaming };

/// What a node says of itself. The probe reads the receiver's state before the position, in one statement, so that a
/// position that comes with `Receiver::none` is the last one.
struct ProbeAnswer {
  bool in_recovery = false;
  std::uint64_t system_identifier = 0;
  /// Primary: of the WAL that it writes. Standby: of the WAL that it has received last.
  std::uint32_t timeline = 0;
  /// Primary: what it has flushed. Standby: the greater of pg_last_wal_receive_lsn() and pg_last_wal_replay_lsn():
  /// after a restart the first is null until the receiver runs, and what lies in pg_wal is replayed before that.
  routing::Lsn received = 0;
  routing::Lsn replayed = 0;
  Receiver receiver = Receiver::none;
  /// How long ago the standby heard from its sender, by the standby's own clock (last_msg_receipt_time).
  std::optional<base::Duration> heard_ago;
  std::optional<base::NodeId> sender;  ///< from whom the receiver receives, if it is a node that is configured
  bool has_upstream = true;            ///< primary_conninfo is not empty
  /// What this node calls itself to its primary: application_name of primary_conninfo, else cluster_name.
  std::string application_name;
  std::string synchronous_standby_names;
  std::vector<std::string> peers;  ///< application_name of each walsender's client that commits may wait for
  /// Primary: where its timeline began, if known; 0: not known.
  routing::Lsn timeline_began = 0;
};

/// Why a node gave no answer.
enum class FailureKind : std::uint8_t {
  refused,   ///< a new connection was refused or reset: nobody listens there. Once is enough.
  silent,    ///< nothing within monitor.timeout, or accepted and then nothing. Counts monitor.retries times.
  starting,  ///< 57P03: starting up, shutting down, or recovering: alive, but of no use yet
  full,      ///< 53300, too many connections: alive, and of use to those who are connected
  login,     ///< any other error of a living server: pgweir may not ask. Never a reason to promote another.
};

struct ProbeFailure {
  FailureKind kind = FailureKind::silent;
  std::string text;
};

enum class ActionKind : std::uint8_t {
  probe,             ///< ask this node now
  restart_receiver,  ///< make it connect to its primary anew (primary_conninfo in another spelling, reload)
  stop_receiving,    ///< cut it off: primary_conninfo = '', reload
  promote,           ///< pg_promote(), or the failover command
  follow,            ///< primary_conninfo to `other`, reload, or the follow command
  rejoin,            ///< the rejoin command: make it a standby of `other`
  demote,            ///< make it refuse writes, for a switchover
  restore,           ///< take that back
};
[[nodiscard]] std::string_view name_of(ActionKind kind);

/// Something to be done on a node. What has been asked for ends with an ActionEnded, except `probe`. Whoever carries it
/// out sees to it that nothing but `promote` can take effect later than `time_limit` after it was asked for.
struct Action {
  std::uint64_t id = 0;
  ActionKind kind = ActionKind::probe;
  base::NodeId node;
  base::NodeId other;  ///< the primary to follow
  base::Duration time_limit{};
};

enum class Outcome : std::uint8_t {
  done,
  refused,  ///< certainly not done: the server said so
  unknown,  ///< no answer: done, not done, or still to be done
};

struct Probed {
  base::NodeId node;
  base::Time started;  ///< when it was asked
  std::variant<ProbeAnswer, ProbeFailure> result;
};
struct ActionEnded {
  std::uint64_t id = 0;
  Outcome outcome = Outcome::unknown;
};
struct Tick {};
/// The operator takes a node out. Not the primary.
struct Disable {
  base::NodeId node;
};
/// The operator brings it back.
struct Enable {
  base::NodeId node;
};
/// The operator says that this is the primary, although pgweir knows of a newer timeline, or has tried to promote
/// another one. Only while there is no primary.
struct Believe {
  base::NodeId node;
};
/// The operator says that this is the origin from now on (topology: logical), whatever the configuration says.
struct BecomeOrigin {
  base::NodeId node;
};
struct Switchover {
  std::optional<base::NodeId> target;
};
/// No statement that may write is running any more, and none begins until writes go on.
struct WritesQuiet {};

using Event = std::variant<Probed, ActionEnded, Tick, Disable, Enable, Believe, BecomeOrigin, Switchover, WritesQuiet>;

struct FailoverNode {
  std::string name;
  int priority = 0;  ///< of two standbys that have received the same, the one with the greater one is promoted
};

/// How the machine decides and how long it waits. Times are upper limits of single steps.
struct FailoverRules {
  FailoverMode mode = FailoverMode::observe;
  config::TopologyKind kind = config::TopologyKind::streaming;
  std::optional<base::NodeId> origin;                             ///< topology: logical: the one of the configuration
  bool rejoin = false;                                            ///< there is a rejoin command
  unsigned retries = 2;                                           ///< how many silences make a node down
  std::size_t minimum_seen = 0;                                   ///< nodes that must be seen to promote; 0: a majority
  base::Duration refused_grace = std::chrono::milliseconds(500);  ///< a restart is not a death
  base::Duration starting_patience = std::chrono::seconds(10);    ///< for a primary that starts up
  base::Duration ask_patience = std::chrono::milliseconds(500);   ///< for a receiver to find its primary again
  /// `command`: how long a standby's connection that says nothing still proves that the primary lives. Primaries speak
  /// at least every half wal_sender_timeout, 30 s by default.
  base::Duration quiet_limit = std::chrono::seconds(35);
  base::Duration ask_again = std::chrono::seconds(5);              ///< while others hear the primary
  base::Duration election_patience = std::chrono::seconds(2);      ///< for standbys that are slow to be cut off
  base::Duration quick_interval = std::chrono::milliseconds(100);  ///< between probes while something is going on
  base::Duration action_limit = std::chrono::seconds(3);
  base::Duration promote_limit = std::chrono::seconds(30);
  base::Duration follow_limit = std::chrono::seconds(3);
  base::Duration rejoin_limit = std::chrono::minutes(30);
  base::Duration follow_patience = std::chrono::seconds(3);  ///< until a standby that was told to follow streams
  base::Duration pause_limit = std::chrono::seconds(10);     ///< of a switchover: for running writes to end
  base::Duration catch_up_limit = std::chrono::seconds(10);  ///< of a switchover: for the target to have everything
  base::Duration longest_refusal_pause = std::chrono::seconds(5);  ///< of those who must be cut off or demoted
  base::Duration longest_pause = std::chrono::minutes(1);          ///< between attempts that fail again and again
  unsigned attempts = 3;                                           ///< at following, before a node is quarantined
  routing::Lsn catch_up_lag = 16 * 1024 * 1024;  ///< bytes; who comes back and lags more is catching up
};

}  // namespace pgweir::cluster
