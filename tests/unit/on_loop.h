// Driving an event loop from a test: until something has happened, or far too much time has passed.
#pragma once
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "doctest/doctest.h"
#include "net/connection.h"
#include "net/loop.h"
#include "net/timer.h"

namespace pgweir::test {

/// After this long a test has failed; none waits for it to pass.
constexpr std::chrono::seconds kTooLong{20};

/// Runs the loop until `done` says so, looking after each pass.
inline void run_until(net::Loop& loop, const std::function<bool()>& done) {
  bool late = false;
  net::Timer limit(loop, [&] {
    late = true;
    loop.stop();
  });
  net::Timer look(loop, [&] {
    if (done()) loop.stop();
  });
  limit.start(kTooLong);
  look.start_repeating(std::chrono::milliseconds(1));
  loop.run();
  CHECK_FALSE(late);
}

/// Lets the loop go round so often that whatever is ready has been handled.
inline void run_passes(net::Loop& loop, int passes = 5) {
  int left = passes;
  run_until(loop, [&] { return --left <= 0; });
}

/// Two connected stream sockets: one for a Connection, one that the test reads and writes itself (both non-blocking).
struct SocketPair {
  SocketPair() {
    std::array<int, 2> both{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, both.data()) == 0);
    inner = both[0];
    outer = both[1];
  }
  ~SocketPair() { close(); }
  SocketPair(const SocketPair&) = delete;
  SocketPair& operator=(const SocketPair&) = delete;
  void close() {
    if (outer >= 0) ::close(outer);
    outer = -1;
  }
  void send(std::string_view bytes) const {
    REQUIRE(::send(outer, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
  }
  /// All that has arrived.
  [[nodiscard]] std::string receive() const {
    std::string out;
    std::array<char, 65536> room{};
    for (ssize_t got = 0; (got = ::recv(outer, room.data(), room.size(), 0)) > 0;)
      out.append(room.data(), static_cast<std::size_t>(got));
    return out;
  }
  /// True when the other side has closed.
  [[nodiscard]] bool at_end() const {
    char one = 0;
    return ::recv(outer, &one, 1, MSG_PEEK) == 0;
  }

  int inner = -1;  ///< to be given away
  int outer = -1;
};

/// A handler made of functions; by default it consumes everything and remembers it.
struct Recorder : net::Connection::Handler {
  std::size_t on_data(net::Connection& connection, std::string_view bytes) override {
    if (data) return data(connection, bytes);
    received.append(bytes);
    return bytes.size();
  }
  void on_end(net::Connection& connection, std::string_view error) override {
    ++ends;
    end_error = error;
    if (end) end(connection);
  }
  void on_drained(net::Connection& connection) override {
    ++drains;
    if (drained) drained(connection);
  }

  std::function<std::size_t(net::Connection&, std::string_view)> data;
  std::function<void(net::Connection&)> end;
  std::function<void(net::Connection&)> drained;
  std::string received, end_error;
  int ends = 0, drains = 0;
};

}  // namespace pgweir::test
