// What the workers share of one pool: how many connections there are, and who waits, first come first served.
// The counters are touched when a connection is opened or closed, becomes idle or is leased; the lock only when
// somebody waits.
//
// Nothing is lost between somebody who frees and somebody who begins to wait, because each first says what it does and
// then looks at what the other has said (all of these are sequentially consistent): who frees counts the connection as
// idle, or as closed, and then asks whether anybody waits; who waits enters the queue and then looks for room and for
// idle connections.
#pragma once
#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/ids.h"

namespace pgweir::pool {

/// One pool: the connections of one user to one database on one node, of all start-up classes.
struct PoolKey {
  base::NodeId node;
  std::string database;
  std::string user;
  friend auto operator<=>(const PoolKey&, const PoolKey&) = default;
};

/// Names a waiting request: the worker's own number for it.
struct Waiter {
  base::WorkerId worker;
  std::uint64_t ticket = 0;
};

/// All methods: any thread.
class PoolState {
 public:
  explicit PoolState(PoolKey key) : key_(std::move(key)) {}

  [[nodiscard]] const PoolKey& key() const { return key_; }
  /// Counts one more connection unless there are `limit` already.
  [[nodiscard]] bool try_open(std::uint32_t limit);
  void closed() { open_.fetch_sub(1); }
  /// Counts one fewer if there are more than `limit`.
  [[nodiscard]] bool try_close_beyond(std::uint32_t limit);
  [[nodiscard]] std::uint32_t open() const { return open_.load(); }

  /// Idle connections, on all workers.
  void idle_added() { idle_.fetch_add(1); }
  void idle_taken(std::size_t count = 1) { idle_.fetch_sub(static_cast<std::uint32_t>(count)); }
  [[nodiscard]] std::uint32_t idle() const { return idle_.load(); }

  /// Counts one more connection that is opened to be idle, unless there will be `idle_wanted` of them anyway or there
  /// are `limit` connections already. `filled` when it is idle, or has failed.
  [[nodiscard]] bool try_fill(std::uint32_t idle_wanted, std::uint32_t limit);
  void filled();

  void wait(Waiter waiter);
  /// False when it had been taken out already: then something is on its way to it.
  bool stop_waiting(Waiter waiter);
  [[nodiscard]] std::optional<Waiter> first_waiter();
  [[nodiscard]] bool anybody_waits() const { return waiting_.load() > 0; }

 private:
  const PoolKey key_;
  std::atomic<std::uint32_t> open_{0};
  std::atomic<std::uint32_t> idle_{0};
  std::atomic<std::uint32_t> waiting_{0};
  std::mutex mutex_;
  std::uint32_t filling_ = 0;
  std::deque<Waiter> waiters_;
};

/// All pools of the process; entries live as long as it.
class PoolDirectory {
 public:
  /// Any thread; takes a lock: keep what it returns.
  [[nodiscard]] PoolState& find(const PoolKey& key);

 private:
  std::mutex mutex_;
  std::map<PoolKey, std::unique_ptr<PoolState>> pools_;
};

}  // namespace pgweir::pool
