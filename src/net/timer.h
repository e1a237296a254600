// A one-shot or repeating timer.
#pragma once
#include <functional>

#include "base/clock.h"
#include "net/timer_queue.h"

namespace pgweir::net {

class Loop;

/// One owner, one thread. May be destroyed at any time, inside its own callback too; a destroyed timer never fires.
class Timer {
 public:
  Timer(Loop& loop, std::function<void()> on_fire);
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  /// From the beginning of this pass of the loop, in whole milliseconds, rounded up: never early.
  void start(base::Duration after);
  void start_repeating(base::Duration every);
  void stop();
  [[nodiscard]] bool active() const;

 private:
  Loop& loop_;
  TimerQueue::Entry* entry_;  ///< owned
};

}  // namespace pgweir::net
