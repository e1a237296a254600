// One worker's share of the pools: its idle connections, the requests that wait here, and the trade with other workers.
//
// Happy path: an idle connection of the right start-up class is leased on the spot. Otherwise one is opened, if the
// pool's limit (counted over all workers) allows, or the request waits in the pool's one queue; whoever frees a
// connection, on whichever worker, serves the first in that queue: the connection itself moves, or the permission to
// open one. What is told once a second or at leisure (old connections, those that are kept ready) is in upkeep.cpp.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "net/address.h"
#include "net/timer.h"
#include "pool/lease.h"
#include "pool/pool_state.h"
#include "pool/server_connection.h"
#include "pool/startup_class.h"

namespace pgweir::net {
class Loop;
}

namespace pgweir::pool {

struct PoolLimits {
  std::uint32_t size = 20;         ///< server connections per node, database and user
  base::Duration queue_timeout{};  ///< 0: for ever
  base::Duration connect_timeout{};
  base::Duration server_idle_timeout{};  ///< 0: never
  base::Duration reset_timeout{};
  std::uint32_t min_idle = 0;  ///< of these, kept ready for `ready_for` after the last use
  std::uint32_t reserve = 0;   ///< beyond `size`, while somebody has been waiting for `reserve_timeout`
  base::Duration reserve_timeout{};
  base::Duration server_lifetime{};  ///< 0: for ever
  double lifetime_jitter = 0;        ///< part of it that may be taken off
  base::Duration ready_for = std::chrono::hours{1};
};

/// How a worker's pools reach the rest of the process.
class PoolEnvironment {
 public:
  /// Kept until `WorkerPools::reconfigure`.
  [[nodiscard]] virtual PoolLimits limits(const PoolKey& key) const = 0;
  [[nodiscard]] virtual net::Endpoint endpoint(base::NodeId node) const = 0;
  /// How connections to it are encrypted, from now on.
  [[nodiscard]] virtual ServerTls tls(base::NodeId node) const = 0;
  [[nodiscard]] virtual std::string node_name(base::NodeId node) const = 0;
  /// What is known at this moment for logging in there.
  [[nodiscard]] virtual ServerCredentials credentials(const PoolKey& key) const = 0;
  /// The server says that they are wrong, or has another verifier (28P01).
  virtual void credentials_refused(const PoolKey& key) = 0;
  [[nodiscard]] virtual std::size_t workers() const = 0;
  /// Runs `task` on that worker's thread with its pools.
  virtual void post(base::WorkerId worker, std::function<void(WorkerPools&)> task) = 0;
  /// Whether it is worth while to connect to this node though nobody asks for it.
  [[nodiscard]] virtual bool is_usable(base::NodeId node) const = 0;
  /// Whether transactions there are read only, because the node takes no writes though its server would.
  [[nodiscard]] virtual bool is_read_only(base::NodeId) const { return false; }
  /// A connection could not be opened: worth a probe at once.
  virtual void suspect(base::NodeId node) = 0;

 protected:
  ~PoolEnvironment() = default;
};

/// One per worker, on its thread.
class WorkerPools {
 public:
  using OnLease = std::function<void(base::Result<Lease>)>;
  using Ticket = std::uint64_t;
  static constexpr Ticket kNobody = 0;
  /// How exact the times of those who wait are.
  static constexpr std::chrono::milliseconds kPatienceResolution{20};

  WorkerPools(net::Loop& loop, base::WorkerId self, PoolDirectory& directory, PoolEnvironment& environment);
  ~WorkerPools();

  /// The pool of that key, to be asked without looking it up again; lives as long as this object.
  struct Shard;
  [[nodiscard]] Shard& shard(const PoolKey& key);
  /// An idle connection, if there is one here and nobody waits for it; rather one that has `settings` already.
  [[nodiscard]] Lease try_acquire(Shard& pool, const StartupClass& startup, const SettingsPtr& settings);
  /// The one on which this session was the last to write, if it is idle here and nobody waits.
  [[nodiscard]] Lease try_acquire_from(Shard& pool, const StartupClass& startup, base::SessionId writer);
  [[nodiscard]] static bool anybody_waits(const Shard& pool);
  /// An idle connection, if there is one here and nobody waits for it.
  [[nodiscard]] Lease try_acquire(const PoolKey& key, const StartupClass& startup);
  /// Asks for a connection; `on_lease` is called once, later, unless `cancel` comes first. Errors: what the server said
  /// at login, 08006 (not reachable), 53300 (the limit was reached and the queue's time ran out; names node and limit).
  [[nodiscard]] Ticket acquire(const PoolKey& key, const StartupClass& startup, OnLease on_lease);
  /// The same for somebody who may not wait for others: nothing when it would have to queue.
  [[nodiscard]] std::optional<Ticket> acquire_now(const PoolKey& key, const StartupClass& startup, OnLease on_lease);
  void cancel(Ticket ticket);

