// Databases and users as one worker knows them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "pool/worker_pools.h"
#include "routing/catalog.h"

namespace pgweir::session {

/// A database as this worker knows it.
struct DatabaseState {
  std::uint32_t id = 0;
  routing::CatalogPtr catalog;  ///< the newest that was loaded; may be stale
  base::Time verified{};        ///< when reading it, or comparing it with the server's, began
  base::Time changed{};         ///< a catalog verified before this moment does not count
  /// Null while there is none that counts: reads that need it go to the primary.
  [[nodiscard]] const routing::Catalog* usable() const {
    return catalog && verified >= changed ? catalog.get() : nullptr;
  }
};

/// One user of one database, as this worker knows them; shared by their sessions.
struct Account {
  std::string database;
  std::string user;
  DatabaseState* state = nullptr;

  [[nodiscard]] pool::PoolKey pool_key(base::NodeId node) const { return {node, database, user}; }
  /// Their pool on a node, looked up once.
  [[nodiscard]] pool::WorkerPools::Shard& pool(pool::WorkerPools& pools, base::NodeId node) {
    if (pools_by_node.size() <= node.value) pools_by_node.resize(node.value + std::size_t{1});
    auto*& known = pools_by_node[node.value];
    if (!known) known = &pools.shard(pool_key(node));
    return *known;
  }

  std::vector<pool::WorkerPools::Shard*> pools_by_node;
};

}  // namespace pgweir::session
