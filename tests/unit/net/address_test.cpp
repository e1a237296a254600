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

TEST_CASE("stream sockets are tuned; what is none has no peer") {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  tune_stream(fd);
  int on = 0;
  socklen_t size = sizeof on;
  REQUIRE(::getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &size) == 0);
  CHECK(on != 0);
  REQUIRE(::getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, &size) == 0);
  CHECK(on != 0);
  CHECK(peer_of(fd) == "unknown");
  ::close(fd);
  CHECK(peer_of(-1) == "unknown");
}
