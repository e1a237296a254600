// Two connections with TLS over a socket pair, each on the same loop: the promises of connection_test.cpp hold inside
// TLS.
#include <memory>
#include <optional>
#include <random>
#include <string>

#include "net/connection.h"
#include "net/tls_context.h"
#include "net/tls_stream.h"
#include "unit/net/certificates.h"
#include "unit/on_loop.h"

using namespace pgweir;
using test::Recorder;
using test::run_passes;
using test::run_until;
using Early = net::Connection::Early;

namespace {

struct Contexts {
  Contexts() {
    test::TemporaryDirectory directory;
    test::Authority authority(directory, "root");
    const auto files = authority.issue("server");
    server = *net::TlsContext::for_server({files.certificate, files.key, {}, {}, {}, {}, {}});
    client = *net::TlsContext::for_client({});
    picky_client = *net::TlsContext::for_client({test::Authority(directory, "stranger").file, {}, {}, {}, {}});
  }
  std::shared_ptr<const net::TlsContext> server, client, picky_client;
};

const Contexts& contexts() {
  static const Contexts made;
  return made;
}

struct Side : Recorder {
  void on_secured(net::Connection&) override { ++secured; }
  int secured = 0;
};

struct Fixture {
  net::Loop loop;
  test::SocketPair pair;
  Side server, client;
  std::unique_ptr<net::Connection> to_client = std::make_unique<net::Connection>(loop, pair.inner, server);
  std::unique_ptr<net::Connection> to_server =
      std::make_unique<net::Connection>(loop, std::exchange(pair.outer, -1), client);

  explicit Fixture(bool start = true) {
    if (!start) return;
    to_client->start_tls(contexts().server->accept(), Early::forbidden);
    to_server->start_tls(contexts().client->connect({}), Early::forbidden);
    run_until(loop, [&] { return server.secured == 1 && client.secured == 1; });
  }
};

std::string pattern(std::size_t size) {
  std::mt19937 random(20252);
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(random() & 0xffU);
  return bytes;
}

}  // namespace

TEST_CASE("TLS: what is said on one side is heard on the other") {
  Fixture f;
  f.to_server->write("hello");
  run_until(f.loop, [&] { return f.server.received == "hello"; });
  f.to_client->write("a");
  f.to_client->output().append("b");
  run_until(f.loop, [&] { return f.client.received == "ab"; });
  CHECK(f.to_client->unsent() == 0);
  CHECK(f.to_client->tls() != nullptr);
}

TEST_CASE("TLS: what is written before the handshake is over goes out after it, inside") {
  Fixture f(false);
  f.to_client->start_tls(contexts().server->accept(), Early::forbidden);
  f.to_client->write("early answer");
  run_passes(f.loop);
  CHECK(f.to_client->unsent() >= 12);
  f.to_server->start_tls(contexts().client->connect({}), Early::forbidden);
  run_until(f.loop, [&] { return f.client.received == "early answer"; });
}

TEST_CASE("TLS: many bytes both ways, a few or many at a time, arrive as they were") {
  const std::string whole = pattern(3'000'000);
  for (const std::size_t piece : {777U, 16384U, 16385U, 60'000U, 300'000U}) {
    Fixture f;
    for (std::size_t at = 0; at < whole.size(); at += piece) {
      const auto part = std::string_view(whole).substr(at, piece);
      f.to_client->write_through(part);
      f.to_server->write(part);
      if (f.to_client->unsent() > 500'000 || f.to_server->unsent() > 500'000) run_passes(f.loop, 2);
    }
    run_until(f.loop,
              [&] { return f.client.received.size() >= whole.size() && f.server.received.size() >= whole.size(); });
    CHECK(f.client.received == whole);
    CHECK(f.server.received == whole);
  }
}

