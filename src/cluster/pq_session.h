// A libpq connection that never blocks its loop: for the monitor and the catalog loader, on the control thread.
//
// Happy path: connect, then one query at a time. What can fail: libpq's own errors, and silence, which ends as a
// failure when the time given has passed. After a failure the session is closed; make a new one.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "net/timer.h"
#include "net/watcher.h"

struct pg_conn;

namespace pgweir::net {
class Loop;
}

namespace pgweir::cluster {

using Rows = std::vector<std::vector<std::optional<std::string>>>;

/// One owner, one thread. May be destroyed inside its own callbacks; callbacks that were not made are dropped then.
class PqSession {
 public:
  using OnConnected = std::function<void(base::Result<bool>)>;
  using OnRows = std::function<void(base::Result<Rows>)>;

  /// `parameters`: libpq's connection keywords.
  PqSession(net::Loop& loop, std::vector<std::pair<std::string, std::string>> parameters);
  ~PqSession();
  PqSession(const PqSession&) = delete;
  PqSession& operator=(const PqSession&) = delete;

  /// Calls back later, never at once.
  void connect(base::Duration timeout, OnConnected on_connected);
  /// Only when connected and not busy. All values come as text. Of several statements the last one's rows count.
  void query(const std::string& sql, base::Duration timeout, OnRows on_rows);
  /// One statement, with texts for $1 and so on.
  void query(const std::string& sql, const std::vector<std::string>& parameters, base::Duration timeout,
             OnRows on_rows);
  /// Called when the connection ends while no query is under way.
  void on_closed(std::function<void(base::Error)> then) { on_closed_ = std::move(then); }
  /// server_version_num; only when connected.
  [[nodiscard]] int server_version() const;
  [[nodiscard]] bool connected() const { return connected_; }
  [[nodiscard]] bool busy() const { return static_cast<bool>(on_rows_) || static_cast<bool>(on_connected_); }

 private:
  void send(base::Duration timeout, OnRows on_rows, const std::function<bool()>& send_it);
  void start_timer(base::Duration timeout);
  void on_time();
  void watch(net::Interest interest);
  void poll_connect();
  void on_ready();
  void read_results();
  void fail(base::Error error);
  [[nodiscard]] base::Error last_error() const;
  void close();

  net::Loop& loop_;
  std::vector<std::pair<std::string, std::string>> parameters_;
  pg_conn* connection_ = nullptr;
  int watched_fd_ = -1;
  std::unique_ptr<net::Watcher> watcher_;
  net::Timer timer_;
  base::Duration timeout_{};
  base::Time deadline_{};
  bool has_more_time_ = false;
  OnConnected on_connected_;
  OnRows on_rows_;
  std::function<void(base::Error)> on_closed_;
  std::optional<base::Result<Rows>> result_;
  bool connected_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace pgweir::cluster
