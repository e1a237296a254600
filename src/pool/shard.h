// One worker's share of one pool, and a request that waits or opens; for worker_pools.cpp and upkeep.cpp only.
#pragma once
#include <memory>
#include <utility>
#include <vector>

#include "pool/worker_pools.h"

namespace pgweir::pool {

struct WorkerPools::Shard {
  Shard(PoolState& s, PoolLimits l) : state(s), limits(l) {}

  PoolState& state;
  PoolLimits limits;
  std::vector<std::unique_ptr<ServerConnection>> servers;
  std::vector<ServerConnection*> idle;  ///< the most recently used last; changed only by the methods below
  base::Time last_used{};               ///< by a session of this worker
  std::optional<StartupClass> startup;  ///< of the last one that was opened for a session: what is kept ready
  base::Time no_filling_before{};
  bool told_not_ready = false;  ///< that no connection could be opened that nobody waits for

  void add_idle(ServerConnection& server) {
    idle.push_back(&server);
    state.idle_added();
  }
  ServerConnection* take_idle(std::vector<ServerConnection*>::iterator one) {
    ServerConnection* server = *one;
    idle.erase(one);
    state.idle_taken();
    return server;
  }
  void forget_idle(ServerConnection& server) { state.idle_taken(std::erase(idle, &server)); }
};

struct WorkerPools::Request {
  Shard& shard;
  StartupClass startup;
  OnLease on_lease;
  base::Time since;
  bool opening = false;
};

}  // namespace pgweir::pool
