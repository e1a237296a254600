// One libuv loop and what its thread shares; see loop.h.
#include "net/loop.h"

#include <uv.h>

#include <algorithm>
#include <utility>

#include "base/assertion.h"
#include "net/connection.h"
#include "net/timer_queue.h"

namespace pgweir::net {

namespace {
constexpr Connection* kNobody = nullptr;
constexpr std::size_t kSpareBuffers = 64;
constexpr std::size_t kLargestSpareBytes = 256 * 1024;

void close_and_free(uv_loop_s* loop) {
  // A handle that is still open here would be freed memory in use: better to stop than to go on.
  PGWEIR_ASSERT(uv_loop_close(loop) == 0);
  delete loop;
}
}  // namespace

// The poll phase runs between `prepare` and `check`; closing callbacks run outside, so both ends flush.
struct Loop::Hooks {
  uv_prepare_t prepare{};
  uv_check_t check{};
  int open = 2;
};

Loop::Loop() : uv_(new uv_loop_s, close_and_free), hooks_(std::make_unique<Hooks>()) {
  PGWEIR_ASSERT(uv_loop_init(uv_.get()) == 0);
  scratch_ = std::make_unique_for_overwrite<char[]>(kScratchBytes);
  timers_ = std::make_unique<TimerQueue>(*this);
  uv_prepare_init(uv_.get(), &hooks_->prepare);
  uv_check_init(uv_.get(), &hooks_->check);
  hooks_->prepare.data = hooks_->check.data = this;
  uv_prepare_start(&hooks_->prepare, [](uv_prepare_t* handle) { static_cast<Loop*>(handle->data)->end_of_pass(); });
  uv_check_start(&hooks_->check, [](uv_check_t* handle) { static_cast<Loop*>(handle->data)->end_of_pass(); });
}

Loop::~Loop() { drain(); }

void Loop::run() { uv_run(uv_.get(), UV_RUN_DEFAULT); }

void Loop::stop() { uv_stop(uv_.get()); }

void Loop::drain() {
  if (hooks_) {
    end_of_pass();
    timers_->close();
    uv_close(reinterpret_cast<uv_handle_t*>(&hooks_->prepare), nullptr);
    uv_close(reinterpret_cast<uv_handle_t*>(&hooks_->check), nullptr);
    uv_run(uv_.get(), UV_RUN_DEFAULT);
    hooks_.reset();
  }
}

base::Time Loop::now() const { return base::Time(std::chrono::milliseconds(uv_now(uv_.get()))); }

void Loop::after_pass(std::function<void()> task) { tasks_.push_back(std::move(task)); }

std::span<char> Loop::sealed() {
  constexpr std::size_t kBytes = kScratchBytes + kSealedBytes;
  if (!sealed_) sealed_ = std::make_unique_for_overwrite<char[]>(kBytes);
  return {sealed_.get(), kBytes};
}

base::ByteQueue Loop::take_buffer() {
  if (spare_buffers_.empty()) return {};
  base::ByteQueue buffer = std::move(spare_buffers_.back());
  spare_buffers_.pop_back();
  return buffer;
}

void Loop::give_buffer(base::ByteQueue&& buffer) {
  if (spare_buffers_.size() >= kSpareBuffers || buffer.capacity() == 0 || buffer.capacity() > kLargestSpareBytes) {
    buffer.release();
    return;
  }
  buffer.clear();
  spare_buffers_.push_back(std::move(buffer));
}

void Loop::flush_later(Connection& connection) { unflushed_.push_back(&connection); }

void Loop::forget(Connection& connection) { std::replace(unflushed_.begin(), unflushed_.end(), &connection, kNobody); }

void Loop::end_of_pass() {
  // Tasks may write, flushing may find a broken peer and add tasks: until both are quiet.
  while (!tasks_.empty() || !unflushed_.empty()) {
    running_.swap(tasks_);
    for (auto& task : running_) task();
    running_.clear();
    // By index: flushing may register another one.
    for (std::size_t next = 0; next < unflushed_.size(); ++next)
      if (Connection* connection = std::exchange(unflushed_[next], kNobody)) connection->flush();
    unflushed_.clear();
  }
}

}  // namespace pgweir::net
