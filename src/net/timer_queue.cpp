// One timerfd for many timers; see timer_queue.h.
#include "net/timer_queue.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

#include "base/assertion.h"
#include "net/loop.h"
#include "net/watcher.h"

namespace pgweir::net {

struct TimerQueue::Entry {
  enum class State : std::uint8_t { idle, waiting, due };

  std::function<void()> on_fire;  ///< kept to the end, because it may be what removes the timer
  base::Duration every{};
  State state = State::idle;
  bool listed = false;  ///< in `due_`, which is being gone through
  bool removed = false;
  ByTime::node_type node;  ///< unless it is waiting: so that starting allocates nothing
  ByTime::iterator place;  ///< while it is waiting
};

TimerQueue::TimerQueue(Loop& loop)
    : loop_(loop), descriptor_(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)) {
  PGWEIR_ASSERT(descriptor_ >= 0);
  watcher_ = std::make_unique<Watcher>(loop, descriptor_, [this] { fire(); });
  watcher_->watch(Interest::readable);
}

TimerQueue::~TimerQueue() { close(); }

void TimerQueue::close() {
  if (!watcher_) return;
  watcher_.reset();
  ::close(descriptor_);
}

TimerQueue::Entry* TimerQueue::add(std::function<void()> on_fire) {
  auto entry = std::make_unique<Entry>();
  entry->on_fire = std::move(on_fire);
  ByTime maker;
  entry->node = maker.extract(maker.emplace(base::Time(), entry.get()));
  return entry.release();
}

void TimerQueue::remove(Entry* entry) {
  stop(*entry);
  entry->removed = true;
  if (!entry->listed) delete entry;
}

void TimerQueue::start(Entry& entry, base::Time when, base::Duration every) {
  stop(entry);
  entry.every = every;
  entry.state = Entry::State::waiting;
  entry.node.key() = when;
  entry.place = waiting_.insert(std::move(entry.node));
  set_descriptor();
}

void TimerQueue::stop(Entry& entry) {
  if (entry.state == Entry::State::waiting) entry.node = waiting_.extract(entry.place);
  entry.state = Entry::State::idle;
}

bool TimerQueue::is_active(const Entry& entry) { return entry.state != Entry::State::idle; }

void TimerQueue::fire() {
  std::uint64_t expirations = 0;
  // What it says does not matter, and it may have been set anew since.
  [[maybe_unused]] const ssize_t got = ::read(descriptor_, &expirations, sizeof expirations);
  set_to_ = base::Time::max();
  const base::Time now = loop_.now();
  while (!waiting_.empty() && waiting_.begin()->first <= now) {
    Entry* entry = waiting_.begin()->second;
    stop(*entry);
    entry->state = Entry::State::due;
    entry->listed = true;
    due_.push_back(entry);
  }
  for (Entry* entry : due_) {
    if (entry->state == Entry::State::due) {
      entry->state = Entry::State::idle;
      if (entry->every > base::Duration::zero()) start(*entry, now + entry->every, entry->every);
      entry->on_fire();
    }
    entry->listed = false;
    if (entry->removed) delete entry;
  }
  due_.clear();
  set_descriptor();
}

void TimerQueue::set_descriptor() {
  if (!watcher_ || waiting_.empty() || waiting_.begin()->first >= set_to_) return;
  set_to_ = waiting_.begin()->first;
  // 0 would mean never.
  const auto at = std::max<std::chrono::nanoseconds>(set_to_.time_since_epoch(), std::chrono::nanoseconds(1));
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(at);
  const itimerspec when{.it_interval = {}, .it_value = {.tv_sec = seconds.count(), .tv_nsec = (at - seconds).count()}};
  PGWEIR_ASSERT(timerfd_settime(descriptor_, TFD_TIMER_ABSTIME, &when, nullptr) == 0);
}

}  // namespace pgweir::net
