// Readiness of a descriptor that somebody else owns.
#include "net/watcher.h"

#include <memory>

#include "doctest/doctest.h"
#include "unit/on_loop.h"

using namespace pgweir;
using test::run_passes;
using test::run_until;
using test::SocketPair;

TEST_CASE("only what is watched for is told") {
  net::Loop loop;
  SocketPair pair;
  int calls = 0;
  {
    net::Watcher watcher(loop, pair.inner, [&] { ++calls; });
    run_passes(loop);
    CHECK(calls == 0);
    watcher.watch(net::Interest::readable);
    run_passes(loop);
    CHECK(calls == 0);
    pair.send("x");
    run_until(loop, [&] { return calls > 0; });
    watcher.watch(net::Interest::none);
    const int before = calls;
    run_passes(loop);
    CHECK(calls == before);
    watcher.watch(net::Interest::writable);
    run_until(loop, [&] { return calls > before; });
    watcher.watch(net::Interest::both);
    const int more = calls;
    run_until(loop, [&] { return calls > more; });
  }
  const int last = calls;
  run_passes(loop);
  CHECK(calls == last);
  ::close(pair.inner);
}

TEST_CASE("a watcher may destroy itself") {
  net::Loop loop;
  SocketPair pair;
  int calls = 0;
  std::unique_ptr<net::Watcher> watcher;
  watcher = std::make_unique<net::Watcher>(loop, pair.inner, [&] {
    watcher.reset();
    ++calls;
  });
  watcher->watch(net::Interest::writable);
  run_until(loop, [&] { return calls > 0; });
  run_passes(loop);
  CHECK(calls == 1);
  ::close(pair.inner);
}
