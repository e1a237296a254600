// What the one byte that answers SSLRequest leads to. The handshakes behind it: tests/integration/test_tls.py.
#include "pool/server_tls.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <optional>
#include <string>

#include "doctest/doctest.h"
#include "pool/server_connection.h"
#include "unit/on_loop.h"

using namespace pgweir;
using pool::ServerTls;
using pool::SslAnswer;

TEST_CASE("yes is yes, no is an error where TLS must be, and anything else always") {
  for (const auto wish : {ServerTls::Wish::if_offered, ServerTls::Wish::always}) {
    const ServerTls tls{wish, nullptr, {}};
    CHECK(*pool::take_ssl_answer('S', tls) == SslAnswer::yes);
    for (const char other : {'E', 'R', '\0', '\x16', '\xff', 's', 'n'})
      CHECK(pool::take_ssl_answer(other, tls).error().sqlstate == base::sqlstate::protocol_violation);
  }
  CHECK(*pool::take_ssl_answer('N', {ServerTls::Wish::if_offered, nullptr, {}}) == SslAnswer::no);
  CHECK(pool::take_ssl_answer('N', {ServerTls::Wish::always, nullptr, {}}).error().message ==
        "server does not support SSL, but SSL was required");
}

namespace {

// Listens on loopback; the test reads and writes its one client itself.
struct RawServer {
  RawServer() : listener(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    REQUIRE(::bind(listener, reinterpret_cast<sockaddr*>(&address), size) == 0);
    REQUIRE(::listen(listener, 1) == 0);
    REQUIRE(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port = ntohs(address.sin_port);
  }
  ~RawServer() {
    ::close(listener);
    if (client >= 0) ::close(client);
  }
  RawServer(const RawServer&) = delete;
  RawServer& operator=(const RawServer&) = delete;
  void read() {
    if (client < 0) client = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    std::array<char, 1024> room{};
    for (ssize_t got = 0; client >= 0 && (got = ::recv(client, room.data(), room.size(), 0)) > 0;)
      received.append(room.data(), static_cast<std::size_t>(got));
  }
  int listener, client = -1;
  std::uint16_t port = 0;
  std::string received;
};

}  // namespace

TEST_CASE("a server that cannot be trusted with it gets no word in plain text") {
  using namespace std::string_literals;
  struct Row {
    std::string answer;
    std::string_view error;
  };
  for (const Row& row : {Row{"SR\0\0\0\x08\0\0\0\0"s, "received unencrypted data after SSL request"},
                         Row{"N"s, "server does not support SSL, but SSL was required"},
                         Row{"NR\0\0\0\x08\0\0\0\0"s, "server does not support SSL, but SSL was required"},
                         Row{"E"s, "received invalid response to SSL negotiation: code 69"}}) {
    INFO(row.error);
    net::Loop loop;
    RawServer server;
    pool::ServerIdentity identity;
    identity.endpoint = {"127.0.0.1", server.port};
    identity.tls = {ServerTls::Wish::always, *net::TlsContext::for_client({}), {}};
    pool::ServerConnection connection(loop, std::move(identity), [](pool::ServerConnection&) {});
    std::optional<base::Result<bool>> result;
    connection.open("alice", "db", {.password = base::SecretText("secret")}, std::chrono::seconds(10),
                    [&](pool::ServerConnection&, base::Result<bool> how) { result = std::move(how); });
    test::run_until(loop, [&] {
      server.read();
      return server.received.size() == 8;
    });
    REQUIRE(::send(server.client, row.answer.data(), row.answer.size(), MSG_NOSIGNAL) > 0);
    test::run_until(loop, [&] { return result.has_value(); });
    REQUIRE_FALSE(result->has_value());
    CHECK(result->error().message.find(row.error) != std::string::npos);
    test::run_passes(loop);
    server.read();
    CHECK(server.received.size() == 8);
    CHECK_FALSE(connection.identity().encrypted);
  }
}

TEST_CASE("where TLS is only preferred, a server without it gets the start-up message") {
  net::Loop loop;
  RawServer server;
  pool::ServerIdentity identity;
  identity.endpoint = {"127.0.0.1", server.port};
  identity.tls = {ServerTls::Wish::if_offered, *net::TlsContext::for_client({}), {}};
  pool::ServerConnection connection(loop, std::move(identity), [](pool::ServerConnection&) {});
  connection.open("alice", "db", pool::ServerCredentials{}, std::chrono::seconds(10), [](pool::ServerConnection&, auto) {});
  test::run_until(loop, [&] {
    server.read();
    return server.received.size() == 8;
  });
  REQUIRE(::send(server.client, "N", 1, MSG_NOSIGNAL) == 1);
  test::run_until(loop, [&] {
    server.read();
    return server.received.find("alice") != std::string::npos;
  });
  CHECK_FALSE(connection.identity().encrypted);
  connection.kill();
}
