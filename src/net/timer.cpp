// Timers in their loop's queue; see timer.h.
#include "net/timer.h"

#include <algorithm>
#include <utility>

#include "net/loop.h"

namespace pgweir::net {

namespace {
std::chrono::milliseconds whole(base::Duration duration, std::chrono::milliseconds least) {
  return std::max(std::chrono::ceil<std::chrono::milliseconds>(duration), least);
}
}  // namespace

Timer::Timer(Loop& loop, std::function<void()> on_fire) : loop_(loop), entry_(loop.timers().add(std::move(on_fire))) {}

Timer::~Timer() { loop_.timers().remove(entry_); }

void Timer::start(base::Duration after) {
  auto rounded = whole(after, std::chrono::milliseconds(0));
  // The loop's time is rounded down, and nobody may be early.
  if (rounded > std::chrono::milliseconds(0)) rounded += std::chrono::milliseconds(1);
  loop_.timers().start(*entry_, loop_.now() + rounded, base::Duration::zero());
}

void Timer::start_repeating(base::Duration every) {
  const auto rounded = whole(every, std::chrono::milliseconds(1));
  loop_.timers().start(*entry_, loop_.now() + rounded, rounded);
}

void Timer::stop() { loop_.timers().stop(*entry_); }

bool Timer::active() const { return TimerQueue::is_active(*entry_); }

}  // namespace pgweir::net
