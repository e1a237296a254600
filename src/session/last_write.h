// When a write of any session of this process was last acknowledged: what `consistency: strict` asks standbys for.
#pragma once
#include <atomic>

#include "base/clock.h"

namespace pgweir::session {

/// All workers write it, when a server has acknowledged a write and before the client hears of it; all read it. Of two
/// that are acknowledged at the same time the later one counts.
class LastWrite {
 public:
  void note(base::Time when) {
    const auto ticks = when.time_since_epoch().count();
    auto known = ticks_.load(std::memory_order_relaxed);
    while (known < ticks && !ticks_.compare_exchange_weak(known, ticks, std::memory_order_release)) {
    }
  }
  [[nodiscard]] base::Time when() const { return base::Time(base::Duration(ticks_.load(std::memory_order_acquire))); }

 private:
  std::atomic<base::Duration::rep> ticks_{0};
};

}  // namespace pgweir::session
