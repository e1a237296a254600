// Leasing, opening, waiting and trading of server connections; see worker_pools.h.
#include "pool/worker_pools.h"

#include <algorithm>
#include <utility>

#include "base/assertion.h"
#include "base/log.h"
#include "net/loop.h"
#include "pool/shard.h"

namespace pgweir::pool {

namespace log = base::log;

namespace {
constexpr ServerConnection* kNone = nullptr;
}

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
    : loop_(loop),
      self_(self),
      directory_(directory),
      environment_(environment),
      upkeep_(std::make_unique<net::Timer>(loop_, [this] { upkeep(); })),
      patience_(std::make_unique<net::Timer>(loop_, [this] { check_waiting(); })),
      random_(self.value + 1U) {
  constexpr std::chrono::seconds kUpkeepInterval{1};
  upkeep_->start_repeating(kUpkeepInterval);
}

WorkerPools::~WorkerPools() = default;

WorkerPools::Shard& WorkerPools::shard(const PoolKey& key) {
  auto& entry = shards_[key];
  if (!entry) entry = std::make_unique<Shard>(directory_.find(key), environment_.limits(key));
  return *entry;
}

Lease WorkerPools::lease(Shard& shard, ServerConnection& server) {
  shard.last_used = loop_.now();
  return {*this, server};
}

Lease WorkerPools::try_acquire(const PoolKey& key, const StartupClass& startup) {
  return try_acquire(shard(key), startup, nullptr);
}

Lease WorkerPools::try_acquire(Shard& pool, const StartupClass& startup, const SettingsPtr& settings) {
  if (shutting_down_ || pool.state.anybody_waits()) return {};
  ServerConnection* server = take_idle(pool, startup, settings);
  return server ? lease(pool, *server) : Lease{};
}

Lease WorkerPools::try_acquire_from(Shard& pool, const StartupClass& startup, base::SessionId writer) {
  if (shutting_down_ || pool.state.anybody_waits()) return {};
  const auto found = std::find_if(pool.idle.begin(), pool.idle.end(), [&](const ServerConnection* one) {
    return one->carried.last_writer == writer && one->identity().startup == startup;
  });
  return found == pool.idle.end() ? Lease{} : lease(pool, *pool.take_idle(found));
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
  return shard.take_idle(std::next(best).base());
}

WorkerPools::Ticket WorkerPools::add_request(Shard& shard, const StartupClass& startup, OnLease on_lease) {
  const Ticket ticket = next_ticket_++;
  requests_.emplace(ticket, std::make_unique<Request>(Request{shard, startup, std::move(on_lease), loop_.now()}));
  return ticket;
}

WorkerPools::Ticket WorkerPools::acquire(const PoolKey& key, const StartupClass& startup, OnLease on_lease) {
  Shard& pool = shard(key);
  const Ticket ticket = add_request(pool, startup, std::move(on_lease));
  if (shutting_down_) {
    loop_.after_pass(
        [this, ticket] { finish(ticket, base::fail(base::sqlstate::admin_shutdown, "pgweir is shutting down")); });
    return ticket;
  }
  if (open_for(pool, ticket)) return ticket;
  pool.state.wait({self_, ticket});
  if (!patience_->active()) patience_->start_repeating(kPatienceResolution);
  // Somebody may have freed one between the look and the wait; others may hold idle ones: ask all, ourselves too.
  open_for_waiters(pool, pool.limits.size);
  if (pool.state.idle() > 0)
    for (std::uint16_t worker = 0; worker < environment_.workers(); ++worker)
      environment_.post(base::WorkerId{worker}, [key](WorkerPools& pools) { pools.offer_idle(pools.shard(key)); });
  return ticket;
}

std::optional<WorkerPools::Ticket> WorkerPools::acquire_now(const PoolKey& key, const StartupClass& startup,
                                                            OnLease on_lease) {
  if (shutting_down_) return acquire(key, startup, std::move(on_lease));
  Shard& pool = shard(key);
  const Ticket ticket = add_request(pool, startup, std::move(on_lease));
  if (open_for(pool, ticket)) return ticket;
  requests_.erase(ticket);
  return std::nullopt;
}

/// Begins to open a connection for this request, if nobody waits and there is room or room can be made here.
bool WorkerPools::open_for(Shard& shard, Ticket ticket) {
  if (shard.state.anybody_waits()) return false;
  if (!shard.state.try_open(shard.limits.size) && !evict_idle(shard)) return false;
  start_opening(ticket);
  return true;
}

/// Makes room for a connection of another start-up class: the permission to open passes to the caller.
bool WorkerPools::evict_idle(Shard& shard) {
  if (shard.idle.empty()) return false;
  drop(shard, *shard.take_idle(shard.idle.begin()));
  return true;
}

void WorkerPools::start_opening(Ticket ticket) {
  Request& request = *requests_.at(ticket);
  request.opening = true;
  if (!request.startup.replication()) request.shard.startup = request.startup;
  open(request.shard, request.startup, ticket);
}

/// The permission to open one has been counted. `ticket`: whom it is for; kNobody: it is to be idle.
void WorkerPools::open(Shard& shard, const StartupClass& startup, Ticket ticket) {
  const PoolKey& key = shard.state.key();
  ServerIdentity identity;
  identity.node = key.node;
  identity.endpoint = environment_.endpoint(key.node);
  identity.tls = environment_.tls(key.node);
  identity.startup = startup;
  identity.read_only = environment_.is_read_only(key.node);
  identity.jitter_share = std::uniform_real_distribution<double>(0, 1)(random_);
  auto server =
      std::make_unique<ServerConnection>(loop_, std::move(identity), [this](ServerConnection& one) { on_free(one); });
  ServerConnection& opened = *server;
  owner_.emplace(&opened, &shard);
  shard.servers.push_back(std::move(server));
  opened.open(
      key.user, key.database, environment_.credentials(key), shard.limits.connect_timeout,
      [this, ticket](ServerConnection& one, base::Result<bool> result) { on_opened(ticket, one, std::move(result)); });
}

void WorkerPools::on_opened(Ticket ticket, ServerConnection& server, base::Result<bool> result) {
  Shard& pool = *owner_.at(&server);
  if (result) pool.told_not_ready = false;
  if (!result)
    on_open_failed(pool, server, ticket, std::move(result.error()));
  else if (requests_.contains(ticket))
    finish(ticket, lease(pool, server));
  else
    offer_after_pass(server);
  if (ticket == kNobody) loop_.after_pass([&state = pool.state] { state.filled(); });
}

void WorkerPools::on_open_failed(Shard& shard, ServerConnection& server, Ticket ticket, base::Error error) {
  constexpr std::chrono::seconds kPauseAfterFailure{5};
  const PoolKey& key = shard.state.key();
  const bool wrong = error.sqlstate == base::sqlstate::invalid_password;
  // 28000: there is nothing to show, or the server lets nobody in here, whatever is shown.
  const bool refused = wrong || error.sqlstate == base::sqlstate::invalid_authorization_specification;
  if (wrong) environment_.credentials_refused(key);
  if (!refused) environment_.suspect(key.node);
  // What nobody waits for is tried again and again: nothing is known for it, perhaps, until a client has logged in.
  const bool told = ticket == kNobody && refused && std::exchange(shard.told_not_ready, true);
  if (!told)
    log::warning("server_connect_failed", {{"node", environment_.node_name(key.node)},
                                           {"database", key.database},
                                           {"user", key.user},
                                           {"sqlstate", error.sqlstate.view()},
                                           {"error", error.message}});
  shard.no_filling_before = loop_.now() + kPauseAfterFailure;
  drop(shard, server);
  pass_permit_on(shard);
  if (!error.detail.empty()) error.detail += ' ';
  error.detail +=
      "Server: node \"" + environment_.node_name(key.node) + "\" (" + environment_.endpoint(key.node).text() + ").";
  finish(ticket, base::Failure(std::move(error)));
}

void WorkerPools::cancel(Ticket ticket) {
  const auto found = requests_.find(ticket);
  if (found == requests_.end()) return;
  if (!found->second->opening) found->second->shard.state.stop_waiting({self_, ticket});
  // What is already on its way to this ticket finds nobody and is used for the next one.
  requests_.erase(found);
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
  server.reset(owner_.at(&server)->limits.reset_timeout);
}

void WorkerPools::close(ServerConnection& server) { server.kill(); }

/// A connection is idle again, or dead.
void WorkerPools::on_free(ServerConnection& server) {
  const auto owner = owner_.find(&server);
  if (owner == owner_.end()) return;  // dropped in this pass, and now it has died as well
  Shard& pool = *owner->second;
  if (server.state() == ServerConnection::State::dead) {
    pool.forget_idle(server);
    drop(pool, server);
    pass_permit_on(pool);
    return;
  }
  offer_after_pass(server);
}

/// It is in a callback of its own, with bytes perhaps behind those that it looks at: passed on when that is over.
void WorkerPools::offer_after_pass(ServerConnection& server) {
  if (freed_.empty()) loop_.after_pass([this] { offer_freed(); });
  freed_.push_back(&server);
}

void WorkerPools::offer_freed() {
  // By index: whoever is served may free another one.
  for (std::size_t next = 0; next < freed_.size(); ++next) {
    ServerConnection* server = std::exchange(freed_[next], nullptr);
    if (!server || server->state() != ServerConnection::State::idle) continue;
    if (server->connection().unread() > 0 || server->connection().ended())
      server->kill();
    else
      put_idle_or_serve(*owner_.at(server), *server);
  }
  freed_.clear();
}

void WorkerPools::put_idle_or_serve(Shard& shard, ServerConnection& server) {
  if (!may_be_used_again(shard, server)) return server.kill();
  // A cancel request that arrives late would hit the next session.
  server.awaits_cancel = server.cancels_in_flight > 0;
  if (server.awaits_cancel) return;
  if (shard.state.anybody_waits())
    if (const auto waiter = shard.state.first_waiter()) return serve(shard, server, *waiter);
  shard.add_idle(server);
  if (shard.state.anybody_waits()) offer_idle(shard);
}

bool WorkerPools::may_be_used_again(const Shard& shard, ServerConnection& server) const {
  if (shutting_down_ || is_too_old(shard, server)) return false;
  if (server.identity().read_only != environment_.is_read_only(server.node())) return false;
  // Something more than the answers: whoever is next would take it for the beginning of his own.
  if (server.connection().unread() > 0) return false;
  // Of the reserve, or the limit has been lowered.
  const std::uint32_t most = shard.limits.size + (shard.state.anybody_waits() ? shard.limits.reserve : 0);
  return shard.state.open() <= most;
}

void WorkerPools::serve(Shard& shard, ServerConnection& server, Waiter waiter) {
  const PoolKey key = shard.state.key();
  if (waiter.worker == self_) {
    const auto found = requests_.find(waiter.ticket);
    if (found == requests_.end()) return put_idle_or_serve(shard, server);
    if (server.identity().startup == found->second->startup) return finish(waiter.ticket, lease(shard, server));
    drop(shard, server);
    start_opening(waiter.ticket);
    return;
  }
  // Half of something that the server says unasked has been read here, or its TLS has something to say: it cannot go on
  // elsewhere.
  if (server.connection().unread() > 0 || server.connection().unsent() > 0) {
    drop(shard, server);
    return grant(shard.state, waiter);
  }
  ServerIdentity identity = server.identity();
  auto books = std::make_shared<CarriedOnServer>(std::move(server.carried));
  auto socket = std::make_shared<net::DetachedSocket>(server.give_away());  // a task can be copied
  drop(shard, server);
  environment_.post(waiter.worker,
                    [key, ticket = waiter.ticket, identity = std::move(identity), books, socket](WorkerPools& pools) {
                      pools.receive_connection(key, ticket, identity, std::move(*books), std::move(*socket));
                    });
}

void WorkerPools::cancel_ended(ServerConnection& server) {
  if (--server.cancels_in_flight > 0) return;
  if (gone_.erase(&server) > 0) return;
  if (std::exchange(server.awaits_cancel, false)) put_idle_or_serve(*owner_.at(&server), server);
}

void WorkerPools::receive_connection(const PoolKey& key, Ticket ticket, ServerIdentity identity, CarriedOnServer books,
                                     net::DetachedSocket socket) {
  Shard& pool = shard(key);
  auto owned =
      std::make_unique<ServerConnection>(loop_, std::move(identity), [this](ServerConnection& one) { on_free(one); });
  ServerConnection& server = *owned;
  server.adopt(std::move(socket), std::move(books));
  owner_.emplace(&server, &pool);
  pool.servers.push_back(std::move(owned));
  serve(pool, server, {self_, ticket});
}

/// A connection has gone: the permission to open one in its place passes to the first who waits, or lapses.
void WorkerPools::pass_permit_on(Shard& shard) {
  PoolState& state = shard.state;
  if (state.try_close_beyond(shard.limits.size)) return;
  if (const auto waiter = state.anybody_waits() ? state.first_waiter() : std::nullopt) return grant(state, *waiter);
  state.closed();
  open_for_waiters(shard, shard.limits.size);
}

/// Uses the room that there is for those who wait.
void WorkerPools::open_for_waiters(Shard& shard, std::uint32_t limit) {
  PoolState& state = shard.state;
  while (state.anybody_waits() && state.try_open(limit)) {
    if (const auto waiter = state.first_waiter())
      grant(state, *waiter);
    else
      state.closed();
  }
}

void WorkerPools::grant(PoolState& state, Waiter waiter) {
  environment_.post(waiter.worker, [key = state.key(), ticket = waiter.ticket](WorkerPools& pools) {
    pools.receive_permit(key, ticket);
  });
}

void WorkerPools::receive_permit(const PoolKey& key, Ticket ticket) {
  if (requests_.contains(ticket) && !shutting_down_)
    start_opening(ticket);
  else
    pass_permit_on(shard(key));
}

/// Somebody waits: an idle connection here, or room below the limit, is for the first in the queue.
void WorkerPools::offer_idle(Shard& shard) {
  while (!shard.idle.empty() && shard.state.anybody_waits())
    put_idle_or_serve(shard, *shard.take_idle(std::prev(shard.idle.end())));
  open_for_waiters(shard, shard.limits.size);
}

void WorkerPools::reconfigure() {
  for (auto& [key, pool] : shards_) {
    pool->limits = environment_.limits(key);
    open_for_waiters(*pool, pool->limits.size);
  }
}

void WorkerPools::drop_idle(base::NodeId node) {
  for (auto& [key, pool] : shards_)
    if (key.node == node)
      while (!pool->idle.empty()) pool->take_idle(pool->idle.begin())->kill();
}

void WorkerPools::shut_down() {
  shutting_down_ = true;
  upkeep_.reset();
  patience_.reset();
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
  std::replace(freed_.begin(), freed_.end(), &server, kNone);
  const auto found =
      std::find_if(shard.servers.begin(), shard.servers.end(), [&](const auto& one) { return one.get() == &server; });
  PGWEIR_ASSERT(found != shard.servers.end());
  std::shared_ptr<ServerConnection> doomed = std::move(*found);
  shard.servers.erase(found);
  // Until then no other connection may have its address.
  if (server.cancels_in_flight > 0) gone_.emplace(&server, doomed);
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
