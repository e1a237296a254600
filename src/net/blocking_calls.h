// Calls that block and cannot be asked to do otherwise (LDAP, PAM), on threads of their own, so that no loop waits for
// them. Not libuv's thread pool: calls that hang would keep name lookups from running.
#pragma once
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>

#include "base/clock.h"

namespace pgweir::net {

/// At most kMostThreads run at once, in the order in which they came; at most kMostWaiting wait. Threads are started
/// when they are needed, and stay.
class BlockingCalls {
 public:
  static constexpr std::size_t kMostThreads = 16;
  static constexpr std::size_t kMostWaiting = 1000;

  BlockingCalls();
  /// Calls `end` with no patience.
  ~BlockingCalls();
  BlockingCalls(const BlockingCalls&) = delete;
  BlockingCalls& operator=(const BlockingCalls&) = delete;

  /// Any thread. False when too many are waiting, or after `end`. Runs `call` on one of the threads unless `deadline`
  /// has passed by then; `late` instead if it has. Both have to take what they find elsewhere by themselves (Mailbox).
  [[nodiscard]] bool run(std::function<void()> call, std::function<void()> late, base::Time deadline);
  /// Nothing is started any more. True when all calls have ended within `patience`; those that have not hold on to what
  /// they use, and end with the process.
  bool end(std::chrono::milliseconds patience);

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
};

}  // namespace pgweir::net
