// Attempts that come to nothing; those that succeed are in listener_test.cpp.
#include "net/connector.h"

#include <netinet/in.h>

#include <array>
#include <memory>
#include <string>

#include "doctest/doctest.h"
#include "unit/on_loop.h"

using namespace pgweir;
using namespace std::chrono_literals;
using test::run_passes;
using test::run_until;

namespace {

std::string failure(net::Loop& loop, const net::Endpoint& endpoint, base::Duration timeout) {
  std::string message;
  base::Sqlstate code;
  int calls = 0;
  net::Connector connector(loop, endpoint, timeout, [&](base::Result<int> result) {
    ++calls;
    REQUIRE_FALSE(result.has_value());
    message = result.error().message;
    code = result.error().sqlstate;
  });
  run_until(loop, [&] { return calls > 0; });
  run_passes(loop);
  CHECK(calls == 1);
  CHECK(code == base::sqlstate::connection_failure);
  CHECK(message.find(endpoint.text()) != std::string::npos);
  return message;
}

}  // namespace

TEST_CASE("why a connection cannot be made") {
  net::Loop loop;
  CHECK(failure(loop, {"/nowhere/at/all", 5432}, 5s).find("No such file") != std::string::npos);
  CHECK(failure(loop, {"/" + std::string(200, 'x'), 5432}, 5s).find("too long") != std::string::npos);
  failure(loop, {"not a host name", 5432}, 5s);
  CHECK(failure(loop, {"127.0.0.1", 1}, 5s).find("refused") != std::string::npos);
}

TEST_CASE("a server that does not answer is given up in time") {
  // A full backlog: the kernel leaves further attempts unanswered.
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  REQUIRE(::bind(listener, reinterpret_cast<sockaddr*>(&address), size) == 0);
  REQUIRE(::listen(listener, 0) == 0);
  REQUIRE(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  std::array<int, 4> fillers{};
  for (int& filler : fillers) {
    filler = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ::connect(filler, reinterpret_cast<sockaddr*>(&address), size);
  }
  net::Loop loop;
  const net::Endpoint endpoint{"127.0.0.1", ntohs(address.sin_port)};
  CHECK(failure(loop, endpoint, 50ms).find("no answer in time") != std::string::npos);
  for (const int filler : fillers) ::close(filler);
  ::close(listener);
}

TEST_CASE("giving an attempt up means never being called") {
  net::Loop loop;
  int calls = 0;
  const auto count = [&](base::Result<int> result) {
    ++calls;
    if (result) ::close(*result);
  };
  for (const net::Endpoint& endpoint :
       {net::Endpoint{"127.0.0.1", 1}, net::Endpoint{"localhost", 1}, net::Endpoint{"/nowhere", 1}}) {
    auto connector = std::make_unique<net::Connector>(loop, endpoint, 5s, count);
    connector.reset();
    run_passes(loop, 20);
  }
  CHECK(calls == 0);
}

TEST_CASE("an attempt may be destroyed within its own callback") {
  net::Loop loop;
  for (const net::Endpoint& endpoint : {net::Endpoint{"127.0.0.1", 1}, net::Endpoint{"/nowhere", 1}}) {
    std::unique_ptr<net::Connector> connector;
    bool called = false;
    connector = std::make_unique<net::Connector>(loop, endpoint, 5s, [&](base::Result<int>) {
      connector.reset();
      called = true;
    });
    run_until(loop, [&] { return called; });
    CHECK(connector == nullptr);
  }
}
