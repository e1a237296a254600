// What the control thread does, in the order of a process's life; see control.h.
#include "control.h"

#include <csignal>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <thread>
#include <utility>

#include "auth/hba_file.h"
#include "base/log.h"
#include "base/privileges.h"
#include "config/load.h"
#include "config/options.h"
#include "config/reload.h"
#include "config/users_file.h"
#include "wire/add_verifiers.h"
#include "wire/crypto.h"

namespace pgweir {

namespace log = base::log;

namespace {
constexpr std::size_t kSecretBytes = 32;
constexpr std::chrono::seconds kPatienceWithCalls{1};

/// Of a file that is named; so that the problems of all files are told at once.
template <class Value>
void read(const std::string& path, config::Checked<Value> (*load)(const std::string&), Value& to,
          config::Problems& problems) {
  if (path.empty()) return;
  auto loaded = load(path);
  if (loaded)
    to = std::move(*loaded);
  else
    problems.insert(problems.end(), loaded.error().begin(), loaded.error().end());
}
}  // namespace

config::Checked<std::shared_ptr<const session::ClientAuth>> load_auth(const config::Settings& settings,
                                                                      const session::ClientAuth* before) {
  auto auth = std::make_shared<session::ClientAuth>();
  auth->rules = auth::for_everybody(settings.auth.method == config::AuthMethod::trust ? auth::Method::trust
                                                                                      : auth::Method::scram_sha_256);
  auth->allow_cleartext = settings.auth.allow_cleartext;
  auth->asks_for_secrets = !settings.auth.auth_user.empty();
  auth->limits_failures = settings.auth.failure_delay > config::Duration::zero();
  // Kept as long as the process lives: a salt that changes would tell that a user does not exist.
  auth->mock_secret = before ? before->mock_secret : wire::random_bytes(kSecretBytes);
  config::Problems problems;
  read(settings.auth.hba_file, auth::load_hba, auth->rules, problems);
  read(settings.auth.ident_file, auth::load_ident_maps, auth->ident_maps, problems);
  read(settings.auth.users_file, config::load_users_file, auth->users, problems);
  if (!problems.empty()) return tl::unexpected(std::move(problems));
  wire::add_verifiers(auth->users, before ? before->users : config::Users{}, auth->mock_secret);
  return auth;
}

config::Checked<config::PasswordFile> load_server_passwords(const config::Settings& settings) {
  if (settings.auth.server_password_file.empty()) return config::PasswordFile{};
  return config::load_password_file(settings.auth.server_password_file);
}

base::Result<cluster::FailoverState> load_failover_state(const config::Settings& settings) {
  if (settings.failover.state_file.empty()) return cluster::FailoverState{};
  return cluster::load_failover_state(settings.failover.state_file, cluster::failover_nodes_of(settings.nodes));
}

Control::Control(std::string config_path, config::Settings settings, std::shared_ptr<const session::ClientAuth> auth,
                 session::TlsContextsPtr tls, config::PasswordFile server_passwords, cluster::FailoverState state)
    : session::Process(config::kMaxNodes, std::move(server_passwords)),
      config_path_(std::move(config_path)),
      settings_(std::make_shared<const config::Settings>(std::move(settings))),
      auth_(std::move(auth)),
      tls_(std::move(tls)),
      mailbox_(std::make_unique<net::Mailbox>(loop_)),
      view_(*this),
      commands_(view_,
                [this](std::function<void(admin::Operations&)> task) {
                  mailbox_->post([this, task = std::move(task)] {
                    if (operations_) task(*operations_);
                  });
                }),
      state_(std::move(state)) {
  local_commands = &commands_;
}

Control::~Control() = default;

int Control::run() {
  std::signal(SIGPIPE, SIG_IGN);
  view_.set(std::make_shared<routing::Topology>(), settings_);
  start_workers();
  signals_.push_back(std::make_unique<net::Signal>(loop_, SIGTERM, [this] { drain(); }));
  signals_.push_back(std::make_unique<net::Signal>(loop_, SIGINT, [this] { stop(); }));
  signals_.push_back(std::make_unique<net::Signal>(loop_, SIGHUP, [this] { reload(); }));
  loader_ = std::make_unique<cluster::CatalogLoader>(
      loop_, *settings_, passwords,
      [this](const std::string& database, routing::CatalogPtr catalog, base::Time verified) {
        on_catalog(database, std::move(catalog), verified);
      });
  user_query_ = std::make_unique<cluster::UserQuery>(loop_, *settings_, passwords);
  roles_ = std::make_unique<cluster::RoleFinder>(loop_, *settings_, passwords);
  monitor_ =
      std::make_unique<cluster::Monitor>(loop_, *settings_, passwords, std::move(state_), freshness,
                                         [this](routing::TopologyPtr topology) { on_topology(std::move(topology)); });
  operations_ = std::make_unique<admin::Operations>(
      monitor_->machine(), [this](const cluster::Event& event) { monitor_->request(event); },
      config::name_of(settings_->failover.mode));
  first_probe_timer_ = std::make_unique<net::Timer>(loop_, [this] { listen(); });
  first_probe_timer_->start(settings_->monitor.timeout);
  monitor_->start();
  loop_.run();

  signals_.clear();
  first_probe_timer_.reset();
  shutdown_timer_.reset();
  operations_.reset();
  monitor_.reset();
  loader_.reset();
  user_query_.reset();
  roles_.reset();
  join_workers();
  mailbox_.reset();
  loop_.drain();
  log::info("stopped", {{"status", status_}});
  return status_;
}

void Control::start_workers() {
  const std::size_t cores = std::max(1U, std::thread::hardware_concurrency());
  const std::size_t count = settings_->workers > 0 ? settings_->workers : cores;
  // All exist before the first one runs: they reach each other through `worker()`.
  for (std::uint16_t i = 0; i < count; ++i)
    workers_.push_back(std::make_unique<session::Worker>(base::WorkerId{i}, *this, settings_, auth_, tls_));
  for (auto& one : workers_)
    threads_.push_back(std::make_unique<net::Thread>(kThreadStackBytes, [&worker = *one] { worker.run(); }));
}

void Control::join_workers() {
  for (auto& thread : threads_) thread->join();
  // A call to LDAP or PAM that hangs would answer to a worker: better to end with it than after it.
  if (!logins.blocking_calls.end(kPatienceWithCalls)) {
    log::warning("stopped", {{"status", status_}, {"reason", "a call to LDAP or PAM has not ended"}});
    std::_Exit(status_);
  }
  threads_.clear();
  workers_.clear();
}

/// The first clients should find the nodes known; a node that says nothing must not keep them waiting.
void Control::listen_once_nodes_are_known() {
  if (!listening_ && monitor_ && monitor_->complete()) listen();
}

void Control::listen() {
  if (std::exchange(listening_, true) || leaving_) return;
  first_probe_timer_->stop();
  const auto& settings = settings_->listen;
  std::vector<net::Endpoint> endpoints;
  for (const auto& host : settings.hosts) endpoints.push_back({host, settings.port});
  if (!settings.unix_socket_dir.empty()) endpoints.push_back({settings.unix_socket_dir, settings.port});
  std::vector<net::ListeningSocket> sockets;
  for (const auto& endpoint : endpoints) {
    auto socket = net::ListeningSocket::open(endpoint, static_cast<int>(settings.backlog), settings.unix_socket_mode);
    if (!socket) return fail_to_start("listen_failed", endpoint.text(), socket.error());
    sockets.push_back(std::move(*socket));
  }
  if (auto dropped = drop_root(sockets); !dropped)
    return fail_to_start("user_not_changed", settings_->process.user, dropped.error());
  for (std::size_t i = 0; i < sockets.size(); ++i) {
    auto shared = std::make_shared<net::ListeningSocket>(std::move(sockets[i]));  // a task can be copied
    workers_.front()->post([shared](session::Worker& there) { there.listen(std::move(*shared)); });
    log::info("listening", {{"host", endpoints[i].host}, {"port", endpoints[i].port}, {"workers", workers_.size()}});
  }
}

void Control::fail_to_start(std::string_view event, std::string_view what, const base::Error& error) {
  log::error(event, {{"what", what}, {"error", error.message}});
  status_ = 1;
  stop();
}

/// Once everything that root alone may do is done, and before a client is heard.
base::Result<bool> Control::drop_root(const std::vector<net::ListeningSocket>& sockets) {
  const auto& process = settings_->process;
  if (!base::runs_as_root()) return true;
  if (process.user.empty()) {
    log::warning("runs_as_root", {{"hint", "name a user in process.user, or start pgweir as another user"}});
    return true;
  }
  auto user = base::find_system_user(process.user);
  if (!user) return base::Failure(user.error());
  for (const auto& socket : sockets)
    if (auto given = socket.give_file_to(user->uid, user->gid); !given) return given;
  if (auto became = base::become(*user); !became) return became;
  base::set_memory(process.core_dumps ? base::Memory::open : base::Memory::hidden);
  log::info("runs_as", {{"user", user->name}, {"uid", user->uid}, {"gid", user->gid}});
  return true;
}

void Control::on_topology(routing::TopologyPtr topology) {
  view_.set(topology, settings_);
  loader_->set_topology(topology);
  user_query_->set_topology(topology);
  roles_->set_topology(topology);
  for_workers([topology](session::Worker& there) { there.set_topology(topology); });
  // Not from here: the monitor is still telling.
  loop_.after_pass([this] {
    listen_once_nodes_are_known();
    if (operations_) operations_->check();
  });
}

void Control::on_catalog(const std::string& database, routing::CatalogPtr catalog, base::Time verified) {
  for_workers(
      [database, catalog, verified](session::Worker& there) { there.set_catalog(database, catalog, verified); });
}

void Control::for_workers(const std::function<void(session::Worker&)>& task) {
  for (auto& one : workers_) one->post(task);
}

void Control::suspect(base::NodeId node) {
  mailbox_->post([this, node] {
    if (monitor_) monitor_->suspect(node);
  });
}

void Control::want_catalog(const std::string& database, base::Time not_before) {
  mailbox_->post([this, database, not_before] {
    if (not_before != base::Time{})
      for_workers(
          [database, not_before](session::Worker& there) { there.catalog_changed_elsewhere(database, not_before); });
    if (loader_) loader_->want(database, not_before);
  });
}

void Control::ask_user(const std::string& user, std::function<void(const base::Result<cluster::KnownUser>&)> answer) {
  mailbox_->post([this, user, answer = std::move(answer)] {
    if (!user_query_) return;
    user_query_->ask(user, [this, user, answer](const base::Result<cluster::KnownUser>& known) {
      if (!known) return answer(known);
      cluster::KnownUser its = *known;
      const auto last = logins.last_known(user);
      const config::Secret* before = last && last->secret ? &*last->secret : nullptr;
      if (its.secret) wire::add_verifier(user, *its.secret, before, auth_->mock_secret);
      answer(*logins.store(user, std::move(its), settings_->auth.cache_ttl));
    });
  });
}

void Control::find_memberships(const std::string& user, std::function<void(base::Result<auth::Memberships>)> then) {
  mailbox_->post([this, user, then = std::move(then)] {
    if (roles_) roles_->find(user, then);
  });
}

session::Worker* Control::worker(base::WorkerId id) {
  return id.value < workers_.size() ? workers_[id.value].get() : nullptr;
}

std::size_t Control::session_count() const {
  std::size_t count = 0;
  for (const auto& one : workers_) count += one->session_count();
  return count;
}

void Control::session_ended() {
  if (leaving_) mailbox_->post([this] { leave_if_empty(); });
}

/// When all workers have said so of the same epoch, the switchover goes on.
void Control::writes_are_quiet(base::WorkerId worker, std::uint64_t epoch) {
  mailbox_->post([this, worker, epoch] {
    if (std::exchange(quiet_epoch_, epoch) != epoch) quiet_workers_.clear();
    quiet_workers_.insert(worker.value);
    if (!monitor_ || quiet_workers_.size() < workers_.size() || view_.topology()->epoch != epoch) return;
    quiet_workers_.clear();
    monitor_->request(cluster::WritesQuiet{});
  });
}

void Control::reload() {
  auto loaded = config::load_file(config_path_);
  if (!loaded) {
    for (const auto& problem : loaded.error()) log::error("reload_refused", {{"problem", problem.text()}});
    return;
  }
  auto auth = load_auth(*loaded, auth_.get());
  if (!auth) {
    for (const auto& problem : auth.error()) log::error("reload_refused", {{"problem", problem.text()}});
    return;
  }
  for (const auto& [user, secret] : auth_->users) {
    const auto found = (*auth)->users.find(user);
    logins.keys.check(user, found == (*auth)->users.end() ? nullptr : &found->second);
  }
  for (const auto& [user, secret] : (*auth)->users) logins.keys.check(user, &secret);
  logins.forget_answers();
  auth_ = *auth;
  const auto changes = config::difference(*settings_, *loaded);
  for (const auto& change : changes)
    log::write(change.reloadable ? log::Level::info : log::Level::warning,
               change.reloadable ? "reloaded" : "reload_needs_restart",
               {{"key", change.key}, {"old", change.old_value}, {"new", change.new_value}});
  auto taken = config::take_reloadable(*settings_, *loaded);
  reload_tls(taken);
  settings_ = std::make_shared<const config::Settings>(std::move(taken));
  log::set_level(settings_->log.level);
  for_workers([settings = settings_, auth = auth_, tls = tls_](session::Worker& there) {
    there.set_settings(settings, auth, tls);
  });
  view_.set(view_.topology(), settings_);
  loader_->set_refresh(settings_->routing.catalog_refresh);
  loader_->set_nodes(settings_->nodes);
  user_query_->set_nodes(settings_->nodes);
  roles_->set_nodes(settings_->nodes);
  monitor_->reconfigure(*settings_);
  user_query_->reconfigure(*settings_);
  log::info("reload_done", {{"changes", changes.size()}});
}

/// A bad file changes nothing about TLS: it would shut everybody out, or let somebody in.
void Control::reload_tls(config::Settings& settings) {
  auto loaded = session::load_tls(settings);
  if (loaded) {
    tls_ = std::move(*loaded);
    return;
  }
  settings.client_tls = settings_->client_tls;
  settings.nodes.resize(settings_->nodes.size());  // nobody knows how to reach the new ones
  log::error("tls_not_reloaded", {{"error", loaded.error().message}, {"detail", loaded.error().detail}});
}

/// SIGTERM: no new clients, open transactions may finish for a while.
void Control::drain() {
  if (leaving_.exchange(true)) return;
  log::info("shutting_down", {{"mode", "graceful"}, {"sessions", session_count()}});
  stop_listening([this] {
    for_workers([](session::Worker& there) { there.drain(); });
    leave_if_empty();
  });
  shutdown_timer_ = std::make_unique<net::Timer>(loop_, [this] { stop(); });
  shutdown_timer_->start(settings_->shutdown.timeout);
}

/// SIGINT, or the time for a graceful end is over.
void Control::stop() {
  leaving_ = true;
  log::info("shutting_down", {{"mode", "fast"}, {"sessions", session_count()}});
  stop_listening([this] {
    for_workers([](session::Worker& there) { there.stop(); });
    leave_if_empty();
  });
}

/// Runs `then` here when no more clients are accepted, and those that were accepted are with their workers or on the
/// way there, before whatever is posted afterwards.
void Control::stop_listening(std::function<void()> then) {
  workers_.front()->post([this, then = std::move(then)](session::Worker& there) {
    there.stop_listening();
    mailbox_->post([this, then] {
      accepting_ = false;
      then();
    });
  });
}

void Control::leave_if_empty() {
  if (accepting_ || session_count() > 0) return;
  for_workers([](session::Worker& there) { there.stop(); });
  loop_.stop();
}

}  // namespace pgweir
