// One event loop: one thread, one libuv loop, one scratch buffer to read into, one place where output is flushed.
// Everything here belongs to the thread that runs the loop, except `Mailbox::post` (mailbox.h).
#pragma once
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/byte_queue.h"
#include "base/clock.h"

struct uv_loop_s;

namespace pgweir::net {

class Connection;
class TimerQueue;

class Loop {
 public:
  /// Bytes read per recv at most; also how much of an unfinished message can be looked at without gathering it.
  static constexpr std::size_t kScratchBytes = 64 * 1024;

  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  /// Runs until `stop()`. Afterwards call `drain()` once everything has been closed.
  void run();
  void stop();
  /// Runs the loop until no handle is left, so that close callbacks free their memory.
  void drain();

  /// The time at the beginning of this pass, with a resolution of milliseconds: good for timeouts, not for ordering.
  [[nodiscard]] base::Time now() const;
  /// Runs `task` after the callbacks of this pass, before output is flushed: for freeing what a callback stands on.
  /// Allocates nothing for a task of up to two pointers.
  void after_pass(std::function<void()> task);

  [[nodiscard]] uv_loop_s* uv() noexcept { return uv_.get(); }
  [[nodiscard]] std::span<char> scratch() noexcept { return {scratch_.get(), kScratchBytes}; }
  /// True while some callback looks at the scratch buffer.
  bool scratch_in_use = false;
  /// For TLS records as they come and as they go: two halves of one buffer that is made at first use.
  static constexpr std::size_t kSealedBytes = 68 * 1024;
  [[nodiscard]] std::span<char> sealed_in() { return sealed().first(kScratchBytes); }
  [[nodiscard]] std::span<char> sealed_out() { return sealed().last(kSealedBytes); }

  /// An empty queue, with memory from an earlier connection where there is some.
  [[nodiscard]] base::ByteQueue take_buffer();
  void give_buffer(base::ByteQueue&& buffer);

  [[nodiscard]] TimerQueue& timers() { return *timers_; }

  /// Registers a connection for the flush at the end of this pass.
  void flush_later(Connection& connection);
  void forget(Connection& connection);

 private:
  struct Hooks;
  void end_of_pass();
  [[nodiscard]] std::span<char> sealed();

  std::unique_ptr<uv_loop_s, void (*)(uv_loop_s*)> uv_;
  std::unique_ptr<Hooks> hooks_;
  std::unique_ptr<TimerQueue> timers_;
  std::unique_ptr<char[]> scratch_;
  std::unique_ptr<char[]> sealed_;  ///< null until some connection has TLS
  std::vector<base::ByteQueue> spare_buffers_;
  std::vector<Connection*> unflushed_;  ///< in the order of their first bytes; null: forgotten
  std::vector<std::function<void()>> tasks_;
  std::vector<std::function<void()>> running_;  ///< empty outside of `end_of_pass`; kept for its memory
};

}  // namespace pgweir::net
