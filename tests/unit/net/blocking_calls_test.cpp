// Calls that block, a bounded number at once.
#include "net/blocking_calls.h"

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "doctest/doctest.h"

using namespace pgweir;
using namespace std::chrono_literals;
using net::BlockingCalls;

namespace {

// Calls wait here until the test opens it.
struct Gate {
  std::mutex mutex;
  std::condition_variable changed;
  bool open = false;
  std::size_t inside = 0, most = 0, passed = 0;

  void pass() {
    std::unique_lock lock(mutex);
    most = std::max(most, ++inside);
    changed.notify_all();
    changed.wait(lock, [this] { return open; });
    --inside;
    ++passed;
    changed.notify_all();
  }
  void wait(const std::function<bool()>& until) {
    std::unique_lock lock(mutex);
    REQUIRE(changed.wait_for(lock, 20s, until));
  }
  void let_through() {
    const std::scoped_lock lock(mutex);
    open = true;
    changed.notify_all();
  }
};

base::Time later() { return base::Clock::now() + 1h; }

}  // namespace

TEST_CASE("calls run at once up to the limit, the others afterwards") {
  Gate gate;
  BlockingCalls calls;
  constexpr std::size_t kMore = 20;
  for (std::size_t i = 0; i < BlockingCalls::kMostThreads + kMore; ++i)
    REQUIRE(calls.run([&] { gate.pass(); }, [] {}, later()));
  gate.wait([&] { return gate.inside == BlockingCalls::kMostThreads; });
  gate.let_through();
  gate.wait([&] { return gate.passed == BlockingCalls::kMostThreads + kMore; });
  CHECK(gate.most == BlockingCalls::kMostThreads);
  CHECK(calls.end(20s));
}

TEST_CASE("a queue that is full refuses; what comes too late is not run") {
  Gate gate;
  std::atomic<int> run{0}, late{0};
  BlockingCalls calls;
  for (std::size_t i = 0; i < BlockingCalls::kMostThreads; ++i)
    REQUIRE(calls.run([&] { gate.pass(); }, [] {}, later()));
  gate.wait([&] { return gate.inside == BlockingCalls::kMostThreads; });
  REQUIRE(calls.run([&] { ++run; }, [&] { ++late; }, base::Clock::now()));
  for (std::size_t i = 1; i < BlockingCalls::kMostWaiting; ++i)
    REQUIRE(calls.run([&] { ++run; }, [&] { ++late; }, later()));
  CHECK_FALSE(calls.run([&] { ++run; }, [&] { ++late; }, later()));
  REQUIRE(calls.run([] {}, [] {}, later()) == false);
  gate.let_through();
  gate.wait([&] { return gate.passed == BlockingCalls::kMostThreads; });
  while (run + late < static_cast<int>(BlockingCalls::kMostWaiting)) std::this_thread::yield();
  CHECK(late == 1);
  CHECK(calls.end(20s));
  CHECK_FALSE(calls.run([] {}, [] {}, later()));
}

TEST_CASE("a call that hangs does not keep the end waiting") {
  auto gate = std::make_shared<Gate>();  // the call may outlive the test
  {
    BlockingCalls calls;
    REQUIRE(calls.run([gate] { gate->pass(); }, [] {}, later()));
    gate->wait([&] { return gate->inside == 1; });
    CHECK_FALSE(calls.end(1ms));
  }
  gate->let_through();
  gate->wait([&] { return gate->passed == 1; });
}
