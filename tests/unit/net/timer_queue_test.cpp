// Many timers behind one descriptor: what one of them does to others that are due in the same pass.
#include "net/timer_queue.h"

#include <uv.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "doctest/doctest.h"
#include "unit/on_loop.h"

using namespace pgweir;
using namespace std::chrono_literals;
using test::run_until;

TEST_CASE("a loop with timers waits without a time limit") {
  net::Loop loop;
  net::Timer timer(loop, [] {});
  timer.start(1h);
  test::run_passes(loop);
  CHECK(uv_backend_timeout(loop.uv()) == -1);
  timer.stop();
}

TEST_CASE("an earlier time than the next one counts, and one that is taken back does not") {
  net::Loop loop;
  std::string order;
  net::Timer late(loop, [&] { order += "l"; });
  net::Timer gone(loop, [&] { order += "g"; });
  net::Timer early(loop, [&] { order += "e"; });
  late.start(30ms);
  gone.start(10ms);
  early.start(5ms);
  gone.stop();
  run_until(loop, [&] { return order.size() == 2; });
  CHECK(order == "el");
}

TEST_CASE("what is due in the same pass can be stopped, started anew and destroyed by what comes before it") {
  net::Loop loop;
  std::string order;
  std::unique_ptr<net::Timer> destroyed, stopped, started;
  net::Timer first(loop, [&] {
    order += "f";
    destroyed.reset();
    stopped->stop();
    started->start(5ms);
    CHECK_FALSE(stopped->active());
    CHECK(started->active());
  });
  destroyed = std::make_unique<net::Timer>(loop, [&] { order += "d"; });
  stopped = std::make_unique<net::Timer>(loop, [&] { order += "s"; });
  started = std::make_unique<net::Timer>(loop, [&] { order += "a"; });
  net::Timer last(loop, [&] { order += "l"; });
  for (net::Timer* timer : {&first, destroyed.get(), stopped.get(), started.get(), &last}) timer->start(2ms);
  run_until(loop, [&] { return order.size() == 3; });
  CHECK(order == "fla");
}

TEST_CASE("one that starts itself for now fires in the next pass, and lets the others have their turn") {
  net::Loop loop;
  int fired = 0;
  net::Timer again(loop, [] {});
  net::Timer* self = &again;
  net::Timer eager(loop, [&] {
    if (++fired < 3) self->start(0ms);
  });
  self = &eager;
  eager.start(0ms);
  run_until(loop, [&] { return fired == 3; });
  CHECK_FALSE(eager.active());
}

TEST_CASE("a thousand timers fire in the order of their times") {
  net::Loop loop;
  std::vector<int> order;
  std::vector<std::unique_ptr<net::Timer>> timers;
  for (int i = 0; i < 1000; ++i) {
    const int when = i * 7 % 20;
    timers.push_back(std::make_unique<net::Timer>(loop, [&order, when] { order.push_back(when); }));
    timers.back()->start(std::chrono::milliseconds(when));
  }
  run_until(loop, [&] { return order.size() == timers.size(); });
  CHECK(std::is_sorted(order.begin(), order.end()));
}
