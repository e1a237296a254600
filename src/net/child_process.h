// A command of the operator's, run by /bin/sh as a child process that never blocks the loop.
//
// Happy path: it runs in a session of its own, reads nothing, and inherits no descriptor; what it writes to standard
// output and standard error comes back line by line, and its status when it has ended. What can fail: it cannot be
// started; it takes too long, then its whole group is told to end (SIGTERM), and a moment later is killed.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"

namespace pgweir::net {

class Loop;

struct ChildEnd {
  int status = 0;  ///< exit status; of use if `signal` is 0
  int signal = 0;  ///< that ended it
  bool timed_out = false;
};

/// One owner, one thread. Destroying it kills the group of a child that still runs; then nothing is called any more.
class ChildProcess {
 public:
  using OnLine = std::function<void(std::string_view line)>;
  using OnEnd = std::function<void(const ChildEnd& end)>;
  /// Longer lines come in pieces.
  static constexpr std::size_t kLongestLine = 4096;

  ChildProcess(Loop& loop, OnLine on_line, OnEnd on_end);
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  /// Once. When it fails, nothing is called. `on_end` is called later, when the child has ended and its output was
  /// read, so far as it is there: what the child leaves running in the background may keep it open.
  [[nodiscard]] base::Result<bool> start(const std::string& command, base::Duration time_limit);

 private:
  struct State;
  Loop& loop_;
  std::shared_ptr<State> state_;
};

}  // namespace pgweir::net
