// Judges the health of the nodes, and nobody else does: probes them, publishes a new Topology when something changed
// and the freshness of the standbys all the time. An error on a data connection is only a reason to probe at once.
// What is to be done, the failover machine decides and FailoverActions does; what must not be forgotten is brought to
// disk in between.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "cluster/failover_actions.h"
#include "cluster/failover_machine.h"
#include "cluster/failover_state.h"
#include "cluster/node_probe.h"
#include "cluster/observation.h"
#include "cluster/shared_freshness.h"
#include "config/password_file.h"
#include "config/settings.h"
#include "routing/freshness.h"
#include "routing/topology.h"

namespace pgweir::net {
class Loop;
}

namespace pgweir::cluster {

/// Control thread.
class Monitor final : private NodeProbe::Listener, private FailoverActions::Owner {
 public:
  using OnTopology = std::function<void(routing::TopologyPtr)>;

  /// `state`: what was remembered (load_failover_state).
  Monitor(net::Loop& loop, const config::Settings& settings, const config::PasswordFile& passwords, FailoverState state,
          SharedFreshness& freshness, OnTopology on_topology);

  void start();
  /// Somebody had trouble with this node.
  void suspect(base::NodeId node);
  /// What the operator asks for (Disable, Enable, Believe, Switchover), or what the sessions say (WritesQuiet).
  void request(const Event& event);
  [[nodiscard]] const FailoverMachine& machine() const { return machine_; }
  /// Weights and times may have changed, and nodes may have come or gone. Those that are known keep their places.
  void reconfigure(const config::Settings& settings);
  /// True when every node has been probed at least once.
  [[nodiscard]] bool complete() const;

 private:
  void on_observation(std::size_t node, base::Time started, Observation observation) override;
  void on_position(std::size_t node, base::Time started, const PositionFacts& facts) override;
  [[nodiscard]] std::optional<base::NodeId> node_at(std::string_view host, std::string_view port) const override;
  void on_action_ended(std::uint64_t id, Outcome outcome) override;
  bool remember_upstream(base::NodeId node, const Upstream& upstream) override;
  [[nodiscard]] Upstream upstream_of(base::NodeId node) const override { return state_.upstreams[node.value]; }
  void add_node();
  void take_out_removed();
  void apply(const Event& event);
  void carry_out(const std::vector<Action>& actions);
  void tell_history();
  [[nodiscard]] bool keep_state();
  void publish();
  void follow_primary(const routing::Node& primary);
  void update_freshness(std::size_t node);
  void on_logical_position(std::size_t node, base::Time started, const PositionFacts& facts);
  void update_applied(std::size_t node, std::span<const Walsender> walsenders);

  net::Loop& loop_;
  config::Monitor login_;
  const config::PasswordFile& passwords_;
  OnTopology on_topology_;
  SharedFreshness& freshness_;
  std::vector<config::NodeSettings> nodes_;
  FailoverState state_;  ///< its memory is the machine's
  std::string kept_;     ///< the text that is on disk
  const std::string state_file_;
  FailoverMachine machine_;
  std::uint64_t told_ = 0;  ///< entries of its history that are in the log
  FailoverActions actions_;
  net::Timer tick_;
  std::vector<Observation> observations_;
  std::vector<std::unique_ptr<NodeProbe>> probes_;
  routing::PrimaryProofs proofs_;
  std::vector<routing::Lsn> replayed_;  ///< or applied, with topology: logical
  const bool is_logical_;
  std::vector<std::vector<Subscription>> subscriptions_;  ///< by node
  /// Walsenders that have spoken for a node; and those that did so when it was last lost: what they say may be of
  /// before it crashed, and it may have come back with less.
  std::vector<std::vector<std::int64_t>> speakers_, doubted_;
  routing::Lsn primary_position_ = 0;
  std::optional<std::pair<base::NodeId, std::uint32_t>> last_primary_;  ///< and its timeline
  routing::TopologyPtr topology_;
};

/// What libpq needs to reach a node as the monitor's user.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> monitor_login(const config::NodeSettings& node,
                                                                             const config::Monitor& monitor,
                                                                             const std::string& database,
                                                                             const config::PasswordFile& passwords,
                                                                             base::Duration timeout);

}  // namespace pgweir::cluster
