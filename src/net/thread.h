// A thread with a known stack, and process signals delivered to a loop.
#pragma once
#include <cstddef>
#include <functional>
#include <memory>

namespace pgweir::net {

class Loop;

/// Runs `body` on a thread of its own with `stack_bytes` of stack. Must be joined before it is destroyed.
class Thread {
 public:
  Thread(std::size_t stack_bytes, std::function<void()> body);
  ~Thread();
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;
  void join();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Calls `on_signal` on the loop's thread. One owner; destroying it restores the default.
class Signal {
 public:
  Signal(Loop& loop, int number, std::function<void()> on_signal);
  ~Signal();
  Signal(const Signal&) = delete;
  Signal& operator=(const Signal&) = delete;

 private:
  struct Handle;
  Handle* handle_;
};

}  // namespace pgweir::net
