// Timers: order, repetition, stopping, and destruction within their own call.
#include "net/timer.h"

#include <memory>
#include <vector>

#include "doctest/doctest.h"
#include "unit/on_loop.h"

using namespace pgweir;
using namespace std::chrono_literals;
using test::run_until;

TEST_CASE("timers fire in the order of their times, once") {
  net::Loop loop;
  std::vector<int> order;
  net::Timer second(loop, [&] { order.push_back(2); });
  net::Timer first(loop, [&] { order.push_back(1); });
  net::Timer now(loop, [&] { order.push_back(0); });
  second.start(20ms);
  first.start(5ms);
  now.start(-1ms);
  CHECK(first.active());
  run_until(loop, [&] { return order.size() == 3; });
  CHECK(order == std::vector<int>{0, 1, 2});
  CHECK_FALSE(first.active());
}

TEST_CASE("less than a millisecond is not nothing") {
  const auto before = base::Clock::now();
  net::Loop loop;
  bool fired = false;
  net::Timer timer(loop, [&] { fired = true; });
  timer.start(std::chrono::microseconds(4500));
  run_until(loop, [&] { return fired; });
  CHECK(base::Clock::now() - before >= std::chrono::microseconds(4500));
}

TEST_CASE("repeating, stopping, starting anew") {
  net::Loop loop;
  int fired = 0;
  net::Timer timer(loop, [&] { ++fired; });
  timer.start_repeating(1ms);
  run_until(loop, [&] { return fired >= 3; });
  timer.stop();
  CHECK_FALSE(timer.active());
  const int before = fired;
  test::run_passes(loop);
  CHECK(fired == before);
  timer.start(0ms);
  run_until(loop, [&] { return fired == before + 1; });
}

TEST_CASE("a timer may destroy itself, and never fires once destroyed") {
  net::Loop loop;
  int fired = 0;
  std::unique_ptr<net::Timer> self;
  std::unique_ptr<net::Timer> other;
  std::string alive = "captured state that is longer than a small string";
  self = std::make_unique<net::Timer>(loop, [&, alive] {
    self.reset();
    other.reset();
    fired += alive.empty() ? 0 : 1;  // the function outlives its timer
  });
  other = std::make_unique<net::Timer>(loop, [&] { fired += 100; });
  self->start_repeating(1ms);
  other->start(1ms);
  run_until(loop, [&] { return fired > 0; });
  test::run_passes(loop);
  CHECK(fired == 1);
}
