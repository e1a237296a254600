// Counting and queueing over all workers; see pool_state.h.
#include "pool/pool_state.h"

#include <algorithm>

namespace pgweir::pool {

bool PoolState::try_open(std::uint32_t limit) {
  std::uint32_t seen = open_.load();
  while (seen < limit)
    if (open_.compare_exchange_weak(seen, seen + 1)) return true;
  return false;
}

bool PoolState::try_close_beyond(std::uint32_t limit) {
  std::uint32_t seen = open_.load();
  while (seen > limit)
    if (open_.compare_exchange_weak(seen, seen - 1)) return true;
  return false;
}

bool PoolState::try_fill(std::uint32_t idle_wanted, std::uint32_t limit) {
  const std::lock_guard lock(mutex_);
  if (idle_.load() + filling_ >= idle_wanted || !try_open(limit)) return false;
  ++filling_;
  return true;
}

void PoolState::filled() {
  const std::lock_guard lock(mutex_);
  --filling_;
}

void PoolState::wait(Waiter waiter) {
  const std::lock_guard lock(mutex_);
  waiters_.push_back(waiter);
  waiting_.store(static_cast<std::uint32_t>(waiters_.size()));
}

bool PoolState::stop_waiting(Waiter waiter) {
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(waiters_.begin(), waiters_.end(), [&](const Waiter& one) {
    return one.worker == waiter.worker && one.ticket == waiter.ticket;
  });
  if (found == waiters_.end()) return false;
  waiters_.erase(found);
  waiting_.store(static_cast<std::uint32_t>(waiters_.size()));
  return true;
}

std::optional<Waiter> PoolState::first_waiter() {
  const std::lock_guard lock(mutex_);
  if (waiters_.empty()) return std::nullopt;
  const Waiter first = waiters_.front();
  waiters_.pop_front();
  waiting_.store(static_cast<std::uint32_t>(waiters_.size()));
  return first;
}

PoolState& PoolDirectory::find(const PoolKey& key) {
  const std::lock_guard lock(mutex_);
  auto& entry = pools_[key];
  if (!entry) entry = std::make_unique<PoolState>(key);
  return *entry;
}

}  // namespace pgweir::pool
