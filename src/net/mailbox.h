// How another thread reaches a loop: it posts a task, the loop's thread runs it. Not for the hot path.
#pragma once
#include <functional>
#include <mutex>
#include <vector>

namespace pgweir::net {

class Loop;

class Mailbox {
 public:
  explicit Mailbox(Loop& loop);
  /// On the loop's thread. Tasks that were not run are dropped.
  ~Mailbox();
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  /// Any thread. Tasks run in the order in which they were posted.
  void post(std::function<void()> task);

 private:
  struct Handle;
  void run();

  std::mutex mutex_;
  std::vector<std::function<void()>> tasks_;
  Handle* handle_;
};

}  // namespace pgweir::net
