// Two streams that talk through memory: who believes whom, every way of cutting the bytes, ends and lies.
#include "net/tls_stream.h"

#include <random>
#include <vector>

#include "doctest/doctest.h"
#include "net/tls_context.h"
#include "unit/net/certificates.h"

using namespace pgweir;
using net::TlsStream;
using Handshake = TlsStream::Handshake;

namespace {

struct World {
  test::TemporaryDirectory directory;
  test::Authority authority{directory, "root"};
  test::Authority stranger{directory, "stranger"};
  test::CertificateFiles server = authority.issue("server", {{{"CN", "db.example"}}});
  net::TlsServerSettings for_server{server.certificate, server.key, {}, {}, {}, {}, {}};
  net::TlsClientSettings for_client;
  net::TlsContext::Expected expected;
};

std::string take(TlsStream& from) {
  std::string bytes(from.to_send().view());
  from.to_send().clear();
  return bytes;
}

struct Pair {
  explicit Pair(const World& world) {
    auto server_side = net::TlsContext::for_server(world.for_server);
    REQUIRE(server_side.has_value());
    auto client_side = net::TlsContext::for_client(world.for_client);
    REQUIRE(client_side.has_value());
    server = (*server_side)->accept();
    client = (*client_side)->connect(world.expected);
  }

  /// In pieces of `piece` bytes; true when both are established.
  bool shake_hands(std::size_t piece = 100'000) {
    for (int turn = 0; turn < 10; ++turn) {
      (void)client->handshake();
      pass(*client, *server, piece);
      pass(*server, *client, piece);
    }
    return client->established() && server->established();
  }
  void pass(TlsStream& from, TlsStream& to, std::size_t piece) {
    const std::string bytes = take(from);
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      const std::string part = bytes.substr(at, piece);
      to.feed(part);
      (void)to.handshake();
      received += open(to);
    }
  }
  static std::string open(TlsStream& stream) {
    std::string room(100'000, '\0');
    room.resize(stream.open(room));
    return room;
  }
  static std::string seal(TlsStream& stream, std::string_view bytes) {
    std::string room(bytes.size() + TlsStream::kRecordOverhead, '\0');
    room.resize(stream.seal(bytes, room));
    return room;
  }
  std::unique_ptr<TlsStream> server, client;
  std::string received;
};

std::string pattern(std::size_t size) {
  std::mt19937 random(20252);
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(random() & 0xffU);
  return bytes;
}

}  // namespace

TEST_CASE("a handshake gives the facts of both sides") {
  World world;
  const auto files = world.authority.issue("client", {{{"O", "Shop"}, {"CN", "joe"}}});
  world.for_server.ca_file = world.authority.file;
  world.for_server.client_certificate = net::ClientCertificate::if_presented;
  world.for_client = {world.authority.file, {}, files.certificate, files.key, {}};
  world.expected = {"db.example", "db.example"};
  Pair pair(world);
  REQUIRE(pair.shake_hands());
  const auto facts = pair.server->facts();
  CHECK(facts.version == "TLSv1.3");
  CHECK_FALSE(facts.cipher.empty());
  CHECK(facts.server_name == "db.example");
  CHECK(facts.peer_certificate_verified);
  CHECK(facts.common_name == "joe");
  CHECK(facts.distinguished_name == "CN=joe,O=Shop");
  CHECK(facts.server_certificate_hash.size() == 32);
  CHECK(pair.client->facts().server_certificate_hash == facts.server_certificate_hash);
  CHECK(pair.client->facts().common_name == "db.example");
  CHECK(pair.server->speaks_postgresql());
  CHECK(pair.client->speaks_postgresql());
}

