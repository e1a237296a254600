// The control thread: start-up, signals, listening, health, reload, shutdown. It never touches a session.
#pragma once
#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "admin/commands.h"
#include "admin/operations.h"
#include "cluster/catalog_loader.h"
#include "cluster/monitor.h"
#include "cluster/role_finder.h"
#include "cluster/user_query.h"
#include "config/settings.h"
#include "net/listener.h"
#include "net/loop.h"
#include "net/mailbox.h"
#include "net/thread.h"
#include "net/timer.h"
#include "session/worker.h"

namespace pgweir {

/// Stack of the control thread and of each worker: both parse SQL.
inline constexpr std::size_t kThreadStackBytes = sql::Classifier::kParserStackBytes;

class Control final : public session::Process {
 public:
  Control(std::string config_path, config::Settings settings, std::shared_ptr<const session::ClientAuth> auth,
          session::TlsContextsPtr tls, config::PasswordFile passwords, cluster::FailoverState state);
  ~Control() override;

  /// The thread's body; returns the exit status once everything has ended.
  [[nodiscard]] int run();

 private:
  // session::Process
  void suspect(base::NodeId node) override;
  void want_catalog(const std::string& database, base::Time not_before) override;
  void ask_user(const std::string& user, std::function<void(const base::Result<cluster::KnownUser>&)> answer) override;
  void session_ended() override;
  void writes_are_quiet(base::WorkerId worker, std::uint64_t epoch) override;
  void find_memberships(const std::string& user, std::function<void(base::Result<auth::Memberships>)> then) override;
  session::Worker* worker(base::WorkerId id) override;
  std::size_t worker_count() const override { return workers_.size(); }

  void start_workers();
  void join_workers();
  void listen();
  void listen_once_nodes_are_known();
  [[nodiscard]] base::Result<bool> drop_root(const std::vector<net::ListeningSocket>& sockets);
  void fail_to_start(std::string_view event, std::string_view what, const base::Error& error);
  void on_topology(routing::TopologyPtr topology);
  void on_catalog(const std::string& database, routing::CatalogPtr catalog, base::Time verified);
  void reload();
  void reload_tls(config::Settings& settings);
  void drain();
  void stop();
  void stop_listening(std::function<void()> then);
  void leave_if_empty();
  [[nodiscard]] std::size_t session_count() const;
  void for_workers(const std::function<void(session::Worker&)>& task);

  const std::string config_path_;
  std::shared_ptr<const config::Settings> settings_;
  std::shared_ptr<const session::ClientAuth> auth_;
  session::TlsContextsPtr tls_;
  net::Loop loop_;
  std::unique_ptr<net::Mailbox> mailbox_;
  admin::View view_;
  admin::Commands commands_;
  std::vector<std::unique_ptr<session::Worker>> workers_;
  std::vector<std::unique_ptr<net::Thread>> threads_;
  cluster::FailoverState state_;  ///< until the monitor has it
  std::unique_ptr<cluster::Monitor> monitor_;
  std::unique_ptr<admin::Operations> operations_;
  std::unique_ptr<cluster::CatalogLoader> loader_;
  std::unique_ptr<cluster::UserQuery> user_query_;
  std::unique_ptr<cluster::RoleFinder> roles_;
  std::set<std::uint16_t> quiet_workers_;  ///< who have said so in `quiet_epoch_`
  std::uint64_t quiet_epoch_ = 0;
  std::vector<std::unique_ptr<net::Signal>> signals_;
  std::unique_ptr<net::Timer> first_probe_timer_;
  std::unique_ptr<net::Timer> shutdown_timer_;
  std::atomic<bool> leaving_{false};
  bool listening_ = false;
  bool accepting_ = true;  ///< no worker has said yet that it has stopped
  int status_ = 0;
};

/// Reads the files that the settings name. Problems are printed to stderr by the caller. `before`: what held so far;
/// its secret stays, or a reload would show which users do not exist.
[[nodiscard]] config::Checked<std::shared_ptr<const session::ClientAuth>> load_auth(
    const config::Settings& settings, const session::ClientAuth* before = nullptr);
[[nodiscard]] config::Checked<config::PasswordFile> load_server_passwords(const config::Settings& settings);
[[nodiscard]] base::Result<cluster::FailoverState> load_failover_state(const config::Settings& settings);

}  // namespace pgweir
