// One action that is under way; see failover_actions.h.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "cluster/action_session.h"
#include "cluster/failover_actions.h"
#include "config/failover_command.h"
#include "net/child_process.h"
#include "net/timer.h"

namespace pgweir::cluster {

/// Owned by FailoverActions. Ends once, by `ended` of its owner, which frees it after the pass.
class ActionRun {
 public:
  ActionRun(FailoverActions& owner, const Action& action, std::optional<base::NodeId> old_primary);

  void start();
  [[nodiscard]] const Action& action() const { return action_; }

 private:
  // By SQL, the steps of each in the order of time.
  void restart_receiver();
  void stop_receiving();
  void promote();
  void demote();
  void wait_for_read_only();
  void end_transactions(const std::string& until, base::Time forcibly_at);
  void flush();
  void restore();
  void follow();
  void make_slot(const Upstream& upstream);
  void receive_from(const std::string& conninfo);
  void reload();

  void run_command(const std::string& command);
  [[nodiscard]] config::CommandNode command_node(std::optional<base::NodeId> node) const;

  void open(std::unique_ptr<ActionSession>& session, base::NodeId node, std::function<void()> then);
  void end(Outcome outcome, const std::string& why = {});

  FailoverActions& owner_;
  const Action action_;
  const std::optional<base::NodeId> old_primary_;
  const base::Time begun_;
  bool is_over_ = false;
  std::unique_ptr<ActionSession> session_;  ///< to the action's node
  std::unique_ptr<ActionSession> other_;    ///< to the primary that is to be followed
  std::unique_ptr<net::ChildProcess> child_;
  net::Timer timer_;  ///< between looks at something that takes a moment
  std::function<void()> on_timer_;
};

}  // namespace pgweir::cluster
