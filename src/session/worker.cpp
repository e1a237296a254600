// What a worker thread keeps and does for its sessions; see worker.h.
#include "session/worker.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/assertion.h"
#include "base/log.h"
#include "session/abandoned_exchange.h"
#include "session/session.h"
#include "session/shared_listener.h"
#include "wire/crypto.h"

namespace pgweir::session {

namespace log = base::log;
namespace sqlstate = base::sqlstate;

namespace {

sql::ClassifierLimits classifier_limits(const config::Settings& settings) {
  sql::ClassifierLimits limits;
  limits.max_parse_bytes = settings.limits.max_parse_bytes;
  limits.max_parse_tokens = settings.limits.max_parse_tokens;
  limits.cache_bytes = settings.routing.cache_size;
  limits.reads = settings.routing.parser;
  return limits;
}

constexpr std::chrono::seconds kCancelTimeout{10};

}  // namespace

Worker::Worker(base::WorkerId id, Process& process, std::shared_ptr<const config::Settings> settings,
               std::shared_ptr<const ClientAuth> auth, TlsContextsPtr tls)
    : id_(id),
      process_(process),
      settings_(std::move(settings)),
      auth_(std::move(auth)),
      tls_(std::move(tls)),
      mailbox_(std::make_unique<net::Mailbox>(loop_)),
      pools_(
          std::make_unique<pool::WorkerPools>(loop_, id_, process.pools, static_cast<pool::PoolEnvironment&>(*this))),
      classifier_(classifier_limits(*settings_)),
      topology_(std::make_shared<routing::Topology>()),
      freshness_(settings_->nodes.size()) {
  start_time_sweep();
}

/// On the control thread, when the worker's own has ended: until then others may post.
Worker::~Worker() {
  mailbox_.reset();
  loop_.drain();
}

void Worker::run() {
  loop_.run();
  client_listeners_.clear();
  time_sweep_.reset();
  held_timer_.reset();
  unheard_timer_.reset();
  sessions_.clear();
  abandoned_.clear();
  listeners_.clear();
  cancels_.clear();
  pools_.reset();
}

void Worker::post(std::function<void(Worker&)> task) {
  mailbox_->post([this, task = std::move(task)] { task(*this); });
}

base::SessionId Worker::next_session_id() {
  constexpr std::uint32_t kMask = (1U << kCounterBits) - 1;
  for (;;) {
    last_session_ = (last_session_ + 1) & kMask;
    const base::SessionId id{(static_cast<std::uint32_t>(id_.value) << kCounterBits) | last_session_};
    if (last_session_ != 0 && !sessions_.contains(id)) return id;
  }
}

void Worker::listen(net::ListeningSocket socket) {
  if (stopping_) return;
  client_listeners_.push_back(std::make_unique<net::Listener>(
      loop_, std::move(socket), [this](int fd, const net::PeerAddress& peer) { on_client(fd, peer); }));
}

void Worker::stop_listening() { client_listeners_.clear(); }

void Worker::on_client(int fd, const net::PeerAddress& peer) {
  Worker* least = this;
  for (std::uint16_t i = 0; i < process_.worker_count(); ++i)
    if (Worker* one = process_.worker(base::WorkerId{i}); one->session_count() < least->session_count()) least = one;
  // At once: the next one is accepted perhaps before this one's session exists.
  least->session_count_.fetch_add(1);
  if (least == this) return serve_client(fd, peer);
  least->post([fd, peer](Worker& there) { there.serve_client(fd, peer); });
}

void Worker::serve_client(int fd, const net::PeerAddress& peer) {
  const base::SessionId id = next_session_id();
  Session& session = *sessions_.emplace(id, std::make_unique<Session>(*this, id, fd, peer)).first->second;
  if (stopping_) return session.terminate({sqlstate::cannot_connect_now, "pgweir is shutting down"});
  session.start();
}

void Worker::resume(base::SessionId id) {
  if (const auto found = sessions_.find(id); found != sessions_.end()) found->second->resume_client();
}

void Worker::redeliver_servers(base::SessionId id) {
  if (const auto found = sessions_.find(id); found != sessions_.end()) found->second->redeliver_servers();
}

Session* Worker::session(base::SessionId id) const {
  const auto found = sessions_.find(id);
  return found != sessions_.end() ? found->second.get() : nullptr;
}

SharedListener& Worker::listener(Account& account) {
  auto& known = listeners_[&account];
  if (!known) known = std::make_unique<SharedListener>(*this, account);
  return *known;
}

void Worker::finished(Session& session) {
  look_for_quiet();
  loop_.after_pass([this, id = session.id()] {
    sessions_.erase(id);
    session_count_.fetch_sub(1);
    process_.session_ended();
    stop_if_empty();
  });
}

void Worker::set_topology(routing::TopologyPtr topology) {
  const routing::TopologyPtr before = std::exchange(topology_, std::move(topology));
  tell_sessions(*before);
  try_held_again();
  let_listen_again();
  look_for_quiet();
}

void Worker::tell_sessions(const routing::Topology& before) {
  std::vector<base::NodeId> lost;
  for (const auto& node : topology_->nodes) {
    using routing::NodeStatus;
    const bool was_up = node.id.value >= before.nodes.size() || before.node(node.id).status == NodeStatus::up;
    if (was_up && (node.status == NodeStatus::down || node.status == NodeStatus::quarantined)) lost.push_back(node.id);
  }
  std::optional<base::NodeId> demoted;
  if (before.primary && topology_->primary && before.primary != topology_->primary) demoted = before.primary;
  for (const base::NodeId node : lost) pools_->drop_idle(node);
  if (demoted) pools_->drop_idle(*demoted);
  for (const auto& [account, listener] : listeners_) listener->on_topology(lost);
  // Its connections were made for reads only.
  const auto primary = topology_->primary;
  const bool is_new = topology_->independent_nodes && primary && primary->value < before.nodes.size() &&
                      before.node(*primary).role == routing::Role::standby;
  if (is_new) pools_->drop_idle(*primary);
  for (const base::SessionId id : session_ids())
    if (const auto found = sessions_.find(id); found != sessions_.end()) {
      found->second->on_topology(lost, demoted);
      if (is_new) found->second->on_topology({}, primary);
    }
}

std::uint64_t Worker::hold(base::SessionId session) {
  constexpr std::chrono::milliseconds kInterval{20};
  held_.emplace(++last_held_, session);
  if (!held_timer_) held_timer_ = std::make_unique<net::Timer>(loop_, [this] { check_held(); });
  if (!held_timer_->active()) held_timer_->start_repeating(kInterval);
  return last_held_;
}

void Worker::end_hold(std::uint64_t place) {
  held_.erase(place);
  // One of those whose node is said to be up has got what it wanted: so may the others.
  if (place == scout_) loop_.after_pass([this] { try_held_again(); });
  if (place == scout_) scout_ = 0;
}

void Worker::try_held_again() {
  std::vector<base::SessionId> all;
  for (const auto& [place, id] : held_) all.push_back(id);
  for (const base::SessionId id : all)
    if (Session* one = session(id)) one->try_again();
}

/// The time of some may be over. One by one they look whether something has changed that no topology tells: a
/// connection can be opened again, a standby is fresh enough.
void Worker::check_held() {
  if (held_.empty()) return held_timer_->stop();
  const base::Time now = loop_.now();
  std::vector<base::SessionId> all;
  for (const auto& [place, id] : held_) all.push_back(id);
  for (const base::SessionId id : all)
    if (Session* one = session(id)) one->check_hold(now);
  auto next = held_.upper_bound(scout_);
  if (next == held_.end()) next = held_.begin();
  if (next == held_.end()) return;
  scout_ = next->first;
  if (Session* one = session(next->second)) one->try_again();
}

void Worker::look_for_listening(base::SessionId session) {
  if (unheard_.insert(session).second) look_for_listening();
}

void Worker::look_for_listening() {
  constexpr std::chrono::milliseconds kInterval{50};
  if (!unheard_timer_) unheard_timer_ = std::make_unique<net::Timer>(loop_, [this] { let_listen_again(); });
  if (!unheard_timer_->active()) unheard_timer_->start_repeating(kInterval);
  loop_.after_pass([this] { let_listen_again(); });
}

void Worker::let_listen_again() {
  const std::vector<base::SessionId> all(unheard_.begin(), unheard_.end());
  for (const base::SessionId id : all) {
    Session* one = session(id);
    if (!one || !one->try_to_listen_again()) unheard_.erase(id);
  }
  bool any_listener = false;
  for (const auto& [account, listener] : listeners_) any_listener = listener->try_to_listen_again() || any_listener;
  if (unheard_.empty() && !any_listener && unheard_timer_) unheard_timer_->stop();
}

void Worker::look_for_quiet_soon() {
  if (std::exchange(looks_for_quiet_, true)) return;
  loop_.after_pass([this] {
    looks_for_quiet_ = false;
    if (topology_->writes_paused && writes_are_quiet()) process_.writes_are_quiet(id_, topology_->epoch);
  });
}

/// Only what is on the primary can write.
bool Worker::writes_are_quiet() const {
  const auto primary = topology_->primary;
  if (!primary) return true;
  return abandoned_.empty() && std::none_of(sessions_.begin(), sessions_.end(),
                                            [&](const auto& one) { return one.second->may_be_writing(*primary); });
}

/// A copy: what is done to one session may end others.
std::vector<base::SessionId> Worker::session_ids() const {
  std::vector<base::SessionId> ids;
  for (const auto& [id, session] : sessions_) ids.push_back(id);
  return ids;
}

void Worker::set_catalog(const std::string& name, routing::CatalogPtr catalog, base::Time verified) {
  DatabaseState& state = database(name);
  state.catalog = std::move(catalog);
  state.verified = verified;
}

void Worker::set_settings(std::shared_ptr<const config::Settings> settings, std::shared_ptr<const ClientAuth> auth,
                          TlsContextsPtr tls) {
  const auto old_settings = std::exchange(settings_, std::move(settings));  // the old rules point into it
  const auto old_rules = std::exchange(rules_, {});
  auth_ = std::move(auth);
  tls_ = std::move(tls);
  freshness_.resize(settings_->nodes.size());
  beginnings_.forget();
  for (const auto& [id, session] : sessions_) session->read_rules();
  start_time_sweep();
  pools_->reconfigure();
}

const config::Pool& Worker::pool_rules(const std::string& database, const std::string& user) {
  const std::pair key(settings_->database(database), settings_->user(user));
  const auto found = rules_.find(key);
  return found != rules_.end() ? found->second : rules_.emplace(key, settings_->pool_for(database, user)).first->second;
}

void Worker::start_time_sweep() {
  time_sweep_.reset();
  const auto interval = sweep_interval(*settings_);
  if (!interval) return;
  time_sweep_ = std::make_unique<net::Timer>(loop_, [this] {
    // A session that ends here stays in the map until the end of the pass.
    for (const auto& [id, session] : sessions_) session->check_times(loop_.now());
  });
  time_sweep_->start_repeating(*interval);
}

DatabaseState& Worker::database(const std::string& name) {
  const auto found = databases_.find(name);
  if (found != databases_.end()) return found->second;
  DatabaseState& state = databases_[name];
  state.id = static_cast<std::uint32_t>(databases_.size());
  process_.want_catalog(name, base::Time{});
  return state;
}

void Worker::catalog_changed(const std::string& name) {
  const base::Time now = base::Clock::now();
  process_.known_statements.forget();
  catalog_changed_elsewhere(name, now);
  process_.want_catalog(name, now);
}

void Worker::catalog_changed_elsewhere(const std::string& name, base::Time when) {
  DatabaseState& state = database(name);
  state.changed = std::max(state.changed, when);
}

routing::ReadRequirements Worker::requirements(const routing::Wanted& wanted) const {
  const auto& routing = settings_->routing;
  routing::ReadRequirements requirements;
  requirements.wanted = wanted;
  if (routing.max_replica_delay > base::Duration::zero())
    requirements.wanted.not_before = std::max(wanted.not_before, loop_.now() - routing.max_replica_delay);
  if (routing.max_replica_lag > 0) requirements.max_lag_bytes = routing.max_replica_lag;
  requirements.primary_weight = routing.primary_weight;
  return requirements;
}

routing::Choice Worker::pick_reader(const routing::Wanted& wanted) {
  process_.freshness.read_all(freshness_);
  return balancer_.choose(*topology_, freshness_, requirements(wanted));
}

void Worker::add_readers(std::vector<base::NodeId>& nodes, const routing::Wanted& wanted) {
  process_.freshness.read_all(freshness_);
  routing::add_readers(nodes, *topology_, freshness_, requirements(wanted));
}

bool Worker::still_good_reader(base::NodeId id, const routing::Wanted& wanted) const {
  if (id.value >= topology_->nodes.size()) return false;
  const auto& node = topology_->node(id);
  if (node.status != routing::NodeStatus::up) return false;
  if (topology_->primary != id && node.role != routing::Role::standby) return false;
  return routing::qualifies(*topology_, node, process_.freshness.read(id), requirements(wanted));
}

bool Worker::any_standby_but_for_freshness(base::NodeSet which) {
  std::vector<base::NodeId> nodes;
  routing::Wanted wanted;
  wanted.nodes = which;
  add_readers(nodes, wanted);
  return std::any_of(nodes.begin(), nodes.end(), [&](base::NodeId node) { return topology_->primary != node; });
}

bool Worker::settings_were_taken(base::NodeId node, std::size_t text_hash) const {
  return settings_taken_.contains(text_hash + node.value);
}

void Worker::settings_taken(base::NodeId node, std::size_t text_hash) {
  // Texts come from clients: the memory for them is bounded by forgetting all and waiting for the answer again.
  constexpr std::size_t kMost = 10'000;
  if (settings_taken_.size() >= kMost) settings_taken_.clear();
  settings_taken_.insert(text_hash + node.value);
}

Account& Worker::account(const std::string& database_name, const std::string& user) {
  const auto [place, is_new] = accounts_.try_emplace({database_name, user});
  if (is_new) {
    place->second.database = database_name;
    place->second.user = user;
    place->second.state = &database(database_name);
  }
  return place->second;
}

std::shared_ptr<Beginning> Worker::beginning(const wire::StartupMessage& message) {
  auto& known = beginnings_.of(message);
  if (!known) {
    Account& whose = account(message.database, message.user);
    known = std::make_shared<Beginning>(begin(message, whose, pool_rules(whose.database, whose.user).mode));
  }
  return known;
}

void Worker::find_memberships(base::SessionId id, const std::string& user) {
  process_.find_memberships(user, [this, id](base::Result<auth::Memberships> found) {
    post([id, found = std::move(found)](Worker& there) {
      if (Session* asker = there.session(id))
        asker->answer_login([&](StartupFlow& flow, base::ByteQueue& out) { flow.answer_memberships(found, out); });
    });
  });
}

void Worker::deliver_cancel(const wire::CancelRequest& request) {
  const base::WorkerId target{static_cast<std::uint16_t>(request.process_id >> kCounterBits)};
  if (Worker* worker = process_.worker(target)) worker->post([request](Worker& there) { there.cancel(request); });
}

void Worker::cancel(const wire::CancelRequest& request) {
  const auto found = sessions_.find(base::SessionId{request.process_id});
  if (found != sessions_.end()) found->second->cancel(request.secret);
}

void Worker::carry_cancel(pool::ServerConnection& server, std::function<void()> on_arrived) {
  const std::uint64_t number = ++last_number_;
  const auto& identity = server.identity();
  pools_->cancel_started(server);
  cancels_[number] = std::make_unique<pool::CancelCarrier>(
      loop_, identity.endpoint, identity.process_id, identity.secret, kCancelTimeout,
      [this, number, server = &server, on_arrived = std::move(on_arrived)] {
        pools_->cancel_ended(*server);
        // The carrier is in a callback of its own.
        std::shared_ptr<pool::CancelCarrier> done = std::move(cancels_.at(number));
        cancels_.erase(number);
        loop_.after_pass([done] {});
        if (on_arrived) on_arrived();
      },
      identity.encrypted ? std::optional(identity.tls) : std::nullopt);
}

void Worker::abandon(pool::Lease lease, ReplyQueue queue, std::size_t reply_left) {
  const std::uint64_t number = ++last_number_;
  abandoned_[number] =
      std::make_unique<AbandonedExchange>(*this, number, std::move(lease), std::move(queue), reply_left);
}

void Worker::abandoned_ended(std::uint64_t number) {
  // It is in a callback of its own.
  std::shared_ptr<AbandonedExchange> done = std::move(abandoned_.at(number));
  abandoned_.erase(number);
  loop_.after_pass([done] {});
  look_for_quiet();
}

void Worker::drain() {
  draining_ = true;
  for (const auto id : session_ids())
    if (const auto found = sessions_.find(id); found != sessions_.end()) found->second->drain();
}

void Worker::stop() {
  stopping_ = draining_ = true;
  for (const auto id : session_ids())
    if (const auto found = sessions_.find(id); found != sessions_.end())
      found->second->terminate({sqlstate::admin_shutdown, "terminating connection due to administrator command"});
  stop_if_empty();
}

void Worker::stop_if_empty() {
  if (!stopping_ || !sessions_.empty()) return;
  abandoned_.clear();
  listeners_.clear();
  pools_->shut_down();
  loop_.after_pass([this] { loop_.stop(); });
}

pool::PoolLimits Worker::limits(const pool::PoolKey& key) const {
  const config::Pool pool = settings_->pool_for(key.database, key.user);
  pool::PoolLimits limits;
  limits.size = pool.size;
  limits.queue_timeout = pool.queue_timeout;
  limits.connect_timeout = pool.connect_timeout;
  limits.server_idle_timeout = pool.server_idle_timeout;
  limits.reset_timeout = pool.reset_timeout;
  limits.min_idle = pool.min_idle;
  limits.reserve = pool.reserve;
  limits.reserve_timeout = pool.reserve_timeout;
  limits.server_lifetime = pool.server_lifetime;
  limits.lifetime_jitter = pool.server_lifetime_jitter / 100.0;
  return limits;
}

bool Worker::is_usable(base::NodeId node) const {
  return node.value < topology_->nodes.size() && topology_->node(node).status == routing::NodeStatus::up;
}

/// A replica's server takes writes, but not those of clients.
bool Worker::is_read_only(base::NodeId node) const {
  return topology_->independent_nodes && node.value < topology_->nodes.size() &&
         topology_->node(node).role == routing::Role::standby;
}

net::Endpoint Worker::endpoint(base::NodeId node) const {
  const auto& settings = settings_->nodes[node.value];
  return {settings.host, settings.port};
}

pool::ServerTls Worker::tls(base::NodeId node) const { return tls_->nodes[node.value]; }

std::string Worker::node_name(base::NodeId node) const { return settings_->nodes[node.value].name; }

/// The password file first. Then what clients are checked against, where it is of use, and what they have proved.
pool::ServerCredentials Worker::credentials(const pool::PoolKey& key) const {
  const auto& node = settings_->nodes[key.node.value];
  pool::ServerCredentials found;
  if (const auto line = process_.passwords.find(node.host, node.port, key.database, key.user)) {
    found.password = base::SecretText(*line);
    return found;
  }
  const auto use = [&found](const config::Secret& secret) {
    if (const auto* plain = std::get_if<config::PlainPassword>(&secret)) found.password = base::SecretText(plain->text);
    if (const auto* md5 = std::get_if<config::Md5Hash>(&secret)) found.md5 = base::SecretText(md5->text);
  };
  if (const auto user = auth_->users.find(key.user); user != auth_->users.end())
    use(user->second);
  else if (const auto known = process_.logins.last_known(key.user); known && known->secret)
    use(*known->secret);
  if (const auto keys = process_.logins.keys.find(key.user)) found.keys = *keys;
  return found;
}

void Worker::credentials_refused(const pool::PoolKey& key) {
  Logins& logins = process_.logins;
  if (const auto keys = logins.keys.find(key.user)) logins.keys.forget(key.user, keys);
  logins.distrust(key.user);
}

std::size_t Worker::workers() const { return process_.worker_count(); }

void Worker::post(base::WorkerId worker, std::function<void(pool::WorkerPools&)> task) {
  if (Worker* there = process_.worker(worker))
    there->post([task = std::move(task)](Worker& self) {
      if (self.pools_) task(*self.pools_);
    });
}

void Worker::suspect(base::NodeId node) { process_.suspect(node); }

}  // namespace pgweir::session
