// A bounded number of threads and one queue; see blocking_calls.h.
#include "net/blocking_calls.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

namespace pgweir::net {

namespace {
struct Call {
  std::function<void()> run;
  std::function<void()> late;
  base::Time deadline;
};
}  // namespace

// Lives as long as the last thread: a call that hangs may outlive everything else.
struct BlockingCalls::Shared {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Call> waiting;
  std::size_t threads = 0, busy = 0;
  bool ending = false;

  void serve() {
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [this] { return ending || !waiting.empty(); });
      if (ending) break;
      Call call = std::move(waiting.front());
      waiting.pop_front();
      ++busy;
      lock.unlock();
      (base::Clock::now() < call.deadline ? call.run : call.late)();
      call = {};
      lock.lock();
      --busy;
    }
    --threads;
    changed.notify_all();
  }
};

BlockingCalls::BlockingCalls() : shared_(std::make_shared<Shared>()) {}

BlockingCalls::~BlockingCalls() { end(std::chrono::milliseconds{0}); }

bool BlockingCalls::run(std::function<void()> call, std::function<void()> late, base::Time deadline) {
  const std::scoped_lock lock(shared_->mutex);
  if (shared_->ending || shared_->waiting.size() >= kMostWaiting) return false;
  shared_->waiting.push_back({std::move(call), std::move(late), deadline});
  if (shared_->threads < kMostThreads && shared_->threads < shared_->busy + shared_->waiting.size()) {
    ++shared_->threads;
    std::thread([shared = shared_] { shared->serve(); }).detach();
  }
  shared_->changed.notify_one();
  return true;
}

bool BlockingCalls::end(std::chrono::milliseconds patience) {
  std::unique_lock lock(shared_->mutex);
  shared_->ending = true;
  shared_->waiting.clear();
  shared_->changed.notify_all();
  return shared_->changed.wait_for(lock, patience, [this] { return shared_->threads == 0; });
}

}  // namespace pgweir::net