  /// The limits have changed.
  void reconfigure();
  /// Closes idle connections to a node that is down.
  void drop_idle(base::NodeId node);
  /// Closes everything that is not leased, and lets nothing new begin.
  void shut_down();

  /// A cancel request is on its way to this connection, and has arrived. The connection may be dead by then; the object
  /// stays until it has arrived.
  void cancel_started(ServerConnection& server) { ++server.cancels_in_flight; }
  void cancel_ended(ServerConnection& server);

  struct Counts {
    std::size_t idle = 0, leased = 0, opening = 0, waiting = 0;
  };
  [[nodiscard]] Counts counts() const;

 private:
  friend class Lease;
  struct Request;

  void release(ServerConnection& server);
  void give_back(ServerConnection& server);
  void close(ServerConnection& server);
  Lease lease(Shard& shard, ServerConnection& server);
  ServerConnection* take_idle(Shard& shard, const StartupClass& startup, const SettingsPtr& settings);
  void offer_after_pass(ServerConnection& server);
  void offer_freed();
  bool evict_idle(Shard& shard);
  Ticket add_request(Shard& shard, const StartupClass& startup, OnLease on_lease);
  [[nodiscard]] bool open_for(Shard& shard, Ticket ticket);
  void start_opening(Ticket ticket);
  void open(Shard& shard, const StartupClass& startup, Ticket ticket);
  void on_opened(Ticket ticket, ServerConnection& server, base::Result<bool> result);
  void on_open_failed(Shard& shard, ServerConnection& server, Ticket ticket, base::Error error);
  void on_free(ServerConnection& server);
  void put_idle_or_serve(Shard& shard, ServerConnection& server);
  [[nodiscard]] bool may_be_used_again(const Shard& shard, ServerConnection& server) const;
  void serve(Shard& shard, ServerConnection& server, Waiter waiter);
  void pass_permit_on(Shard& shard);
  void open_for_waiters(Shard& shard, std::uint32_t limit);
  void grant(PoolState& state, Waiter waiter);
  void receive_permit(const PoolKey& key, Ticket ticket);
  void receive_connection(const PoolKey& key, Ticket ticket, ServerIdentity identity, CarriedOnServer books,
                          net::DetachedSocket socket);
  void offer_idle(Shard& shard);
  void finish(Ticket ticket, base::Result<Lease> result);
  void drop(Shard& shard, ServerConnection& server);
  // upkeep.cpp
  void check_waiting();
  void on_queue_timeout(Ticket ticket);
  void upkeep();
  void close_old_idle(Shard& shard);
  void keep_ready(Shard& shard);
  [[nodiscard]] bool is_too_old(const Shard& shard, const ServerConnection& server) const;
  [[nodiscard]] bool was_used_lately(const Shard& shard) const;

  net::Loop& loop_;
  const base::WorkerId self_;
  PoolDirectory& directory_;
  PoolEnvironment& environment_;
  std::map<PoolKey, std::unique_ptr<Shard>> shards_;
  std::unordered_map<ServerConnection*, Shard*> owner_;
  std::vector<ServerConnection*> freed_;  ///< to be passed on after this pass; null: dropped since
  /// Those that are dead while cancel requests are still on their way to them.
  std::unordered_map<ServerConnection*, std::shared_ptr<ServerConnection>> gone_;
  std::unordered_map<Ticket, std::unique_ptr<Request>> requests_;
  Ticket next_ticket_ = 1;
  std::unique_ptr<net::Timer> upkeep_;
  std::unique_ptr<net::Timer> patience_;  ///< runs while some request waits
  std::minstd_rand random_;               ///< for the lifetimes
  bool shutting_down_ = false;
};

}  // namespace pgweir::pool
