// A client's first bytes: every order, every split, every truncation, and what a stranger can learn.
#include "session/flows/startup.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "doctest/doctest.h"
#include "unit/messages.h"
#include "wire/crypto.h"
#include "wire/messages/backend.h"
#include "wire/messages/frontend.h"

namespace {

using namespace pgweir;
using namespace pgweir::session;
using test::big_endian;
using test::c_string;
using test::encoded;
using test::Message;
using Stage = StartupFlow::Stage;
namespace sqlstate = base::sqlstate;

constexpr int kIterations = 16;  // the tests log in thousands of times

config::ScramVerifier verifier_of(std::string_view password) {
  config::ScramVerifier verifier;
  verifier.iterations = kIterations;
  verifier.salt = "0123456789abcdef";
  const auto salted = wire::pbkdf2_sha256(password, verifier.salt, kIterations);
  verifier.stored_key = wire::view(wire::sha256(wire::view(wire::hmac_sha256(wire::view(salted), "Client Key"))));
  verifier.server_key = wire::view(wire::hmac_sha256(wire::view(salted), "Server Key"));
  return verifier;
}

std::shared_ptr<const ClientAuth> client_auth(auth::Method method = auth::Method::scram_sha_256) {
  auto made = std::make_shared<ClientAuth>();
  made->rules = auth::for_everybody(method);
  made->users.emplace("alice", verifier_of("secret"));
  made->mock_secret = "mock secret";
  return made;
}

std::shared_ptr<const ClientAuth> trust() { return client_auth(auth::Method::trust); }

std::string packet(std::string_view body) {
  return big_endian(static_cast<std::uint32_t>(body.size() + 4)) + std::string(body);
}

std::string startup(std::string_view user, std::uint32_t version = wire::kProtocol30, std::string_view more = {}) {
  return packet(big_endian(version) + c_string("user") + c_string(user) + c_string("database") + c_string("db") +
                std::string(more) + std::string(1, '\0'));
}

const std::string kSsl = packet(big_endian(wire::kSslRequestCode));
const std::string kGss = packet(big_endian(wire::kGssEncRequestCode));

// A client that sends in pieces and sees what comes back.
class Client {
 public:
  explicit Client(std::shared_ptr<const ClientAuth> how, std::uint16_t newest_minor = 0)
      : flow(std::move(how), {}, newest_minor) {}

  void send(std::string_view bytes) {
    unread_.append(bytes);
    const std::size_t taken = flow.take(unread_, out_);
    REQUIRE(taken <= unread_.size());
    unread_.erase(0, taken);
  }
  // In two pieces.
  void send(std::string_view bytes, std::size_t split) {
    send(bytes.substr(0, split));
    send(bytes.substr(split));
  }
  std::string received() {
    std::string all(out_.view());
    out_.clear();
    return all;
  }
  std::vector<Message> messages() { return test::messages_in(received()); }
  [[nodiscard]] std::size_t unread() const { return unread_.size(); }
  [[nodiscard]] Stage stage() const { return flow.stage(); }

  StartupFlow flow;

 private:
  std::string unread_;
  base::ByteQueue out_;
};

struct Refusal {
  std::string severity, sqlstate, message;
  friend bool operator==(const Refusal&, const Refusal&) = default;
};

Refusal refusal(Client& client) {
  CHECK(client.stage() == Stage::failed);
  const auto all = client.messages();
  REQUIRE(!all.empty());
  REQUIRE(all.back().type == wire::backend::kErrorResponse);
  const auto fields = wire::decode_error(all.back().body);
  REQUIRE(fields.has_value());
  return {std::string(fields->severity), std::string(fields->sqlstate), std::string(fields->message)};
}

void check_refused(std::string_view bytes, const base::Sqlstate& code,
                   std::shared_ptr<const ClientAuth> how = client_auth()) {
  Client client(std::move(how));
  client.send(bytes);
  const auto refused = refusal(client);
  CHECK(refused.severity == "FATAL");
  CHECK(refused.sqlstate == code.view());
  CHECK(client.flow.error().sqlstate == code);
  CHECK(client.unread() == 0);
}

wire::Authentication authentication(const Message& message) {
  REQUIRE(message.type == wire::backend::kAuthentication);
  const auto decoded = wire::decode_authentication(message.body);
  REQUIRE(decoded.has_value());
  return *decoded;
}

// Plays a login from StartupMessage to the last answer, each message of the client cut at `split` (if it is longer).
// Gives the messages of the server up to the end.
std::vector<Message> log_in(Client& client, const std::string& user, const std::string& password, std::size_t split) {
  const auto send = [&](const std::string& bytes) { client.send(bytes, std::min(split, bytes.size())); };
  std::vector<Message> all;
  const auto receive = [&] {
    const auto some = client.messages();
    all.insert(all.end(), some.begin(), some.end());
  };
  wire::ScramClient scram(password, "rOprNGfwEbeRWgbNEkqO");
  send(startup(user));
  receive();
  REQUIRE(all.size() == 1);
  CHECK(authentication(all[0]).code == wire::AuthenticationCode::sasl);
  send(encoded([&](auto& out) { wire::encode_sasl_initial_response(out, wire::kScramSha256, scram.first()); }));
  receive();
  REQUIRE(all.size() == 2);
  CHECK(authentication(all[1]).code == wire::AuthenticationCode::sasl_continue);
  const auto proof = scram.final(authentication(all[1]).data);
  REQUIRE(proof.has_value());
  send(encoded([&](auto& out) { wire::encode_sasl_response(out, *proof); }));
  receive();
  if (client.stage() == Stage::authenticated) {
    REQUIRE(all.size() == 4);
    CHECK(authentication(all[2]).code == wire::AuthenticationCode::sasl_final);
    CHECK(scram.verify(authentication(all[2]).data).has_value());
    CHECK(authentication(all[3]).code == wire::AuthenticationCode::ok);
  }
  return all;
}

}  // namespace

