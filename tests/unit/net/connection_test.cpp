// A connection over a socket pair: bytes in order both ways, back-pressure, ends, and destruction at bad moments.
#include "net/connection.h"

#include <netinet/in.h>

#include <memory>
#include <optional>
#include <random>
#include <string>

#include "doctest/doctest.h"
#include "unit/on_loop.h"

using namespace pgweir;
using test::Recorder;
using test::run_passes;
using test::run_until;
using test::SocketPair;

namespace {

std::string pattern(std::size_t size) {
  std::mt19937 random(20252);
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(random() & 0xffU);
  return bytes;
}

// A connection with everything around it, in the order in which it may be taken down.
struct Fixture {
  net::Loop loop;
  SocketPair pair;
  Recorder recorder;
  std::unique_ptr<net::Connection> connection = std::make_unique<net::Connection>(loop, pair.inner, recorder);
};

}  // namespace

TEST_CASE("bytes arrive as they were sent, and leave at the end of the pass") {
  Fixture f;
  f.pair.send("hello");
  run_until(f.loop, [&] { return f.recorder.received == "hello"; });
  f.connection->write("a");
  f.connection->output().append("b");
  f.connection->write("c");
  CHECK(f.connection->unsent() == 3);
  CHECK(f.pair.receive().empty());
  run_passes(f.loop);
  CHECK(f.connection->unsent() == 0);
  CHECK(f.pair.receive() == "abc");
}

TEST_CASE("what is not consumed is shown again with what comes") {
  Fixture f;
  std::vector<std::string> seen;
  f.recorder.data = [&](net::Connection&, std::string_view bytes) {
    seen.emplace_back(bytes);
    return bytes.size() < 6 ? 1 : bytes.size();
  };
  f.pair.send("abc");
  run_until(f.loop, [&] { return seen.size() == 1; });
  CHECK(f.connection->unread() == 2);
  f.connection->redeliver();
  f.pair.send("defgh");
  run_until(f.loop, [&] { return seen.size() == 3; });
  CHECK(seen == std::vector<std::string>{"abc", "bc", "cdefgh"});
  CHECK(f.connection->unread() == 0);
  f.connection->redeliver();  // nothing to show
  CHECK(seen.size() == 3);
}

TEST_CASE("a message far larger than the scratch buffer is gathered") {
  Fixture f;
  const std::string whole = pattern(5 * net::Loop::kScratchBytes + 17);
  std::string got;
  f.recorder.data = [&](net::Connection&, std::string_view bytes) -> std::size_t {
    if (bytes.size() < whole.size()) return 0;
    got = bytes;
    return bytes.size();
  };
  std::size_t sent = 0;
  run_until(f.loop, [&] {
    const ssize_t now = ::send(f.pair.outer, whole.data() + sent, whole.size() - sent, MSG_NOSIGNAL);
    if (now > 0) sent += static_cast<std::size_t>(now);
    return !got.empty();
  });
  CHECK(got == whole);
  CHECK(f.connection->unread() == 0);
}

TEST_CASE("partial reads of every size give the same bytes") {
  const std::string whole = pattern(3000);
  for (const std::size_t step : {1U, 7U, 1000U}) {
    Fixture f;
    std::string got;
    f.recorder.data = [&](net::Connection&, std::string_view bytes) {
      const std::size_t take = bytes.size() / 2 + (bytes.size() == 1 ? 1 : 0);
      got.append(bytes.substr(0, take));
      return take;
    };
    for (std::size_t at = 0; at < whole.size(); at += 300) {
      f.pair.send(std::string_view(whole).substr(at, 300));
      run_passes(f.loop, 2);
    }
    for (std::size_t i = 0; got.size() < whole.size() && i < whole.size(); i += step) f.connection->redeliver();
    while (got.size() < whole.size() && f.connection->unread() > 0) f.connection->redeliver();
    CHECK(got == whole);
  }
}

