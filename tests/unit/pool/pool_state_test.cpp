// Limits and the queue, from one thread and from many.
#include "pool/pool_state.h"

#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include "doctest/doctest.h"

using namespace pgweir;
using namespace pgweir::pool;

namespace {

Waiter waiter(std::uint16_t worker, std::uint64_t ticket) { return {base::WorkerId{worker}, ticket}; }
PoolKey key(std::uint16_t node, std::string database = "db") {
  return {base::NodeId{node}, std::move(database), "alice"};
}

}  // namespace

TEST_CASE("no more than the limit are open") {
  PoolState state(key(0));
  CHECK_FALSE(state.try_open(0));
  CHECK(state.try_open(2));
  CHECK(state.try_open(2));
  CHECK_FALSE(state.try_open(2));
  CHECK(state.open() == 2);
  state.closed();
  CHECK(state.try_open(2));
  CHECK_FALSE(state.try_open(1));  // lowered by a reload
  CHECK(state.try_open(3));        // raised
}

TEST_CASE("what is beyond a limit may be closed, and no more") {
  PoolState state(key(0));
  for (int i = 0; i < 3; ++i) CHECK(state.try_open(3));
  CHECK_FALSE(state.try_close_beyond(3));
  CHECK(state.try_close_beyond(2));
  CHECK_FALSE(state.try_close_beyond(2));
  CHECK(state.open() == 2);
}

TEST_CASE("no more are opened in the background than are wanted and fit") {
  PoolState state(key(0));
  state.idle_added();
  CHECK(state.try_fill(3, 10));
  CHECK(state.try_fill(3, 10));
  CHECK_FALSE(state.try_fill(3, 10));
  CHECK(state.open() == 2);
  state.idle_added();
  state.filled();
  CHECK_FALSE(state.try_fill(3, 10));
  state.filled();  // that one failed
  state.closed();
  CHECK(state.try_fill(3, 2));
  CHECK_FALSE(state.try_fill(5, 2));
  state.idle_taken(2);
  CHECK(state.idle() == 0);
}

TEST_CASE("first come, first served") {
  PoolState state(key(0));
  CHECK_FALSE(state.anybody_waits());
  CHECK_FALSE(state.first_waiter().has_value());
  state.wait(waiter(1, 1));
  state.wait(waiter(0, 1));
  state.wait(waiter(1, 2));
  CHECK(state.anybody_waits());
  CHECK_FALSE(state.stop_waiting(waiter(2, 1)));
  CHECK(state.stop_waiting(waiter(0, 1)));
  CHECK_FALSE(state.stop_waiting(waiter(0, 1)));
  for (const std::uint64_t ticket : {1U, 2U}) {
    const auto first = state.first_waiter();
    REQUIRE(first.has_value());
    CHECK(first->worker == base::WorkerId{1});
    CHECK(first->ticket == ticket);
    CHECK_FALSE(state.stop_waiting(*first));  // something is on its way to it
  }
  CHECK_FALSE(state.anybody_waits());
}

TEST_CASE("the limit holds for many threads") {
  constexpr std::uint32_t kLimit = 3;
  PoolState state(key(0));
  std::atomic<std::uint32_t> open{0};
  std::atomic<std::uint32_t> most{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int turn = 0; turn < 5000; ++turn) {
        if (!state.try_open(kLimit)) continue;
        const std::uint32_t now = ++open;
        for (std::uint32_t seen = most.load(); seen < now && !most.compare_exchange_weak(seen, now);) {
        }
        --open;
        state.closed();
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(most.load() >= 1);
  CHECK(most.load() <= kLimit);
  CHECK(state.open() == 0);
}

TEST_CASE("every waiter of many threads is served or stops, never both") {
  constexpr std::uint64_t kTickets = 2000;
  PoolState state(key(0));
  std::array<std::atomic<int>, 3 * kTickets> ends{};
  std::atomic<int> left{3};
  std::vector<std::thread> threads;
  for (std::uint16_t worker = 0; worker < 3; ++worker)
    threads.emplace_back([&, worker] {
      for (std::uint64_t ticket = 0; ticket < kTickets; ++ticket) {
        state.wait(waiter(worker, ticket));
        if (ticket % 2 == 0 && state.stop_waiting(waiter(worker, ticket))) ++ends[worker * kTickets + ticket];
      }
      --left;
    });
  threads.emplace_back([&] {
    while (left.load() > 0 || state.anybody_waits())
      while (const auto first = state.first_waiter()) ++ends[first->worker.value * kTickets + first->ticket];
  });
  for (std::thread& thread : threads) thread.join();
  CHECK(std::all_of(ends.begin(), ends.end(), [](const auto& one) { return one.load() == 1; }));
}

TEST_CASE("one pool per node, database and user, for all threads") {
  PoolDirectory directory;
  PoolState& first = directory.find(key(0));
  CHECK(&directory.find(key(0)) == &first);
  CHECK(&directory.find(key(1)) != &first);
  CHECK(&directory.find(key(0, "other")) != &first);
  PoolKey bob = key(0);
  bob.user = "bob";
  CHECK(&directory.find(bob) != &first);
  CHECK(first.key() == key(0));
}