TEST_CASE("encryption is refused politely, each kind once, in any order") {
  for (const auto& requests : {std::vector{kSsl}, {kGss}, {kSsl, kGss}, {kGss, kSsl}}) {
    Client client(trust());
    for (const std::string& request : requests) {
      client.send(request);
      CHECK(client.received() == "N");
      CHECK(client.stage() == Stage::packet);
    }
    client.send(startup("alice"));
    CHECK(client.stage() == Stage::authenticated);
  }
  for (const std::string& twice : {kSsl + kSsl, kGss + kGss, kGss + kSsl + kGss}) {
    Client client(trust());
    client.send(twice);
    CHECK(client.stage() == Stage::failed);
  }
  check_refused(packet(big_endian(wire::kSslRequestCode) + "x"), sqlstate::protocol_violation);
}

TEST_CASE("trust: one packet is enough") {
  Client client(trust());
  client.send(startup("somebody"));
  CHECK(client.stage() == Stage::authenticated);
  const auto all = client.messages();
  REQUIRE(all.size() == 1);
  CHECK(authentication(all[0]).code == wire::AuthenticationCode::ok);
  CHECK(client.flow.has_message());
  CHECK(client.flow.message().user == "somebody");
  CHECK(client.flow.message().database == "db");
}

TEST_CASE("what follows the last packet stays for the session") {
  Client client(trust());
  client.send(startup("alice") + "Qrest");
  CHECK(client.stage() == Stage::authenticated);
  CHECK(client.unread() == 5);
  client.send("more");
  CHECK(client.unread() == 9);
}

TEST_CASE("a cancel request, of both lengths, at every split") {
  for (const std::string& secret : {std::string("\0\1\2\3", 4), std::string(32, 'k'), std::string(256, 'k')}) {
    const std::string bytes = packet(big_endian(wire::kCancelRequestCode) + big_endian(77) + secret);
    for (std::size_t split = 0; split <= bytes.size(); ++split) {
      Client client(client_auth());
      client.send(bytes.substr(0, split));
      CHECK(client.stage() == (split == bytes.size() ? Stage::cancel : Stage::packet));
      client.send(bytes.substr(split));
      CHECK(client.stage() == Stage::cancel);
      CHECK(client.flow.cancel_request().process_id == 77);
      CHECK(client.flow.cancel_request().secret == secret);
      CHECK(client.received().empty());  // PostgreSQL says nothing either
      CHECK_FALSE(client.flow.has_message());
    }
  }
  const std::string code = big_endian(wire::kCancelRequestCode);
  check_refused(packet(code), sqlstate::protocol_violation);
  check_refused(packet(code + big_endian(77)), sqlstate::protocol_violation);
  check_refused(packet(code + big_endian(77) + std::string(257, 'k')), sqlstate::protocol_violation);
}

