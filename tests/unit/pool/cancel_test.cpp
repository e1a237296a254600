// A cancel request is over when the server has closed its connection, or cannot be reached, or has had its time.
#include "pool/cancel.h"

#include "doctest/doctest.h"
#include "unit/pool/small_server.h"

using namespace pgweir;
using namespace std::chrono_literals;
using test::run_until;

TEST_CASE("a cancel request reaches the server before it is over") {
  net::Loop loop;
  test::SmallServer server(loop);
  int done = 0;
  pool::CancelCarrier carrier(loop, server.endpoint, 4711, "abcd", 10s, [&] { ++done; });
  run_until(loop, [&] { return done > 0; });
  REQUIRE(server.clients.size() == 1);
  CHECK(server.clients[0]->cancels == 4711);
  test::run_passes(loop);
  CHECK(done == 1);
}

TEST_CASE("nobody there, or nobody who answers") {
  net::Loop loop;
  test::SocketPair silent;
  test::SmallServer server(loop);
  int done = 0;
  SUBCASE("nobody there") { server.listener.reset(); }
  SUBCASE("nobody who answers") {
    server.listener.reset();
    auto listener = net::Listener::open(loop, server.endpoint, 4, 0600, [&](int fd, const net::PeerAddress&) {
      ::close(silent.outer);
      silent.outer = fd;  // kept open, never read
    });
    REQUIRE(listener.has_value());
    server.listener = std::move(*listener);
  }
  {
    pool::CancelCarrier carrier(loop, server.endpoint, 1, "abcd", 30ms, [&] { ++done; });
    CHECK(done == 0);
    run_until(loop, [&] { return done > 0; });
  }
  test::run_passes(loop);
  CHECK(done == 1);
  ::close(silent.inner);
}