TEST_CASE("the bytes may come in pieces of any size") {
  World world;
  for (const std::size_t piece : {1U, 2U, 5U, 6U, 333U}) {
    Pair pair(world);
    REQUIRE(pair.shake_hands(piece));
    const std::string said = pattern(40'000);
    std::string records;
    for (std::size_t at = 0; at < said.size(); at += TlsStream::kLargestRecord)
      records += Pair::seal(*pair.client, std::string_view(said).substr(at, TlsStream::kLargestRecord));
    std::string heard;
    for (std::size_t at = 0; at < records.size(); at += piece) {
      pair.server->feed(std::string_view(records).substr(at, piece));
      heard += Pair::open(*pair.server);
      CHECK(pair.server->took_all());
    }
    CHECK(heard == said);
  }
}

TEST_CASE("a room of what was fed and one record more takes all") {
  World world;
  Pair pair(world);
  REQUIRE(pair.shake_hands());
  const std::string said = pattern(TlsStream::kLargestRecord);
  std::string records = Pair::seal(*pair.client, said);
  records += Pair::seal(*pair.client, said);
  const std::size_t first = said.size();  // all of the first record but its end
  pair.server->feed(std::string_view(records).substr(0, first));
  CHECK(Pair::open(*pair.server).empty());
  const std::string_view rest = std::string_view(records).substr(first);
  pair.server->feed(rest);
  std::string room(rest.size() + TlsStream::kLargestRecord, '\0');
  CHECK(pair.server->open(room) == 2 * said.size());
  CHECK(pair.server->took_all());
}

TEST_CASE("who is believed") {
  struct Row {
    const char* what;
    void (*change)(World&);
    bool good;
    const char* error;  ///< of the side that refuses
  };
  const auto client_certificate = [](World& w, test::Authority& by, const test::CertificateWish& wish) {
    const auto files = by.issue("joe", wish);
    w.for_client.certificate_file = files.certificate;
    w.for_client.key_file = files.key;
  };
  static const auto give_client = client_certificate;
  for (const Row& row : {
           Row{"nothing is checked", [](World&) {}, true, ""},
           {"the right authority", [](World& w) { w.for_client.ca_file = w.authority.file; }, true, ""},
           {"the wrong authority", [](World& w) { w.for_client.ca_file = w.stranger.file; }, false,
            "certificate verify failed: unable to get local issuer certificate"},
           {"the right name",
            [](World& w) {
              w.for_client.ca_file = w.authority.file;
              w.expected.certificate_name = "db.example";
            },
            true, ""},
           {"the wrong name",
            [](World& w) {
              w.for_client.ca_file = w.authority.file;
              w.expected.certificate_name = "other.example";
            },
            false, "server certificate for \"db.example\" does not match host name \"other.example\""},
           {"an expired server",
            [](World& w) {
              const auto files = w.authority.issue("old", {{{"CN", "db.example"}}, "", -7200, -3600});
              w.for_server.certificate_file = files.certificate;
              w.for_server.key_file = files.key;
              w.for_client.ca_file = w.authority.file;
            },
            false, "certificate verify failed: certificate has expired"},
           {"a revoked server",
            [](World& w) {
              w.for_client.ca_file = w.authority.file;
              w.for_client.crl_file = w.authority.revoke(w.server.certificate);
            },
            false, "certificate verify failed: certificate revoked"},
           {"a list without this server",
            [](World& w) {
              w.for_client.ca_file = w.authority.file;
              w.for_client.crl_file = w.authority.revoke(w.authority.issue("x").certificate);
            },
            true, ""},
           {"a client without a certificate that it must have",
            [](World& w) {
              w.for_server.ca_file = w.authority.file;
              w.for_server.client_certificate = net::ClientCertificate::required;
            },
            false, "peer did not return a certificate"},
           {"a client without a certificate that it may have",
            [](World& w) {
              w.for_server.ca_file = w.authority.file;
              w.for_server.client_certificate = net::ClientCertificate::if_presented;
            },
            true, ""},
           {"a client of a stranger",
            [](World& w) {
              w.for_server.ca_file = w.authority.file;
              w.for_server.client_certificate = net::ClientCertificate::if_presented;
              // It offers only what the server says that it believes in, unless it was signed by one of that name.
              give_client(w, w.stranger, {});
            },
            false, "certificate verify failed: unable to get local issuer certificate"},
           {"an expired client",
            [](World& w) {
              w.for_server.ca_file = w.authority.file;
              w.for_server.client_certificate = net::ClientCertificate::required;
              give_client(w, w.authority, {{{"CN", "joe"}}, "", -7200, -3600});
            },
            false, "certificate verify failed: certificate has expired"},
           {"a revoked client",
            [](World& w) {
              w.for_server.ca_file = w.authority.file;
              w.for_server.client_certificate = net::ClientCertificate::required;
              give_client(w, w.authority, {});
              w.for_server.crl_file = w.authority.revoke(w.for_client.certificate_file);
            },
            false, "certificate verify failed: certificate revoked"},
           {"a client's certificate that nobody asked for", [](World& w) { give_client(w, w.stranger, {}); }, true, ""},
       }) {
    INFO(row.what);
    World world;
    row.change(world);
    Pair pair(world);
    const bool good = pair.shake_hands();
    CHECK(good == row.good);
    if (!row.good) CHECK((pair.server->error() == row.error || pair.client->error() == row.error));
    if (good) CHECK(pair.server->facts().peer_certificate_verified == false);
  }
}

TEST_CASE("what is no TLS is refused") {
  World world;
  using namespace std::string_literals;
  for (const std::string& hello : {"GET / HTTP/1.1\r\n\r\n"s, "Q\0\0\0\x0cSELECT 1"s,
                                   "\x16\x03\x01\0\x04\x01\0\0\0rest"s, "\x16\x03\x01\xff\xffxxx"s}) {
    Pair fresh(world);
    fresh.server->feed(hello);
    CHECK(fresh.server->handshake() == Handshake::failed);
    CHECK_FALSE(fresh.server->error().empty());
    CHECK(fresh.server->took_all());
  }
}

TEST_CASE("an end is told from being cut off") {
  World world;
  Pair pair(world);
  REQUIRE(pair.shake_hands());
  const std::string last = Pair::seal(*pair.client, "last words");
  pair.client->say_end();
  const std::string bytes = last + take(*pair.client) + "rubbish";
  pair.server->feed(bytes);
  CHECK(Pair::open(*pair.server) == "last words");
  CHECK(pair.server->at_end());
  CHECK_FALSE(pair.server->failed());
  CHECK(pair.server->took_all());
  // The other direction is still open.
  const std::string answer = Pair::seal(*pair.server, "answer");
  pair.client->feed(answer);
  CHECK(Pair::open(*pair.client) == "answer");
}

TEST_CASE("a record that was changed on its way ends it with an alert") {
  World world;
  Pair pair(world);
  REQUIRE(pair.shake_hands());
  std::string record = Pair::seal(*pair.client, "pay 100");
  record[record.size() / 2] = static_cast<char>(record[record.size() / 2] ^ 1);
  pair.server->feed(record);
  CHECK(Pair::open(*pair.server).empty());
  CHECK(pair.server->failed());
  CHECK_FALSE(pair.server->to_send().empty());
  CHECK(pair.server->took_all());
}