TEST_CASE("hostile lengths end it at once") {
  for (const std::uint32_t length : {0U, 1U, 3U, 4U, 7U, 10001U, 0x7fffffffU, 0x80000000U, 0xffffffffU})
    check_refused(big_endian(length), sqlstate::protocol_violation);
  check_refused("GET / HTTP/1.1\r\n\r\n", sqlstate::protocol_violation);
  // The longest that PostgreSQL takes.
  const std::size_t fixed = startup("alice", wire::kProtocol30, c_string("x") + c_string("")).size();
  Client client(trust());
  client.send(startup("alice", wire::kProtocol30, c_string("x") + c_string(std::string(10000 - fixed, 'y'))));
  CHECK(client.stage() == Stage::authenticated);
}

TEST_CASE("malformed start-up messages") {
  const std::string version = big_endian(wire::kProtocol30);
  for (const std::string& body : {
           version,                                                          // nothing
           version + c_string("user") + c_string("alice"),                   // no end
           version + c_string("user") + std::string(1, '\0'),                // no value, or no end
           version + c_string("user") + "alice",                             // no zero byte
           version + "user",                                                 // likewise
           version + c_string("user") + c_string("a") + c_string("") + "x",  // more after the end
       }) {
    CAPTURE(body.size());
    check_refused(packet(body), sqlstate::protocol_violation, trust());
  }
  check_refused(packet(version + std::string(1, '\0')), sqlstate::invalid_authorization_specification, trust());
  check_refused(packet(version + c_string("user") + c_string("") + std::string(1, '\0')),
                sqlstate::invalid_authorization_specification, trust());
  check_refused(packet(version + c_string("database") + c_string("db") + std::string(1, '\0')),
                sqlstate::invalid_authorization_specification, trust());
  for (const std::uint32_t other : {0U, 2U << 16U, 4U << 16U, 80877101U, 80877105U, 0xffffffffU})
    check_refused(packet(big_endian(other) + c_string("user") + c_string("alice") + std::string(1, '\0')),
                  sqlstate::feature_not_supported, trust());
}

TEST_CASE("every truncation of a start-up message fails or waits") {
  const std::string whole = startup("alice", wire::kProtocol30, c_string("a") + c_string("b"));
  const std::string_view body = std::string_view(whole).substr(4);
  for (std::size_t size = 0; size < body.size(); ++size) {
    Client waits(trust());
    waits.send(whole.substr(0, size));
    CHECK(waits.stage() == Stage::packet);
    CHECK(waits.received().empty());
    Client cut(trust());  // with a length that agrees
    cut.send(packet(body.substr(0, size)));
    CAPTURE(size);
    CHECK(cut.stage() == Stage::failed);
  }
}

TEST_CASE("the database defaults to the user, the rest is kept in order") {
  Client client(trust());
  client.send(packet(big_endian(wire::kProtocol30) + c_string("options") + c_string("-c a=1") + c_string("user") +
                     c_string("alice") + c_string("replication") + c_string("database") + c_string("x") +
                     c_string("1") + c_string("x") + c_string("2") + std::string(1, '\0')));
  CHECK(client.stage() == Stage::authenticated);
  const auto& message = client.flow.message();
  CHECK(message.database == "alice");
  CHECK(message.replication == "database");
  CHECK(message.parameters ==
        std::vector<std::pair<std::string, std::string>>{{"options", "-c a=1"}, {"x", "1"}, {"x", "2"}});
}

TEST_CASE("a newer minor version and unknown protocol options are negotiated down") {
  struct Row {
    std::uint16_t newest, asked, spoken;
    std::vector<std::string> options;
  };
  for (const Row& row : {Row{0, 0, 0, {"_pq_.a"}}, Row{0, 2, 0, {}}, Row{0, 9999, 0, {"_pq_.a", "_pq_.b"}},
                         Row{2, 0, 0, {"_pq_.a"}}, Row{2, 2, 2, {"_pq_.a"}}, Row{2, 3, 2, {}}}) {
    std::string more;
    for (const std::string& option : row.options) more += c_string(option) + c_string("on");
    Client client(trust(), row.newest);
    client.send(startup("alice", wire::kProtocol30 + row.asked, more));
    CHECK(client.stage() == Stage::authenticated);
    CHECK(client.flow.minor_version() == row.spoken);
    const auto all = client.messages();
    REQUIRE(all.size() == 2);
    CHECK(all[0].type == wire::backend::kNegotiateProtocolVersion);
    std::string expected =
        big_endian(wire::kProtocol30 + row.spoken) + big_endian(static_cast<std::uint32_t>(row.options.size()));
    for (const std::string& option : row.options) expected += c_string(option);
    CHECK(all[0].body == expected);
    CHECK(client.flow.message().parameters.empty());
    CHECK(authentication(all[1]).code == wire::AuthenticationCode::ok);
  }
}