TEST_CASE("a peer that does not read is not drowned: unsent grows, and draining is told once") {
  for (const bool through : {false, true}) {
    Fixture f;
    const std::string whole = pattern(4 * 1024 * 1024);
    const auto write = [&](std::string_view bytes) {
      if (through)
        f.connection->write_through(bytes);
      else
        f.connection->write(bytes);
    };
    for (std::size_t at = 0; at < whole.size(); at += 100'000) write(std::string_view(whole).substr(at, 100'000));
    run_passes(f.loop);
    CHECK(f.connection->unsent() > 1024 * 1024);
    constexpr std::size_t kMark = 256 * 1024;
    f.connection->notify_when_drained(kMark);
    run_passes(f.loop);
    CHECK(f.recorder.drains == 0);
    f.recorder.drained = [&](net::Connection& connection) { CHECK(connection.unsent() <= kMark / 2); };
    std::string got;
    run_until(f.loop, [&] {
      got += f.pair.receive();
      return got.size() == whole.size();
    });
    CHECK(got == whole);
    run_passes(f.loop);
    CHECK(f.recorder.drains == 1);
    CHECK(f.connection->unsent() == 0);
  }
}

TEST_CASE("writing through keeps the order with what was queued before and comes after") {
  Fixture f;
  const std::string large = pattern(100'000);
  f.connection->write("before");
  f.connection->write_through(large);
  f.connection->write("after");
  std::string got;
  run_until(f.loop, [&] {
    got += f.pair.receive();
    return got.size() == large.size() + 11;
  });
  CHECK(got == "before" + large + "after");
}

TEST_CASE("nothing is delivered while reading is paused, nothing is lost") {
  Fixture f;
  f.connection->pause_reading();
  CHECK_FALSE(f.connection->reading());
  f.pair.send("abc");
  f.pair.close();
  run_passes(f.loop);
  CHECK(f.recorder.received.empty());
  CHECK(f.recorder.ends == 0);
  f.connection->resume_reading();
  run_until(f.loop, [&] { return f.recorder.ends == 1; });
  CHECK(f.recorder.received == "abc");
  CHECK(f.recorder.end_error.empty());
  CHECK(f.connection->ended());
}

TEST_CASE("pausing within the handler holds the next bytes back") {
  Fixture f;
  f.recorder.data = [&](net::Connection& connection, std::string_view bytes) {
    f.recorder.received.append(bytes);
    connection.pause_reading();
    return bytes.size();
  };
  f.pair.send("a");
  run_until(f.loop, [&] { return f.recorder.received == "a"; });
  f.pair.send("b");
  run_passes(f.loop);
  CHECK(f.recorder.received == "a");
  f.connection->resume_reading();
  run_until(f.loop, [&] { return f.recorder.received == "ab"; });
}

TEST_CASE("the end is told once, after the last bytes; writing goes on without harm") {
  Fixture f;
  f.pair.send("last");
  f.pair.close();
  run_until(f.loop, [&] { return f.recorder.ends == 1; });
  CHECK(f.recorder.received == "last");
  f.connection->write("to nobody");
  f.connection->write_through(pattern(50'000));
  run_passes(f.loop);
  CHECK(f.recorder.ends == 1);
  CHECK(f.connection->unsent() == 0);
}

TEST_CASE("half an end: the peer sends no more and still reads") {
  Fixture f;
  f.pair.send("question");
  REQUIRE(::shutdown(f.pair.outer, SHUT_WR) == 0);
  f.recorder.end = [](net::Connection& connection) { connection.write("answer"); };
  run_until(f.loop, [&] { return f.recorder.ends == 1; });
  run_passes(f.loop);
  CHECK(f.pair.receive() == "answer");
}

TEST_CASE("an end behind what is not read can be asked for") {
  Fixture f;
  f.connection->pause_reading();
  f.pair.send("unread");
  run_passes(f.loop);
  CHECK_FALSE(f.connection->peer_has_ended());
  ::shutdown(f.pair.outer, SHUT_WR);
  run_passes(f.loop);
  CHECK(f.connection->peer_has_ended());
  CHECK(f.recorder.received.empty());
  f.connection->resume_reading();
  run_until(f.loop, [&] { return f.connection->ended(); });
  CHECK(f.recorder.received == "unread");
  CHECK(f.connection->peer_has_ended());
}

TEST_CASE("a reset by the peer is an end with a reason") {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  REQUIRE(::bind(listener, reinterpret_cast<sockaddr*>(&address), size) == 0);
  REQUIRE(::listen(listener, 1) == 0);
  REQUIRE(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  const int client = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  REQUIRE(::connect(client, reinterpret_cast<sockaddr*>(&address), size) == 0);
  const int server = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  REQUIRE(server >= 0);

  net::Loop loop;
  Recorder recorder;
  net::Connection connection(loop, server, recorder);
  const linger at_once{1, 0};
  REQUIRE(::setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) == 0);
  ::close(client);
  ::close(listener);
  run_until(loop, [&] { return recorder.ends == 1; });
  CHECK_FALSE(recorder.end_error.empty());
}

TEST_CASE("a connection may be destroyed within each of its callbacks") {
  Fixture f;
  SUBCASE("on data") {
    f.recorder.data = [&](net::Connection&, std::string_view bytes) {
      f.connection.reset();
      return bytes.size();
    };
    f.pair.send("x");
  }
  SUBCASE("on data that was left over") {
    int calls = 0;
    f.recorder.data = [&, calls](net::Connection&, std::string_view) mutable -> std::size_t {
      if (++calls == 2) f.connection.reset();
      return 0;
    };
    f.pair.send("x");
    run_until(f.loop, [&] { return f.connection->unread() == 1; });
    f.connection->redeliver();
  }
  SUBCASE("on the end") {
    f.recorder.end = [&](net::Connection&) { f.connection.reset(); };
    f.pair.close();
  }
  SUBCASE("on drained") {
    f.recorder.drained = [&](net::Connection&) { f.connection.reset(); };
    f.connection->write("x");
    f.connection->notify_when_drained(10);
  }
  run_until(f.loop, [&] { return f.connection == nullptr; });
  run_passes(f.loop);
  CHECK((f.pair.outer < 0 || f.pair.at_end() || f.recorder.drains == 1));
}

TEST_CASE("one connection may destroy another in the same pass") {
  net::Loop loop;
  SocketPair first, second;
  Recorder one, other;
  auto a = std::make_unique<net::Connection>(loop, first.inner, one);
  auto b = std::make_unique<net::Connection>(loop, second.inner, other);
  const auto killer = [](std::unique_ptr<net::Connection>& victim) {
    return [&victim](net::Connection&, std::string_view bytes) {
      victim.reset();
      return bytes.size();
    };
  };
  one.data = killer(b);
  other.data = killer(a);
  a->write("flushed after all");
  b->write("flushed after all");
  first.send("x");
  second.send("x");
  run_until(loop, [&] { return a == nullptr || b == nullptr; });
  run_passes(loop);
  CHECK((a == nullptr) != (b == nullptr));
}

TEST_CASE("closing sends what there is to send, once") {
  Fixture f;
  f.connection->write("goodbye");
  f.connection->close();
  f.connection->close();
  f.connection->write("too late");
  run_passes(f.loop);
  CHECK(f.pair.receive() == "goodbye");
  CHECK(f.pair.at_end());
  CHECK(f.recorder.ends == 0);
}

TEST_CASE("the descriptor can be given away, within a callback too, and goes on elsewhere") {
  for (const bool split : {false, true}) {
    Fixture f;
    std::optional<net::DetachedSocket> socket;
    f.recorder.data = [&](net::Connection& connection, std::string_view bytes) -> std::size_t {
      if (bytes.size() < 4) return 0;
      socket.emplace(connection.release());
      return bytes.size();
    };
    if (split) {
      f.pair.send("ab");
      run_until(f.loop, [&] { return f.connection->unread() == 2; });
      f.pair.send("cd");
    } else {
      f.pair.send("abcd");
    }
    run_until(f.loop, [&] { return socket.has_value(); });
    net::Loop other;
    Recorder recorder;
    net::Connection moved(other, std::move(*socket), recorder);
    f.pair.send("efg");
    moved.write("answer");
    run_until(other, [&] { return recorder.received == "efg"; });
    run_passes(other);
    CHECK(f.pair.receive() == "answer");
  }
}
