// What becomes due with time: requests that have waited for too long, connections that are too old or unused for too
// long, and those that are kept ready. See worker_pools.h.
#include <algorithm>
#include <chrono>
#include <string>

#include "net/loop.h"
#include "pool/shard.h"

namespace pgweir::pool {

/// One timer for all who wait, because each of them would cost more.
void WorkerPools::check_waiting() {
  const base::Time now = loop_.now();
  std::vector<Ticket> late;
  std::vector<Shard*> impatient;
  bool anybody = false;
  for (const auto& [ticket, request] : requests_) {
    if (request->opening) continue;
    anybody = true;
    const PoolLimits& limits = request->shard.limits;
    const base::Duration waited = now - request->since;
    if (limits.queue_timeout > base::Duration::zero() && waited >= limits.queue_timeout)
      late.push_back(ticket);
    else if (limits.reserve > 0 && waited >= limits.reserve_timeout)
      impatient.push_back(&request->shard);
  }
  if (!anybody) return patience_->stop();
  for (const Ticket ticket : late) on_queue_timeout(ticket);
  std::sort(impatient.begin(), impatient.end());
  impatient.erase(std::unique(impatient.begin(), impatient.end()), impatient.end());
  // Whoever has waited that long, the first in the queue has waited for longer.
  for (Shard* shard : impatient) {
    PoolState& state = shard->state;
    if (!state.try_open(shard->limits.size + shard->limits.reserve)) continue;
    if (const auto waiter = state.first_waiter())
      grant(state, *waiter);
    else
      state.closed();
  }
}

void WorkerPools::on_queue_timeout(Ticket ticket) {
  const auto found = requests_.find(ticket);
  if (found == requests_.end()) return;  // another one's end was its own
  const Shard& pool = found->second->shard;
  if (!pool.state.stop_waiting({self_, ticket})) return;  // it is on its way
  const PoolKey& key = pool.state.key();
  const auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(pool.limits.queue_timeout).count();
  const std::string reserve =
      pool.limits.reserve == 0 ? "" : " and a reserve of " + std::to_string(pool.limits.reserve) + " (pool.reserve)";
  finish(ticket,
         base::fail(base::sqlstate::too_many_connections,
                    "no server connection to node \"" + environment_.node_name(key.node) + "\" became free within " +
                        std::to_string(waited) + " ms",
                    "The pool for database \"" + key.database + "\" and user \"" + key.user + "\" has its limit of " +
                        std::to_string(pool.limits.size) + " server connections (pool.size)" + reserve + ".",
                    "Raise pool.size or pool.queue_timeout, or let fewer clients in."));
}

void WorkerPools::upkeep() {
  for (auto& [key, pool] : shards_) {
    close_old_idle(*pool);
    keep_ready(*pool);
  }
}

bool WorkerPools::was_used_lately(const Shard& shard) const {
  return shard.last_used != base::Time{} && loop_.now() - shard.last_used < shard.limits.ready_for;
}

bool WorkerPools::is_too_old(const Shard& shard, const ServerConnection& server) const {
  const PoolLimits& limits = shard.limits;
  if (limits.server_lifetime == base::Duration::zero()) return false;
  const double share = 1 - limits.lifetime_jitter * server.identity().jitter_share;
  const auto own = std::chrono::duration_cast<base::Duration>(limits.server_lifetime * share);
  return loop_.now() - server.identity().opened >= own;
}

/// Too old, beyond a limit that has been lowered, or unused for too long and not needed as one that is kept ready.
void WorkerPools::close_old_idle(Shard& shard) {
  const base::Duration idle_timeout = shard.limits.server_idle_timeout;
  const base::Time oldest = loop_.now() - idle_timeout;
  const std::uint32_t ready = was_used_lately(shard) ? shard.limits.min_idle : 0;
  const auto all = shard.idle;
  for (ServerConnection* server : all) {  // the one that was used longest ago first
    const bool unused = idle_timeout > base::Duration::zero() && server->idle_since < oldest;
    if (is_too_old(shard, *server) || shard.state.open() > shard.limits.size || (unused && shard.state.idle() > ready))
      server->kill();
  }
}

/// Each worker whose sessions use the pool opens its part, so that they are ready where they are wanted.
void WorkerPools::keep_ready(Shard& shard) {
  const PoolLimits& limits = shard.limits;
  if (limits.min_idle == 0 || !shard.startup || !was_used_lately(shard) || shutting_down_) return;
  if (loop_.now() < shard.no_filling_before || !environment_.is_usable(shard.state.key().node)) return;
  const std::size_t workers = std::max<std::size_t>(1, environment_.workers());
  for (std::size_t part = (limits.min_idle + workers - 1) / workers; part > 0; --part) {
    if (!shard.state.try_fill(limits.min_idle, limits.size)) return;
    open(shard, *shard.startup, kNobody);
  }
}

}  // namespace pgweir::pool
