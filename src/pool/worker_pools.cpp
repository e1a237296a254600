// Leasing, opening, waiting and trading of server connections; see worker_pools.h.
#include "pool/worker_pools.h"

#include <algorithm>
#include <utility>

#include "base/assertion.h"
#include "base/log.h"
#include "net/loop.h"

namespace pgweir::pool {

namespace log = base::log;

namespace {
constexpr std::chrono::seconds kSweepInterval{1};
}

struct WorkerPools::Shard {
  explicit Shard(PoolState& s) : state(s) {}
  PoolState& state;
  std::vector<std::unique_ptr<ServerConnection>> servers;
  std::vector<ServerConnection*> idle;  ///< the most recently used last
};

struct WorkerPools::Request {
  PoolKey key;
  StartupClass startup;
  OnLease on_lease;
  bool opening = false;
  std::unique_ptr<net::Timer> timer;
};

void Lease::release() {
  auto* server = std::exchange(server_, nullptr);
  if (server) std::exchange(pools_, nullptr)->release(*server);
}

void Lease::give_back() {
  auto* server = std::exchange(server_, nullptr);
  if (server) std::exchange(pools_, nullptr)->give_back(*server);
}

void Lease::close() {
  auto* server = std::exchange(server_, nullptr);
  if (server) std::exchange(pools_, nullptr)->close(*server);
}

WorkerPools::WorkerPools(net::Loop& loop, base::WorkerId self, PoolDirectory& directory, PoolEnvironment& environment)
    : loop_(loop), self_(self), directory_(directory), environment_(environment) {
  sweep_ = std::make_unique<net::Timer>(loop_, [this] { close_stale_idle(); });
  sweep_->start_repeating(kSweepInterval);
}

WorkerPools::~WorkerPools() = default;

WorkerPools::Shard& WorkerPools::shard(const PoolKey& key) {
  auto& entry = shards_[key];
  if (!entry) entry = std::make_unique<Shard>(directory_.find(key));
  return *entry;
}

Lease WorkerPools::lease(ServerConnection& server) { return {*this, server}; }

Lease WorkerPools::try_acquire(const PoolKey& key, const StartupClass& startup) {
  return try_acquire(shard(key), startup, nullptr);
}

Lease WorkerPools::try_acquire(Shard& pool, const StartupClass& startup, const SettingsPtr& settings) {
  if (shutting_down_ || pool.state.anybody_waits()) return {};
  ServerConnection* server = take_idle(pool, startup, settings);
  return server ? lease(*server) : Lease{};
}

bool WorkerPools::anybody_waits(const Shard& pool) { return pool.state.anybody_waits(); }

/// The most recently used of the right class, or one a little older that need not be told the settings first.
ServerConnection* WorkerPools::take_idle(Shard& shard, const StartupClass& startup, const SettingsPtr& settings) {
  constexpr std::ptrdiff_t kLookedAt = 8;
  auto best = shard.idle.rend();
  for (auto one = shard.idle.rbegin(); one != shard.idle.rend(); ++one) {
    if (!((*one)->identity().startup == startup)) continue;
    const bool first = best == shard.idle.rend();
    const bool fits = same_settings((*one)->carried.settings, settings);
    if (first || fits) best = one;
    if (fits || one - shard.idle.rbegin() >= kLookedAt) break;
  }
  if (best == shard.idle.rend()) return nullptr;
  ServerConnection* server = *best;
  shard.idle.erase(std::next(best).base());
  return server;
}

WorkerPools::Ticket WorkerPools::acquire(const PoolKey& key, const StartupClass& startup, OnLease on_lease) {
  const Ticket ticket = next_ticket_++;
  auto request = std::make_unique<Request>();
  request->key = key;
  request->startup = startup;
  request->on_lease = std::move(on_lease);
  Shard& pool = shard(key);
  const auto limits = environment_.limits();
  request->timer = std::make_unique<net::Timer>(loop_, [this, ticket] { on_queue_timeout(ticket); });
  if (limits.queue_timeout > base::Duration::zero()) request->timer->start(limits.queue_timeout);
  requests_.emplace(ticket, std::move(request));
  if (shutting_down_) {
    loop_.after_pass(
        [this, ticket] { finish(ticket, base::fail(base::sqlstate::admin_shutdown, "pgweir is shutting down")); });
    return ticket;
  }
  const bool queue_is_empty = !pool.state.anybody_waits();
  if (queue_is_empty && (pool.state.try_open(limits.size) || evict_idle(pool))) {
    start_opening(ticket);
    return ticket;
  }
  pool.state.wait({self_, ticket});
  // Somebody may have freed one between the look and the wait; others may hold idle ones: ask all, ourselves too.
  for (std::uint16_t worker = 0; worker < environment_.workers(); ++worker)
    environment_.post(base::WorkerId{worker}, [key](WorkerPools& pools) { pools.offer_idle(key); });
  return ticket;
}

/// Makes room for a connection of another start-up class: the permission to open passes to the caller.
bool WorkerPools::evict_idle(Shard& shard) {
  if (shard.idle.empty()) return false;
  ServerConnection* oldest = shard.idle.front();
  shard.idle.erase(shard.idle.begin());
  drop(shard, *oldest);
  return true;
}

void WorkerPools::start_opening(Ticket ticket) {
  Request& request = *requests_.at(ticket);
  request.opening = true;
  request.timer->stop();
  Shard& pool = shard(request.key);
  ServerIdentity identity;
  identity.node = request.key.node;
  identity.endpoint = environment_.endpoint(request.key.node);
  identity.startup = request.startup;
  auto server =
      std::make_unique<ServerConnection>(loop_, std::move(identity), [this](ServerConnection& one) { on_free(one); });
  ServerConnection& opened = *server;
  owner_.emplace(&opened, &pool);
  pool.servers.push_back(std::move(server));
  opened.open(
      request.key.user, request.key.database, environment_.password(request.key), environment_.limits().connect_timeout,
      [this, ticket](ServerConnection& one, base::Result<bool> result) { on_opened(ticket, one, std::move(result)); });
}

void WorkerPools::on_opened(Ticket ticket, ServerConnection& server, base::Result<bool> result) {
  Shard& pool = *owner_.at(&server);
  if (!result) {
    const base::NodeId node = server.node();
    environment_.suspect(node);
    log::warning("server_connect_failed", {{"node", environment_.node_name(node)},
                                           {"database", pool.state.key().database},
                                           {"user", pool.state.key().user},
                                           {"sqlstate", result.error().sqlstate.view()},
                                           {"error", result.error().message}});
    drop(pool, server);
    pass_permit_on(pool.state);
    base::Error error = result.error();
    if (!error.detail.empty()) error.detail += ' ';
    error.detail +=
        "Server: node \"" + environment_.node_name(node) + "\" (" + environment_.endpoint(node).text() + ").";
    finish(ticket, base::Failure(std::move(error)));
    return;
  }
  if (!requests_.contains(ticket)) {
    put_idle_or_serve(pool, server);
    return;
  }
  finish(ticket, lease(server));
}

bool WorkerPools::must_wait(const PoolKey& key) {
  Shard& pool = shard(key);
  return pool.state.anybody_waits() || (pool.idle.empty() && pool.state.open() >= environment_.limits().size);
}

void WorkerPools::cancel(Ticket ticket) {
  const auto found = requests_.find(ticket);
  if (found == requests_.end()) return;
  if (!found->second->opening) shard(found->second->key).state.stop_waiting({self_, ticket});
  // What is already on its way to this ticket finds nobody and is used for the next one.
  requests_.erase(found);
}

void WorkerPools::on_queue_timeout(Ticket ticket) {
  const Request& request = *requests_.at(ticket);
  PoolState& state = shard(request.key).state;
  if (!state.stop_waiting({self_, ticket})) return;  // it is on its way
  const auto limits = environment_.limits();
  const auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(limits.queue_timeout).count();
  finish(ticket,
         base::fail(base::sqlstate::too_many_connections,
                    "no server connection to node \"" + environment_.node_name(request.key.node) +
                        "\" became free within " + std::to_string(waited) + " ms",
                    "The pool for database \"" + request.key.database + "\" and user \"" + request.key.user +
                        "\" has its limit of " + std::to_string(limits.size) + " server connections (pool.size).",
                    "Raise pool.size or pool.queue_timeout, or let fewer clients in."));
}

void WorkerPools::finish(Ticket ticket, base::Result<Lease> result) {
  const auto found = requests_.find(ticket);
  if (found == requests_.end()) return;
  const auto request = std::move(found->second);
  requests_.erase(found);
  request->on_lease(std::move(result));
}

void WorkerPools::release(ServerConnection& server) {
  if (server.identity().startup.replication() || shutting_down_) {
    close(server);
    return;
  }
  server.release();
  offer_after_pass(server);
}

void WorkerPools::give_back(ServerConnection& server) {
  if (server.identity().startup.replication() || shutting_down_) {
    close(server);
    return;
  }
  server.reset(environment_.limits().reset_timeout);
}

void WorkerPools::close(ServerConnection& server) { server.kill(); }

/// A connection is idle again, or dead.
void WorkerPools::on_free(ServerConnection& server) {
  const auto owner = owner_.find(&server);
  if (owner == owner_.end()) return;  // dropped in this pass, and now it has died as well
  Shard& pool = *owner->second;
  if (server.state() == ServerConnection::State::dead) {
    std::erase(pool.idle, &server);
    drop(pool, server);
    pass_permit_on(pool.state);
    return;
  }
  offer_after_pass(server);
}

/// It is in a callback of its own, with bytes perhaps behind those that it looks at: passed on when that is over.
void WorkerPools::offer_after_pass(ServerConnection& server) {
  loop_.after_pass([this, &server] {
    const auto still = owner_.find(&server);
    if (still == owner_.end() || server.state() != ServerConnection::State::idle) return;
    if (server.connection().unread() > 0 || server.connection().ended())
      server.kill();
    else
      put_idle_or_serve(*still->second, server);
  });
}

void WorkerPools::put_idle_or_serve(Shard& shard, ServerConnection& server) {
  if (shutting_down_) return server.kill();
  // A cancel request that arrives late would hit the next session.
  server.awaits_cancel = server.cancels_in_flight > 0;
  if (server.awaits_cancel) return;
  if (shard.state.anybody_waits())
    if (const auto waiter = shard.state.first_waiter()) return serve(shard, server, *waiter);
  shard.idle.push_back(&server);
}

void WorkerPools::serve(Shard& shard, ServerConnection& server, Waiter waiter) {
  const PoolKey key = shard.state.key();
  if (waiter.worker == self_) {
    const auto found = requests_.find(waiter.ticket);
    if (found == requests_.end()) return put_idle_or_serve(shard, server);
    if (server.identity().startup == found->second->startup) return finish(waiter.ticket, lease(server));
    drop(shard, server);
    start_opening(waiter.ticket);
    return;
  }
  ServerIdentity identity = server.identity();
  auto books = std::make_shared<CarriedOnServer>(std::move(server.carried));
  const int fd = server.give_away();
  drop(shard, server);
  environment_.post(waiter.worker, [key, ticket = waiter.ticket, identity = std::move(identity), books,
                                    fd](WorkerPools& pools) {
    pools.receive_connection(key, ticket, identity, std::move(*books), fd);
  });
}

void WorkerPools::cancel_ended(ServerConnection& server) {
  const auto owner = owner_.find(&server);
  if (owner == owner_.end()) return;
  if (--server.cancels_in_flight == 0 && std::exchange(server.awaits_cancel, false))
    put_idle_or_serve(*owner->second, server);
}

void WorkerPools::receive_connection(const PoolKey& key, Ticket ticket, ServerIdentity identity, CarriedOnServer books,
                                     int fd) {
  Shard& pool = shard(key);
  auto owned =
      std::make_unique<ServerConnection>(loop_, std::move(identity), [this](ServerConnection& one) { on_free(one); });
  ServerConnection& server = *owned;
  server.adopt(fd, std::move(books));
  owner_.emplace(&server, &pool);
  pool.servers.push_back(std::move(owned));
  serve(pool, server, {self_, ticket});
}

/// A connection has gone: the permission to open one in its place passes to the first who waits, or lapses.
void WorkerPools::pass_permit_on(PoolState& state) {
  const auto waiter = state.anybody_waits() ? state.first_waiter() : std::nullopt;
  if (!waiter) {
    state.closed();
    return;
  }
  const PoolKey key = state.key();
  environment_.post(waiter->worker,
                    [key, ticket = waiter->ticket](WorkerPools& pools) { pools.receive_permit(key, ticket); });
}

void WorkerPools::receive_permit(const PoolKey& key, Ticket ticket) {
  if (requests_.contains(ticket) && !shutting_down_)
    start_opening(ticket);
  else
    pass_permit_on(shard(key).state);
}

/// Somebody waits: an idle connection here, or room below the limit, is for the first in the queue.
void WorkerPools::offer_idle(const PoolKey& key) {
  Shard& pool = shard(key);
  while (!pool.idle.empty() && pool.state.anybody_waits()) {
    ServerConnection* server = pool.idle.back();
    pool.idle.pop_back();
    put_idle_or_serve(pool, *server);
  }
  if (pool.state.anybody_waits() && pool.state.try_open(environment_.limits().size)) pass_permit_on(pool.state);
}

void WorkerPools::drop_idle(base::NodeId node) {
  for (auto& [key, pool] : shards_) {
    if (!(key.node == node)) continue;
    for (ServerConnection* server : std::exchange(pool->idle, {})) server->kill();
  }
}

void WorkerPools::close_stale_idle() {
  const auto limits = environment_.limits();
  if (limits.server_idle_timeout == base::Duration::zero()) return;
  const base::Time oldest = loop_.now() - limits.server_idle_timeout;
  for (auto& [key, pool] : shards_) {
    std::vector<ServerConnection*> stale;
    for (ServerConnection* server : pool->idle)
      if (server->idle_since < oldest) stale.push_back(server);
    for (ServerConnection* server : stale) server->kill();
  }
}

void WorkerPools::shut_down() {
  shutting_down_ = true;
  sweep_.reset();
  std::vector<ServerConnection*> unused;
  for (auto& [key, pool] : shards_)
    for (auto& server : pool->servers)
      if (server->state() != ServerConnection::State::leased) unused.push_back(server.get());
  for (ServerConnection* server : unused) server->kill();
  std::vector<Ticket> waiting;
  for (auto& [ticket, request] : requests_) waiting.push_back(ticket);
  for (const Ticket ticket : waiting)
    finish(ticket, base::fail(base::sqlstate::admin_shutdown, "pgweir is shutting down"));
}

/// Takes a connection out of the books; it is freed after this pass, because a callback of its own may be running.
void WorkerPools::drop(Shard& shard, ServerConnection& server) {
  owner_.erase(&server);
  const auto found =
      std::find_if(shard.servers.begin(), shard.servers.end(), [&](const auto& one) { return one.get() == &server; });
  PGWEIR_ASSERT(found != shard.servers.end());
  std::shared_ptr<ServerConnection> doomed = std::move(*found);
  shard.servers.erase(found);
  loop_.after_pass([doomed] {});
}

WorkerPools::Counts WorkerPools::counts() const {
  Counts counts;
  counts.waiting = requests_.size();
  for (const auto& [key, pool] : shards_)
    for (const auto& server : pool->servers) {
      using State = ServerConnection::State;
      counts.idle += server->state() == State::idle ? 1 : 0;
      counts.leased += server->state() == State::leased ? 1 : 0;
      counts.opening += server->state() == State::opening || server->state() == State::resetting ? 1 : 0;
    }
  return counts;
}

}  // namespace pgweir::pool
