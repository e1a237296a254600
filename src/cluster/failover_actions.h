// Carries out what the failover machine asks for: by SQL on connections of its own, or by the operator's commands.
//
// Happy path: an action is begun, and its end told once. What can fail: anything; it ends as `refused` when it is
// certain that nothing was done, as `unknown` when it is not. The machine decides what to make of it.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cluster/failover_facts.h"
#include "cluster/failover_state.h"
#include "config/password_file.h"
#include "config/settings.h"

namespace pgweir::net {
class Loop;
}

namespace pgweir::cluster {

class ActionRun;

/// Control thread.
class FailoverActions {
 public:
  /// Whoever knows what this class must not forget.
  class Owner {
   public:
    /// Calls back later, never from `carry_out`.
    virtual void on_action_ended(std::uint64_t id, Outcome outcome) = 0;
    /// What the node receives from, before that is taken away. False when it could not be brought to disk.
    virtual bool remember_upstream(base::NodeId node, const Upstream& upstream) = 0;
    [[nodiscard]] virtual Upstream upstream_of(base::NodeId node) const = 0;

   protected:
    ~Owner() = default;
  };

  FailoverActions(net::Loop& loop, const config::Settings& settings, const config::PasswordFile& passwords,
                  Owner& owner);
  ~FailoverActions();
  FailoverActions(const FailoverActions&) = delete;
  FailoverActions& operator=(const FailoverActions&) = delete;

  void set_nodes(const std::vector<config::NodeSettings>& nodes) { nodes_ = nodes; }
  /// Anything but `probe`. `old_primary`: whom the new one takes the place of, for commands.
  void carry_out(const Action& action, std::optional<base::NodeId> old_primary);
  /// It is not begun at all.
  void refuse(const Action& action, const std::string& why);

 private:
  friend class ActionRun;
  void ended(std::uint64_t id, Outcome outcome, const std::string& why);
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> login(base::NodeId node) const;

  net::Loop& loop_;
  std::vector<config::NodeSettings> nodes_;
  const config::Failover failover_;
  config::Monitor login_;  ///< with the user who acts
  const config::PasswordFile& passwords_;
  Owner& owner_;
  std::map<std::uint64_t, std::shared_ptr<ActionRun>> runs_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace pgweir::cluster
