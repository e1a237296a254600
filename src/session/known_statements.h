// Statements that some server has accepted to prepare, of all workers: the same text, types and settings will be
// accepted again as long as the catalog stays as it is. Bounded by forgetting all.
#pragma once
#include <mutex>
#include <unordered_set>

#include "pool/carried_on_server.h"

namespace pgweir::session {

/// Any thread.
class KnownStatements {
 public:
  void add(pool::StatementKey key) {
    constexpr std::size_t kMost = 100'000;
    const std::lock_guard lock(mutex_);
    if (keys_.size() >= kMost) keys_.clear();
    keys_.insert(key);
  }
  [[nodiscard]] bool has(pool::StatementKey key) const {
    const std::lock_guard lock(mutex_);
    return keys_.contains(key);
  }
  /// A catalog has changed.
  void forget() {
    const std::lock_guard lock(mutex_);
    keys_.clear();
  }

 private:
  struct Hash {
    std::size_t operator()(const pool::StatementKey& key) const { return key.low; }
  };
  mutable std::mutex mutex_;
  std::unordered_set<pool::StatementKey, Hash> keys_;
};

}  // namespace pgweir::session
