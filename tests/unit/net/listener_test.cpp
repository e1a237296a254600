// Listening and connecting, over loopback and Unix sockets, and why they fail.
#include "net/listener.h"

#include <netinet/in.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

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

// The port of a listening or bound TCP socket.
std::uint16_t free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  REQUIRE(::bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0);
  REQUIRE(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  ::close(fd);
  return ntohs(address.sin_port);
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
    auto listener = net::Listener::open(loop, endpoint, 16, 0600, [&](int fd) { accepted = fd; });
    REQUIRE(listener.has_value());
    Outcome outcome;
    {
      net::Connector connector(loop, endpoint, 5s, outcome.callback());
      CHECK(outcome.calls == 0);  // never from within the constructor
      run_until(loop, [&] { return accepted >= 0 && outcome.calls > 0; });
    }
    CHECK(outcome.error.empty());
    REQUIRE(outcome.fd >= 0);
    CHECK((::fcntl(outcome.fd, F_GETFL) & O_NONBLOCK) != 0);
    CHECK((::fcntl(accepted, F_GETFL) & O_NONBLOCK) != 0);
    exchange_a_byte(outcome.fd, accepted);
    CHECK(net::peer_of(outcome.fd) == (endpoint.is_unix() ? "[local]" : endpoint.text()));
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
    auto listener = net::Listener::open(loop, endpoint, 16, 0640, [](int fd) { ::close(fd); });
    REQUIRE(listener.has_value());
    struct stat found {};
    REQUIRE(::stat(endpoint.unix_path().c_str(), &found) == 0);
    CHECK((found.st_mode & 0777) == 0640);
    const auto second = net::Listener::open(loop, endpoint, 16, 0640, [](int fd) { ::close(fd); });
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
    auto listener = net::Listener::open(loop, endpoint, 16, 0600, [](int fd) { ::close(fd); });
    REQUIRE(listener.has_value());
    std::filesystem::create_hard_link(endpoint.unix_path(), kept);
  }
  run_passes(loop);
  std::filesystem::rename(kept, endpoint.unix_path());
  CHECK(net::Listener::open(loop, endpoint, 16, 0600, [](int fd) { ::close(fd); }).has_value());
}

TEST_CASE("why a listener cannot be opened") {
  net::Loop loop;
  const auto reason = [&](const net::Endpoint& endpoint) {
    const auto opened = net::Listener::open(loop, endpoint, 16, 0600, [](int fd) { ::close(fd); });
    REQUIRE_FALSE(opened.has_value());
    CHECK(opened.error().message.find(endpoint.text()) != std::string::npos);
    return opened.error().message;
  };
  const net::Endpoint taken{"127.0.0.1", free_port()};
  const auto listener = net::Listener::open(loop, taken, 16, 0600, [](int fd) { ::close(fd); });
  REQUIRE(listener.has_value());
  CHECK(reason(taken).find("in use") != std::string::npos);
  CHECK(reason({"/" + std::string(200, 'x'), 1}).find("too long") != std::string::npos);
  CHECK(reason({"/nowhere/at/all", 1}).find("No such file") != std::string::npos);
  reason({"192.0.2.1", 1});  // not ours (RFC 5737)
}
