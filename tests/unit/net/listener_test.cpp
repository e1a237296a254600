// Listening and connecting, over loopback and Unix sockets, and why they fail.
#include "net/listener.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "doctest/doctest.h"
#include "net/address.h"
#include "net/connector.h"
#include "unit/on_loop.h"

using namespace pgweir;
using namespace std::chrono_literals;
using test::run_passes;
using test::run_until;

namespace {

// A directory of this test alone.
struct Directory {
  Directory() {
    std::string pattern = "/tmp/pgweir-net-XXXXXX";
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path = pattern;
  }
  ~Directory() { std::filesystem::remove_all(path); }
  std::string path;
};

std::uint16_t port_of(int fd) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  REQUIRE(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  return ntohs(address.sin_port);
}

std::uint16_t free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  const std::uint16_t port = port_of(fd);
  ::close(fd);
  return port;
}

struct Outcome {
  int fd = -1;
  std::string error;
  int calls = 0;
  net::Connector::OnDone callback() {
    return [this](base::Result<int> result) {
      ++calls;
      if (result)
        fd = *result;
      else
        error = result.error().message;
    };
  }
  ~Outcome() {
    if (fd >= 0) ::close(fd);
  }
};

void close_it(int fd, const net::PeerAddress&) { ::close(fd); }

int option(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  REQUIRE(::getsockopt(fd, level, name, &value, &size) == 0);
  return value;
}

void exchange_a_byte(int from, int to) {
  REQUIRE(::send(from, "x", 1, MSG_NOSIGNAL) == 1);
  char got = 0;
  ssize_t count = -1;
  for (int i = 0; i < 1'000'000 && count < 0; ++i) count = ::recv(to, &got, 1, 0);
  CHECK(count == 1);
  CHECK(got == 'x');
}

}  // namespace

TEST_CASE("accept and connect") {
  Directory directory;
  for (const net::Endpoint& endpoint : {net::Endpoint{"127.0.0.1", free_port()}, net::Endpoint{directory.path, 5432}}) {
    CAPTURE(endpoint.text());
    net::Loop loop;
    int accepted = -1;
    net::PeerAddress peer;
    auto listener = net::Listener::open(loop, endpoint, 16, 0600, [&](int fd, const net::PeerAddress& from) {
      accepted = fd;
      peer = from;
    });
    REQUIRE(listener.has_value());
    Outcome outcome;
    {
      net::Connector connector(loop, endpoint, 5s, outcome.callback());
      CHECK(outcome.calls == 0);  // never from within the constructor
      run_until(loop, [&] { return outcome.calls > 0; });
    }
    CHECK(outcome.error.empty());
    REQUIRE(outcome.fd >= 0);
    // Over TCP a client that has said nothing is not accepted at once.
    REQUIRE(::send(outcome.fd, "y", 1, MSG_NOSIGNAL) == 1);
    run_until(loop, [&] { return accepted >= 0; });
    char got = 0;
    CHECK(::recv(accepted, &got, 1, 0) == 1);
    CHECK((::fcntl(outcome.fd, F_GETFL) & O_NONBLOCK) != 0);
    CHECK((::fcntl(accepted, F_GETFL) & O_NONBLOCK) != 0);
    exchange_a_byte(outcome.fd, accepted);
    CHECK(peer.is_tcp() != endpoint.is_unix());
    if (endpoint.is_unix()) {
      CHECK(peer.text() == "[local]");
    } else {
      CHECK(peer.text() == "127.0.0.1:" + std::to_string(port_of(outcome.fd)));
      CHECK(option(accepted, IPPROTO_TCP, TCP_NODELAY) != 0);
      CHECK(option(accepted, SOL_SOCKET, SO_KEEPALIVE) != 0);
    }
    ::close(accepted);
    listener->reset();
    run_passes(loop);
    Outcome refused;
    net::Connector late(loop, endpoint, 5s, refused.callback());
    run_until(loop, [&] { return refused.calls > 0; });
    CHECK(refused.error.find(endpoint.text()) != std::string::npos);
    CHECK(refused.calls == 1);
  }
}

