// Endpoints as text, and the options of stream sockets.
#include "net/address.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "doctest/doctest.h"

using namespace pgweir::net;

TEST_CASE("an endpoint is TCP, or a Unix socket in a directory") {
  const Endpoint tcp{"db.example", 5432};
  CHECK_FALSE(tcp.is_unix());
  CHECK(tcp.text() == "db.example:5432");
  const Endpoint local{"/run/postgresql", 5433};
  CHECK(local.is_unix());
  CHECK(local.text() == "/run/postgresql/.s.PGSQL.5433");
  CHECK_FALSE(Endpoint{}.is_unix());
}

TEST_CASE("stream sockets are tuned") {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  tune_stream(fd);
  int on = 0;
  socklen_t size = sizeof on;
  REQUIRE(::getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &size) == 0);
  CHECK(on != 0);
  REQUIRE(::getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, &size) == 0);
  CHECK(on != 0);
  ::close(fd);
}

TEST_CASE("a peer's address as text") {
  CHECK(PeerAddress().text() == "[local]");
  sockaddr_storage storage{};
  storage.ss_family = AF_UNIX;
  CHECK(PeerAddress(storage, 2).text() == "[local]");
  CHECK_FALSE(PeerAddress(storage, 2).is_tcp());
  auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
  v4.sin_family = AF_INET;
  v4.sin_port = htons(5433);
  v4.sin_addr.s_addr = htonl(0xc0000201);
  CHECK(PeerAddress(storage, sizeof v4).text() == "192.0.2.1:5433");
  CHECK(PeerAddress(storage, sizeof v4).is_tcp());
  storage = {};
  auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(5434);
  v6.sin6_addr = in6addr_loopback;
  CHECK(PeerAddress(storage, sizeof v6).text() == "[::1]:5434");
}