TEST_CASE("TLS: what is not consumed is shown again with what comes, and gathered when it is long") {
  Fixture f;
  const std::string whole = pattern(5 * net::Loop::kScratchBytes + 17);
  std::string got;
  f.server.data = [&](net::Connection&, std::string_view bytes) -> std::size_t {
    if (bytes.size() < whole.size()) return 0;
    got = bytes;
    return bytes.size();
  };
  for (std::size_t at = 0; at < whole.size(); at += 1000) {
    f.to_server->write(std::string_view(whole).substr(at, 1000));
    run_passes(f.loop, 1);
  }
  run_until(f.loop, [&] { return !got.empty(); });
  CHECK(got == whole);
  CHECK(f.to_client->unread() == 0);
}

TEST_CASE("TLS: a peer that does not read is not drowned, and draining is told once") {
  for (const bool through : {false, true}) {
    Fixture f;
    f.to_server->pause_reading();
    const std::string whole = pattern(4 * 1024 * 1024);
    for (std::size_t at = 0; at < whole.size(); at += 100'000) {
      const auto part = std::string_view(whole).substr(at, 100'000);
      if (through)
        f.to_client->write_through(part);
      else
        f.to_client->write(part);
    }
    run_passes(f.loop);
    CHECK(f.to_client->unsent() > 1024 * 1024);
    constexpr std::size_t kMark = 256 * 1024;
    f.to_client->notify_when_drained(kMark);
    run_passes(f.loop);
    CHECK(f.server.drains == 0);
    f.server.drained = [&](net::Connection& connection) { CHECK(connection.unsent() <= kMark / 2); };
    f.to_server->resume_reading();
    run_until(f.loop, [&] { return f.client.received.size() == whole.size(); });
    CHECK(f.client.received == whole);
    run_passes(f.loop);
    CHECK(f.server.drains == 1);
    CHECK(f.to_client->unsent() == 0);
  }
}

TEST_CASE("TLS: a reader that pauses misses nothing, the end not either") {
  Fixture f;
  std::string got;
  f.server.data = [&](net::Connection& connection, std::string_view bytes) -> std::size_t {
    got += bytes.front();
    if (got.size() == 1) connection.pause_reading();
    return 1;
  };
  f.to_server->write("abc");
  f.to_server->close();  // says its end in the same breath
  run_until(f.loop, [&] { return got == "a"; });
  run_passes(f.loop);
  CHECK(f.server.ends == 0);
  CHECK(f.to_client->unread() == 2);
  f.to_client->redeliver();
  f.to_client->redeliver();
  CHECK(got == "abc");
  f.to_client->resume_reading();
  run_until(f.loop, [&] { return f.server.ends == 1; });
  CHECK(f.server.end_error.empty());
}

TEST_CASE("TLS: closing sends what there is to send, and an orderly end") {
  Fixture f;
  f.to_client->write("goodbye");
  f.to_client->close();
  run_until(f.loop, [&] { return f.client.ends == 1; });
  CHECK(f.client.received == "goodbye");
  CHECK(f.client.end_error.empty());
  CHECK(f.server.ends == 0);
}

TEST_CASE("TLS: being cut off is no orderly end") {
  Fixture f(false);
  // The outer side is a test's own: it ends without a word of TLS.
  test::SocketPair raw;
  Side side;
  net::Connection connection(f.loop, raw.inner, side);
  connection.start_tls(contexts().server->accept(), Early::forbidden);
  raw.close();
  run_until(f.loop, [&] { return side.ends == 1; });
  CHECK(side.end_error == "SSL connection has been closed unexpectedly");
}

TEST_CASE("TLS: bytes behind the request for TLS are never taken") {
  net::Loop loop;
  test::SocketPair raw;
  Side side;
  net::Connection connection(loop, raw.inner, side);
  side.data = [&](net::Connection& here, std::string_view bytes) -> std::size_t {
    side.received += bytes.substr(0, 8);
    here.write("S");
    here.start_tls(contexts().server->accept(), Early::forbidden);
    return 8;
  };
  raw.send("request!evil plain text");
  run_until(loop, [&] { return side.ends == 1; });
  CHECK(side.end_error == "received unencrypted data after SSL request");
  CHECK(side.received == "request!");
  CHECK(side.secured == 0);
}

TEST_CASE("TLS: it can begin with bytes that are here already") {
  net::Loop loop;
  test::SocketPair raw;
  Side server, client;
  net::Connection to_client(loop, raw.inner, server);
  net::Connection to_server(loop, std::exchange(raw.outer, -1), client);
  server.data = [&](net::Connection& here, std::string_view bytes) -> std::size_t {
    if (here.tls() == nullptr) {
      CHECK(bytes.front() == '\x16');
      here.start_tls(contexts().server->accept(), Early::is_tls);
      return 0;
    }
    server.received += bytes;
    return bytes.size();
  };
  to_server.start_tls(contexts().client->connect({}), Early::forbidden);
  to_server.write("inside");
  run_until(loop, [&] { return server.received == "inside"; });
  CHECK(server.secured == 1);
}

TEST_CASE("TLS: a handshake that fails ends both sides with the reason") {
  Fixture f(false);
  f.to_client->start_tls(contexts().server->accept(), Early::forbidden);
  f.to_server->start_tls(contexts().picky_client->connect({}), Early::forbidden);
  f.client.end = [&](net::Connection& connection) { connection.close(); };
  run_until(f.loop, [&] { return f.client.ends == 1 && f.server.ends == 1; });
  CHECK(f.client.end_error.find("certificate verify failed") == 0);
  CHECK(f.server.end_error.find("alert unknown ca") != std::string::npos);
  CHECK(f.client.secured == 0);
}

TEST_CASE("TLS: a connection that is closed in any of its callbacks is not used again") {
  for (const int where : {0, 1, 2, 3}) {
    INFO(where);
    struct Closer : Recorder {
      void on_secured(net::Connection&) override {
        if (where == 0) connection->reset();
      }
      int where = 0;
      std::unique_ptr<net::Connection>* connection = nullptr;
    };
    net::Loop loop;
    test::SocketPair raw;
    Closer server;
    Side client;
    auto to_client = std::make_unique<net::Connection>(loop, raw.inner, server);
    net::Connection to_server(loop, std::exchange(raw.outer, -1), client);
    server.where = where;
    server.connection = &to_client;
    server.data = [&](net::Connection&, std::string_view bytes) {
      if (where == 1) to_client.reset();
      return bytes.size();
    };
    server.end = [&](net::Connection&) {
      if (where == 2) to_client.reset();
    };
    server.drained = [&](net::Connection&) {
      if (where == 3) to_client.reset();
    };
    to_client->start_tls(contexts().server->accept(), Early::forbidden);
    to_server.start_tls(contexts().client->connect({}), Early::forbidden);
    to_server.write("word");
    run_until(loop, [&] { return where == 0 ? !to_client : client.secured == 1; });
    run_passes(loop);
    if (where == 2) to_server.close();
    if (where == 3) {
      to_client->write(pattern(100));
      to_client->notify_when_drained(1000);
    }
    run_until(loop, [&] { return !to_client; });
    run_passes(loop);
  }
}

TEST_CASE("TLS: the socket can be given away, within a callback too, and goes on elsewhere") {
  Fixture f;
  std::optional<net::DetachedSocket> socket;
  f.server.data = [&](net::Connection& connection, std::string_view bytes) -> std::size_t {
    if (bytes.size() < 4) return 0;
    socket.emplace(connection.release());
    return bytes.size();
  };
  f.to_server->write("abcd");
  run_until(f.loop, [&] { return socket.has_value(); });
  net::Loop other;
  Recorder recorder;
  {
    net::Connection moved(other, std::move(*socket), recorder);
    f.to_server->write("efg");
    run_passes(f.loop);
    moved.write("answer");
    run_until(other, [&] { return recorder.received == "efg"; });
    run_passes(other);
    run_until(f.loop, [&] { return f.client.received == "answer"; });
  }
  run_passes(other);
  run_until(f.loop, [&] { return f.client.ends == 1; });
  CHECK(f.client.end_error.empty());
}
