// The timers of one loop behind one descriptor of the kernel. A loop that waits with a time limit makes the kernel set
// and take back a timer of its own each time, which costs a few microseconds with each message; a descriptor is set
// only when the next time changes. Source: timerfd_create(2).
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "base/clock.h"

namespace pgweir::net {

class Loop;
class Watcher;

/// Belongs to the loop's thread. `net::Timer` is the way to use it.
class TimerQueue {
 public:
  struct Entry;

  explicit TimerQueue(Loop& loop);
  ~TimerQueue();
  TimerQueue(const TimerQueue&) = delete;
  TimerQueue& operator=(const TimerQueue&) = delete;

  /// For one timer, which gives it back by `remove`.
  [[nodiscard]] Entry* add(std::function<void()> on_fire);
  /// May be called while it fires.
  void remove(Entry* entry);
  /// Fires at `when`, instead of what was said before; then again and again after `every`, unless that is 0.
  void start(Entry& entry, base::Time when, base::Duration every);
  void stop(Entry& entry);
  [[nodiscard]] static bool is_active(const Entry& entry);

  /// Nothing fires any more: the loop lets go of its handles.
  void close();

 private:
  using ByTime = std::multimap<base::Time, Entry*>;

  void fire();
  void set_descriptor();

  Loop& loop_;
  int descriptor_;
  std::unique_ptr<Watcher> watcher_;
  ByTime waiting_;
  std::vector<Entry*> due_;                ///< empty outside of `fire`; kept for its memory
  base::Time set_to_ = base::Time::max();  ///< when the descriptor becomes readable
};

}  // namespace pgweir::net
