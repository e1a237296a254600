// What the workers share of one pool: how many connections there are, and who waits, first come first served.
// The counter is touched when a connection is opened or closed; the lock only when somebody waits.
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
  void closed() { open_.fetch_sub(1, std::memory_order_acq_rel); }
  [[nodiscard]] std::uint32_t open() const { return open_.load(std::memory_order_relaxed); }

  void wait(Waiter waiter);
  /// False when it had been taken out already: then something is on its way to it.
  bool stop_waiting(Waiter waiter);
  [[nodiscard]] std::optional<Waiter> first_waiter();
  [[nodiscard]] bool anybody_waits() const { return waiting_.load(std::memory_order_acquire) > 0; }

 private:
  const PoolKey key_;
  std::atomic<std::uint32_t> open_{0};
  std::atomic<std::uint32_t> waiting_{0};
  std::mutex mutex_;
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
