// A one-shot or repeating timer.
#pragma once
#include <functional>

#include "base/clock.h"

namespace pgweir::net {

class Loop;

/// One owner, one thread. May be destroyed at any time, inside its own callback too; a destroyed timer never fires.
class Timer {
 public:
  Timer(Loop& loop, std::function<void()> on_fire);
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  void start(base::Duration after);
  void start_repeating(base::Duration every);
  void stop();
  [[nodiscard]] bool active() const;

 private:
  struct Handle;
  Handle* handle_;
};

}  // namespace pgweir::net
