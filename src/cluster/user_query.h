// What the nodes know of a user, by auth.auth_query. On the control thread, over one connection that never blocks it.
//
// Happy path: the connection is there, one question at a time is asked, first come, first served. Questions about the
// same user share one answer. What can fail: no node is up, or none can be connected to; then questions wait, for as
// long as a login may (`patience`), because the login of a client that is known waits for a node, too. The query is
// refused: who asked is told so, and the next question begins anew.
#pragma once
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"
#include "cluster/pq_session.h"
#include "cluster/user_answer.h"
#include "config/password_file.h"
#include "config/settings.h"
#include "net/loop.h"
#include "net/timer.h"
#include "routing/topology.h"

namespace pgweir::cluster {

class UserQuery {
 public:
  using OnUser = std::function<void(const base::Result<KnownUser>&)>;
  /// More are refused at once.
  static constexpr std::size_t kMostWaiting = 2000;

  UserQuery(net::Loop& loop, const config::Settings& settings, const config::PasswordFile& passwords);
  ~UserQuery();

  void set_nodes(const std::vector<config::NodeSettings>& nodes) { nodes_ = nodes; }
  void set_topology(routing::TopologyPtr topology);
  /// Takes over what a reload may change.
  void reconfigure(const config::Settings& settings);
  /// The callbacks come later, or at once when nobody waits for nodes (failover.hold_timeout: 0) and none is up. Errors
  /// are for the client, and the same for all users; the log has more.
  void ask(const std::string& user, OnUser on_user);

 private:
  struct Question {
    std::string user;
    std::vector<OnUser> on_user;
    base::Time since;
    bool tried_again = false;
  };
  Question* question(const std::string& user);
  void next();
  void connect();
  void send();
  void take(base::Result<Rows> rows);
  void wait_for_node();
  [[nodiscard]] base::Duration patience() const;
  void fail_all(const base::Error& why);
  void drop_session();
  [[nodiscard]] std::vector<base::NodeId> nodes_to_ask() const;

  net::Loop& loop_;
  std::vector<config::NodeSettings> nodes_;
  config::Monitor monitor_;
  config::Auth auth_;
  base::Duration hold_timeout_;
  const config::PasswordFile& passwords_;
  routing::TopologyPtr topology_;
  std::unique_ptr<PqSession> session_;
  std::optional<base::NodeId> node_;     ///< of the session
  std::vector<base::NodeId> not_tried_;  ///< while connecting
  std::deque<Question> waiting_;         ///< the first one may be under way
  bool under_way_ = false;
  net::Timer again_;  ///< runs while questions wait for a node
};

}  // namespace pgweir::cluster
