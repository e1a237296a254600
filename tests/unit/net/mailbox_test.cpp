// Tasks from other threads.
#include "net/mailbox.h"

#include <memory>
#include <thread>
#include <vector>

#include "doctest/doctest.h"
#include "unit/on_loop.h"

using namespace pgweir;
using test::run_until;

TEST_CASE("tasks run on the loop's thread, each thread's in its order") {
  constexpr int kTasks = 2000;
  net::Loop loop;
  net::Mailbox mailbox(loop);
  const auto self = std::this_thread::get_id();
  std::array<std::vector<int>, 3> got;
  bool elsewhere = false;
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < got.size(); ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < kTasks; ++i)
        mailbox.post([&, t, i] {
          got[t].push_back(i);
          elsewhere = elsewhere || std::this_thread::get_id() != self;
        });
    });
  run_until(loop, [&] { return got[0].size() + got[1].size() + got[2].size() == 3 * kTasks; });
  for (std::thread& thread : threads) thread.join();
  CHECK_FALSE(elsewhere);
  for (const auto& one : got) CHECK(std::is_sorted(one.begin(), one.end()));
}

TEST_CASE("a task may post tasks, and destroy the mailbox") {
  net::Loop loop;
  auto mailbox = std::make_unique<net::Mailbox>(loop);
  std::vector<int> order;
  mailbox->post([&] {
    order.push_back(1);
    mailbox->post([&] {
      order.push_back(2);
      mailbox.reset();
    });
    mailbox->post([&] { order.push_back(3); });
  });
  run_until(loop, [&] { return mailbox == nullptr; });
  test::run_passes(loop);
  CHECK(order == std::vector<int>{1, 2});  // the rest is dropped
}

TEST_CASE("tasks that never ran are destroyed with the mailbox") {
  const auto held = std::make_shared<int>(1);
  net::Loop loop;
  {
    net::Mailbox mailbox(loop);
    mailbox.post([held] {});
    CHECK(held.use_count() == 2);
  }
  CHECK(held.use_count() == 1);
}