TEST_CASE("a minor version that the servers speak is accepted without a word") {
  for (const std::uint16_t asked : {std::uint16_t{0}, std::uint16_t{1}, std::uint16_t{2}}) {
    Client client(trust(), 2);
    client.send(startup("alice", wire::kProtocol30 + asked));
    CHECK(client.flow.minor_version() == asked);
    const auto all = client.messages();
    REQUIRE(all.size() == 1);
    CHECK(authentication(all[0]).code == wire::AuthenticationCode::ok);
  }
}

TEST_CASE("a SCRAM login, at every split of every message") {
  for (std::size_t split = 0; split <= 120; ++split) {
    CAPTURE(split);
    Client client(client_auth());
    log_in(client, "alice", "secret", split);
    CHECK(client.stage() == Stage::authenticated);
    CHECK(client.unread() == 0);
  }
}

TEST_CASE("a SCRAM login byte by byte") {
  Client client(client_auth());
  wire::ScramClient scram("secret", "abcdefgh");
  const auto trickle = [&](const std::string& bytes) {
    for (const char byte : bytes) client.send({&byte, 1});
  };
  trickle(kSsl);
  CHECK(client.received() == "N");
  trickle(startup("alice"));
  CHECK(client.messages().size() == 1);
  trickle(encoded([&](auto& out) { wire::encode_sasl_initial_response(out, wire::kScramSha256, scram.first()); }));
  const auto challenge = client.messages();
  REQUIRE(challenge.size() == 1);
  const auto proof = scram.final(authentication(challenge[0]).data);
  REQUIRE(proof.has_value());
  trickle(encoded([&](auto& out) { wire::encode_sasl_response(out, *proof); }));
  CHECK(client.stage() == Stage::authenticated);
}

TEST_CASE("a wrong password and an unknown user look the same") {
  Client wrong(client_auth());
  const auto known = log_in(wrong, "alice", "guess", 1000);
  CHECK(wrong.stage() == Stage::failed);
  CHECK(wrong.flow.error().sqlstate == sqlstate::invalid_password);
  Client stranger(client_auth());
  const auto unknown = log_in(stranger, "mallory", "secret", 1000);
  CHECK(stranger.stage() == Stage::failed);
  REQUIRE(known.size() == 3);
  REQUIRE(unknown.size() == 3);
  CHECK(known[0] == unknown[0]);
  const auto last = [](const std::vector<Message>& all) {
    const auto fields = wire::decode_error(all.back().body);
    REQUIRE(fields.has_value());
    return Refusal{std::string(fields->severity), std::string(fields->sqlstate), std::string(fields->message)};
  };
  CHECK(last(known) == Refusal{"FATAL", "28P01", "password authentication failed for user \"alice\""});
  CHECK(last(unknown) == Refusal{"FATAL", "28P01", "password authentication failed for user \"mallory\""});
  // The challenge of a stranger has the same form, and the same salt each time.
  const auto salt_of = [](const Message& message) {
    const std::string data(authentication(message).data);
    const auto salt = data.find(",s=");
    return data.substr(salt, data.find(",i=") - salt);
  };
  CHECK(salt_of(known[1]).size() == salt_of(unknown[1]).size());
  Client again(client_auth());
  CHECK(salt_of(log_in(again, "mallory", "other", 1000)[1]) == salt_of(unknown[1]));
}

TEST_CASE("no user can do without a password") {
  for (const char* user : {"alice", "mallory"}) {
    Client client(client_auth());
    log_in(client, user, "", 1000);
    CHECK(client.stage() == Stage::failed);
  }
}

TEST_CASE("what is not a SASL response is a violation") {
  const auto refused_with = [](const std::string& bytes, const base::Sqlstate& code) {
    check_refused(startup("alice") + bytes, code);
  };
  const auto initial = [](std::string_view mechanism, std::string_view data) {
    return encoded([&](auto& out) { wire::encode_sasl_initial_response(out, mechanism, data); });
  };
  refused_with(encoded([](auto& out) { wire::encode_query(out, "SELECT 1"); }), sqlstate::protocol_violation);
  refused_with(encoded([](auto& out) { wire::encode_password(out, "secret"); }), sqlstate::protocol_violation);
  refused_with(initial("SCRAM-SHA-1", "n,,n=,r=abc"), sqlstate::protocol_violation);
  refused_with(initial("SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,n=,r=abc"), sqlstate::protocol_violation);
  refused_with(initial(wire::kScramSha256, "p=tls-server-end-point,,n=,r=abc"), sqlstate::feature_not_supported);
  refused_with(initial(wire::kScramSha256, "n,,n=,r="), sqlstate::protocol_violation);
  refused_with("p" + big_endian(3), sqlstate::protocol_violation);
  refused_with("p" + big_endian(65536 + 4), sqlstate::protocol_violation);
  refused_with("p" + big_endian(0xffffffffU), sqlstate::protocol_violation);
}

