// Statements that some server has accepted to prepare, of all workers: the same text, types and settings will be
// accepted again as long as the catalog stays as it is. Bounded by forgetting all.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <unordered_set>
#include <utility>

#include "pool/carried_on_server.h"

namespace pgweir::session {

struct StatementKeyHash {
  std::size_t operator()(const pool::StatementKey& key) const { return key.low; }
};
using StatementKeys = std::unordered_set<pool::StatementKey, StatementKeyHash>;

/// Any thread; takes a lock.
class KnownStatements {
 public:
  void add(pool::StatementKey key) {
    constexpr std::size_t kMost = 100'000;
    const std::lock_guard lock(mutex_);
    if (keys_.size() >= kMost) forget_all();
    keys_.insert(key);
  }
  [[nodiscard]] bool has(pool::StatementKey key) const {
    const std::lock_guard lock(mutex_);
    return keys_.contains(key);
  }
  /// A catalog has changed.
  void forget() {
    const std::lock_guard lock(mutex_);
    forget_all();
  }
  /// How often all were forgotten. No lock.
  [[nodiscard]] std::uint64_t forgotten() const { return forgotten_.load(std::memory_order_acquire); }

 private:
  void forget_all() {
    keys_.clear();
    forgotten_.fetch_add(1, std::memory_order_release);
  }

  mutable std::mutex mutex_;
  StatementKeys keys_;
  std::atomic<std::uint64_t> forgotten_{0};
};

/// What one worker has added, so that it takes the lock once for each statement and not for each Parse. One thread.
class AddedStatements {
 public:
  void add(pool::StatementKey key, KnownStatements& known) {
    const std::uint64_t forgotten = known.forgotten();
    if (std::exchange(forgotten_, forgotten) != forgotten) keys_.clear();
    if (keys_.insert(key).second) known.add(key);
  }

 private:
  StatementKeys keys_;
  std::uint64_t forgotten_ = 0;
};

}  // namespace pgweir::session
