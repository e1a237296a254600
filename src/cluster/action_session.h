// A connection on which one action of the failover machine is carried out, statement after statement.
//
// Nothing of it may take effect after the action's time limit, also when the server hangs and goes on later. So no
// statement is sent in the last third of that time; the server gives each a sixth (statement_timeout); and a server
// that finds a statement waiting after it has hung ends the session first, because it had heard nothing for a sixth
// (idle_session_timeout, PostgreSQL 14 and later).
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "cluster/failover_facts.h"
#include "cluster/pq_session.h"

namespace pgweir::cluster {

/// Control thread. Calls back later, never at once; after `on_failed` nothing any more.
class ActionSession {
 public:
  using Then = std::function<void(const Rows& rows)>;
  /// `unknown` when some statement that changes something has been sent and may have been carried out.
  using OnFailed = std::function<void(Outcome outcome, const std::string& why)>;

  ActionSession(net::Loop& loop, std::vector<std::pair<std::string, std::string>> login, base::Duration time_limit,
                OnFailed on_failed);
  ~ActionSession();
  ActionSession(const ActionSession&) = delete;
  ActionSession& operator=(const ActionSession&) = delete;

  void open(std::function<void()> then);
  /// A statement that changes nothing, or nothing that matters.
  void ask(const std::string& sql, Then then);
  void change(const std::string& sql, Then then);
  /// The last one, which may take effect whenever it does: it has `limit`, here and on the server.
  void change_at_leisure(const std::string& sql, base::Duration limit, Then then);
  /// Whether a statement may still be sent; nothing is lost when it is not asked.
  [[nodiscard]] bool has_time() const;

 private:
  void send(const std::string& sql, base::Duration limit, bool changes, Then then);
  void fail(const base::Error& error);

  net::Loop& loop_;
  PqSession session_;
  const base::Time begun_;
  const base::Duration time_limit_;
  OnFailed on_failed_;
  unsigned sent_changes_ = 0;  ///< and not refused
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace pgweir::cluster
