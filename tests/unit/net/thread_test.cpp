// Threads with the stack they were promised, and signals as callbacks.
#include "net/thread.h"

#include <pthread.h>

#include <csignal>
#include <thread>

#include "doctest/doctest.h"
#include "unit/on_loop.h"

using namespace pgweir;

TEST_CASE("a thread has the stack asked for, and is another one") {
  constexpr std::size_t kStack = 32 * 1024 * 1024;
  std::size_t stack = 0;
  std::thread::id id;
  net::Thread thread(kStack, [&] {
    pthread_attr_t attributes;
    if (pthread_getattr_np(pthread_self(), &attributes) == 0) pthread_attr_getstacksize(&attributes, &stack);
    pthread_attr_destroy(&attributes);
    id = std::this_thread::get_id();
  });
  thread.join();
  CHECK(stack >= kStack);
  CHECK(id != std::this_thread::get_id());
}

TEST_CASE("a signal calls, as often as it comes, until it is no longer wanted") {
  net::Loop loop;
  int calls = 0;
  {
    net::Signal signal(loop, SIGUSR1, [&] { ++calls; });
    for (int i = 1; i <= 3; ++i) {
      REQUIRE(std::raise(SIGUSR1) == 0);
      test::run_until(loop, [&] { return calls == i; });
    }
  }
  test::run_passes(loop);
  struct sigaction now {};
  REQUIRE(::sigaction(SIGUSR1, nullptr, &now) == 0);
  CHECK((now.sa_handler == SIG_DFL));
}