TEST_CASE("a Unix socket's file has the mode asked for and goes with its listener") {
  Directory directory;
  net::Loop loop;
  const net::Endpoint endpoint{directory.path, 6432};
  CHECK(endpoint.unix_path() == directory.path + "/.s.PGSQL.6432");
  {
    auto listener = net::Listener::open(loop, endpoint, 16, 0640, close_it);
    REQUIRE(listener.has_value());
    struct stat found {};
    REQUIRE(::stat(endpoint.unix_path().c_str(), &found) == 0);
    CHECK((found.st_mode & 0777) == 0640);
    const auto second = net::Listener::open(loop, endpoint, 16, 0640, close_it);
    REQUIRE_FALSE(second.has_value());
    CHECK(second.error().message.find("another process") != std::string::npos);
    CHECK(std::filesystem::exists(endpoint.unix_path()));
  }
  CHECK_FALSE(std::filesystem::exists(endpoint.unix_path()));
}

TEST_CASE("a file left behind by a process that is gone does not stand in the way") {
  Directory directory;
  net::Loop loop;
  const net::Endpoint endpoint{directory.path, 1};
  std::filesystem::path kept = endpoint.unix_path() + ".kept";
  {
    auto listener = net::Listener::open(loop, endpoint, 16, 0600, close_it);
    REQUIRE(listener.has_value());
    std::filesystem::create_hard_link(endpoint.unix_path(), kept);
  }
  run_passes(loop);
  std::filesystem::rename(kept, endpoint.unix_path());
  CHECK(net::Listener::open(loop, endpoint, 16, 0600, close_it).has_value());
}

TEST_CASE("a socket takes clients before somebody accepts them, and many in one pass when there are many") {
  Directory directory;
  net::Loop loop;
  const net::Endpoint endpoint{directory.path, 2};
  auto socket = net::ListeningSocket::open(endpoint, 64, 0600);
  REQUIRE(socket.has_value());
  std::vector<std::unique_ptr<Outcome>> outcomes;
  std::vector<std::unique_ptr<net::Connector>> connectors;
  for (int i = 0; i < 40; ++i) {
    outcomes.push_back(std::make_unique<Outcome>());
    connectors.push_back(std::make_unique<net::Connector>(loop, endpoint, 5s, outcomes.back()->callback()));
  }
  run_until(loop, [&] { return outcomes.back()->calls > 0; });
  int accepted = 0;
  const auto count = [&](int fd, const net::PeerAddress& peer) {
    ++accepted;
    close_it(fd, peer);
  };
  net::Listener listener(loop, std::move(*socket), count);
  int passes = 0;
  run_until(loop, [&] { return ++passes > 0 && accepted == 40; });
  CHECK(passes < 20);
  CHECK(std::filesystem::exists(endpoint.unix_path()));
}

TEST_CASE("why a listener cannot be opened") {
  net::Loop loop;
  const auto reason = [&](const net::Endpoint& endpoint) {
    const auto opened = net::Listener::open(loop, endpoint, 16, 0600, close_it);
    REQUIRE_FALSE(opened.has_value());
    CHECK(opened.error().message.find(endpoint.text()) != std::string::npos);
    return opened.error().message;
  };
  const net::Endpoint taken{"127.0.0.1", free_port()};
  const auto listener = net::Listener::open(loop, taken, 16, 0600, close_it);
  REQUIRE(listener.has_value());
  CHECK(reason(taken).find("in use") != std::string::npos);
  CHECK(reason({"/" + std::string(200, 'x'), 1}).find("too long") != std::string::npos);
  CHECK(reason({"/nowhere/at/all", 1}).find("No such file") != std::string::npos);
  reason({"192.0.2.1", 1});  // not ours (RFC 5737)
}