TEST_CASE("every truncation of the SASL messages waits or fails, and none logs in") {
  const std::string first = "n,,n=,r=abcdefgh";
  for (std::size_t size = 0; size < first.size(); ++size) {
    Client client(client_auth());
    client.send(startup("alice"));
    client.send(encoded(
        [&](auto& out) { wire::encode_sasl_initial_response(out, wire::kScramSha256, first.substr(0, size)); }));
    // A shorter nonce is still one.
    CHECK(client.stage() == (size > 8 ? Stage::sasl_final : Stage::failed));
  }
  for (std::size_t drop = 1; drop < 120; ++drop) {
    Client client(client_auth());
    wire::ScramClient scram("secret", "abcdefgh");
    client.send(startup("alice"));
    client.send(
        encoded([&](auto& out) { wire::encode_sasl_initial_response(out, wire::kScramSha256, scram.first()); }));
    const auto all = client.messages();
    REQUIRE(all.size() == 2);
    const auto proof = scram.final(authentication(all[1]).data);
    REQUIRE(proof.has_value());
    if (drop > proof->size()) break;
    client.send(encoded([&](auto& out) { wire::encode_sasl_response(out, proof->substr(0, proof->size() - drop)); }));
    CHECK(client.stage() == Stage::failed);
  }
}

TEST_CASE("TLS: offered, asked for, done, and then as always") {
  StartupFlow flow(trust());
  flow.set_tls_rules({true, true, true});
  CHECK(flow.at_beginning());
  base::ByteQueue out;
  CHECK(flow.take(kGss, out) == kGss.size());
  CHECK(flow.take(kSsl + "rest", out) == kSsl.size());
  CHECK(out.view() == "NS");
  CHECK(flow.stage() == Stage::handshake);
  CHECK(flow.take(startup("alice"), out) == 0);  // nothing is taken before the handshake is over
  flow.set_tls({true, true, "alice", "CN=alice", "hash"});
  CHECK_FALSE(flow.at_beginning());
  CHECK(flow.take(startup("alice"), out) == startup("alice").size());
  CHECK(flow.stage() == Stage::authenticated);
}

TEST_CASE("TLS: not asked for where it must be, or with a certificate of another name") {
  struct Row {
    StartupFlow::TlsRules rules;
    auth::Address from;
    auth::TlsFacts tls;
    std::string error;
  };
  const auto remote = *auth::parse_address("127.0.0.1");
  for (const Row& row : {
           Row{{true, true, false}, remote, {}, "connection requires TLS"},
           Row{{true, true, false}, {}, {}, ""},  // a Unix socket
           Row{{true, true, false}, remote, {true, false, "", "", ""}, ""},
           Row{{true, false, false}, remote, {}, ""},
           Row{{true, true, true}, remote, {true, true, "alice", "", ""}, ""},
           Row{{true, true, true},
               remote,
               {true, true, "Alice", "", ""},
               "certificate authentication failed for user \"alice\""},
           Row{{true, true, true},
               remote,
               {true, true, "", "", ""},
               "certificate authentication failed for user \"alice\""},
       }) {
    StartupFlow flow(trust(), row.from);
    flow.set_tls_rules(row.rules);
    if (row.tls.tls) flow.set_tls(row.tls);
    base::ByteQueue out;
    CHECK(flow.take(startup("alice"), out) == startup("alice").size());
    CHECK(flow.error().message == row.error);
    CHECK(flow.stage() == (row.error.empty() ? Stage::authenticated : Stage::failed));
  }
}

TEST_CASE("TLS: inside it, it is not asked for again") {
  StartupFlow flow(trust());
  flow.set_tls_rules({true, false, false});
  flow.set_tls({true, false, "", "", ""});
  base::ByteQueue out;
  CHECK(flow.take(kSsl, out) == kSsl.size());
  CHECK(flow.error().message == "encryption was asked for twice");
}

TEST_CASE("nothing is taken after a failure") {
  Client client(client_auth());
  client.send(big_endian(3));
  CHECK(client.stage() == Stage::failed);
  client.received();
  client.send(startup("alice"));
  CHECK(client.stage() == Stage::failed);
  CHECK(client.received().empty());
}
