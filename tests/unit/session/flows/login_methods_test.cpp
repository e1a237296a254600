// The methods that rules choose, played with a client that sends in pieces: what it is asked for, what the owner of the
// flow is asked for, and who comes in.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "auth/hba_file.h"
#include "auth/password.h"
#include "doctest/doctest.h"
#include "session/flows/startup.h"
#include "unit/auth/memory_files.h"
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
using Stage = StartupFlow::Stage;
using Question = StartupFlow::Question;
using Code = wire::AuthenticationCode;
namespace sqlstate = base::sqlstate;

config::ScramVerifier verifier_of(std::string_view password) {
  config::ScramVerifier verifier{16, "0123456789abcdef", {}, {}};
  const auto salted = wire::pbkdf2_sha256(password, verifier.salt, verifier.iterations);
  verifier.stored_key = wire::view(wire::sha256(wire::view(wire::hmac_sha256(wire::view(salted), "Client Key"))));
  verifier.server_key = wire::view(wire::hmac_sha256(wire::view(salted), "Server Key"));
  return verifier;
}

std::shared_ptr<ClientAuth> rules(const std::string& hba, const std::string& maps = {}) {
  const test::MemoryFiles memory({{"/hba", hba}, {"/maps", maps}});
  auto made = std::make_shared<ClientAuth>();
  auto parsed = auth::parse_hba("/hba", memory.files());
  auto parsed_maps = auth::parse_ident_maps("/maps", memory.files());
  REQUIRE(parsed.has_value());
  REQUIRE(parsed_maps.has_value());
  made->rules = std::move(*parsed);
  made->ident_maps = std::move(*parsed_maps);
  made->users.emplace("scram", verifier_of("secret"));
  made->users.emplace("md5", config::Md5Hash{auth::md5_hash("secret", "md5")});
  made->users.emplace("plain", config::PlainPassword{"secret", verifier_of("secret")});
  made->mock_secret = "mock secret";
  return made;
}

// A client that has sent its StartupMessage.
class Client {
 public:
  Client(std::shared_ptr<const ClientAuth> how, const std::string& user, const std::string& from = {},
         auth::TlsFacts tls = {}, const std::string& more = {})
      : flow(std::move(how), from.empty() ? auth::Address{} : *auth::parse_address(from)) {
    flow.set_tls(std::move(tls));
    const std::string body = big_endian(wire::kProtocol30) + c_string("user") + c_string(user) + c_string("database") +
                             c_string("db") + more + std::string(1, '\0');
    send(big_endian(static_cast<std::uint32_t>(body.size() + 4)) + body);
  }

  void send(std::string_view bytes) {
    unread_.append(bytes);
    unread_.erase(0, flow.take(unread_, out));
  }
  void say_password(std::string_view password) {
    send(encoded([&](auto& to) { wire::encode_password(to, password); }));
  }
  // What the client hears, and forgets.
  std::vector<test::Message> heard() {
    auto all = test::messages_in(std::string(out.view()));
    out.clear();
    return all;
  }
  // The last thing that it hears is a request for authentication: of this kind.
  Code asked() {
    const auto all = heard();
    REQUIRE(!all.empty());
    REQUIRE(all.back().type == wire::backend::kAuthentication);
    const auto decoded = wire::decode_authentication(all.back().body);
    REQUIRE(decoded.has_value());
    data = decoded->data;
    return decoded->code;
  }
  // The last thing that it hears is an error.
  std::string refused() {
    CHECK(flow.stage() == Stage::failed);
    const auto all = heard();
    REQUIRE(!all.empty());
    REQUIRE(all.back().type == wire::backend::kErrorResponse);
    const auto fields = wire::decode_error(all.back().body);
    REQUIRE(fields.has_value());
    CHECK(fields->severity == "FATAL");
    return std::string(fields->sqlstate) + " " + std::string(fields->message);
  }
  bool is_in() { return flow.stage() == Stage::authenticated && asked() == Code::ok; }
  // Plays the rest of SCRAM.
  void prove(const std::string& password) {
    wire::ScramClient scram(password, "rOprNGfwEbeRWgbNEkqO");
    send(encoded([&](auto& to) { wire::encode_sasl_initial_response(to, wire::kScramSha256, scram.first()); }));
    REQUIRE(asked() == Code::sasl_continue);
    const auto proof = scram.final(data);
    REQUIRE(proof.has_value());
    send(encoded([&](auto& to) { wire::encode_sasl_response(to, *proof); }));
  }
  [[nodiscard]] std::size_t unread() const { return unread_.size(); }

  StartupFlow flow;
  base::ByteQueue out;
  std::string data;  // of the last request

 private:
  std::string unread_;
};

auth::TlsFacts certificate(const std::string& common_name, bool verified = true) {
  return {true, verified, common_name, "CN=" + common_name + ",O=x", {}};
}

}  // namespace

TEST_CASE("trust, reject, and no line at all") {
  const auto all = rules("host db scram 127.0.0.1/32 trust\nhost all md5 all reject");
  CHECK(Client(all, "scram", "127.0.0.1").is_in());
  CHECK(Client(all, "md5", "127.0.0.1").refused() ==
        "28000 pg_hba.conf rejects connection for host \"127.0.0.1\", user \"md5\", database \"db\", no encryption");
  CHECK(Client(all, "scram", "127.0.0.2").refused() ==
        "28000 no pg_hba.conf entry for host \"127.0.0.2\", user \"scram\", database \"db\", no encryption");
  CHECK(Client(all, "scram").refused() ==
        "28000 no pg_hba.conf entry for host \"[local]\", user \"scram\", database \"db\", no encryption");
  CHECK(Client(all, "md5", "::1", certificate("x")).refused() ==
        "28000 pg_hba.conf rejects connection for host \"::1\", user \"md5\", database \"db\", SSL encryption");
  const std::string replication = c_string("replication") + c_string("true");
  CHECK(Client(all, "scram", "127.0.0.1", {}, replication).refused() ==
        "28000 no pg_hba.conf entry for replication connection from host \"127.0.0.1\", user \"scram\", no encryption");
}

TEST_CASE("what PostgreSQL takes for no replication meets the rules of ordinary connections") {
  const auto all = rules("host replication all all trust\nhost all all all reject");
  const auto says = [&](const std::string& value) {
    Client client(all, "scram", "127.0.0.1", {}, c_string("replication") + c_string(value));
    return client.flow.stage() == Stage::authenticated ? std::string("in") : client.refused().substr(0, 5);
  };
  for (const char* yes : {"true", "TRUE", "t", "yes", "Y", "on", "1", "tr"}) CHECK(says(yes) == "in");
  for (const char* no : {"false", "FALSE", "f", "no", "N", "off", "0", "of", "database"}) CHECK(says(no) == "28000");
  for (const char* neither : {"o", "2", "maybe", "trueish", "Database"}) CHECK(says(neither) == "22023");
}

TEST_CASE("names are cut where PostgreSQL cuts them") {
  const std::string longest(63, 'u');
  const auto all = rules("host all " + longest + " all reject\nhost all all all trust");
  CHECK(Client(all, longest, "127.0.0.1").refused().starts_with("28000"));
  CHECK(Client(all, longest + "u", "127.0.0.1").refused().starts_with("28000"));
  CHECK(Client(all, std::string(62, 'u'), "127.0.0.1").is_in());
}

TEST_CASE("a password in clear text, for each kind of secret") {
  const auto all = rules("local all all password");
  for (const char* user : {"scram", "md5", "plain"}) {
    CAPTURE(user);
    Client right(all, user);
    CHECK(right.asked() == Code::cleartext_password);
    right.say_password("secret");
    CHECK(right.is_in());
    CHECK(right.flow.password().empty());
    Client wrong(all, user);
    wrong.say_password("guess");
    CHECK(wrong.refused() == "28P01 password authentication failed for user \"" + std::string(user) + "\"");
    CHECK(wrong.flow.reason() == "the password is wrong");
  }
  Client stranger(all, "nobody");
  CHECK(stranger.asked() == Code::cleartext_password);
  stranger.say_password("secret");
  CHECK(stranger.refused() == "28P01 password authentication failed for user \"nobody\"");
  CHECK(stranger.flow.reason() == "the user has no secret here");
}

TEST_CASE("malformed passwords") {
  const auto all = rules("local all all password");
  const auto says = [&](const std::string& bytes) {
    Client client(all, "scram");
    client.send(bytes);
    return client.refused();
  };
  CHECK(says("p" + big_endian(5) + std::string(1, '\0')) == "28P01 empty password returned by client");
  CHECK(says("p" + big_endian(4)) == "08P01 invalid password packet size");
  CHECK(says("p" + big_endian(10) + "secret") == "08P01 invalid password packet size");
  CHECK(says("p" + big_endian(12) + std::string("secret\0\0", 8)) == "08P01 invalid password packet size");
  CHECK(says("p" + big_endian(3)) == "08P01 expected password response, got message type 112");
  CHECK(says("p" + big_endian(65540)) == "08P01 expected password response, got message type 112");
  CHECK(says("Q" + big_endian(5) + std::string(1, '\0')) == "08P01 expected password response, got message type 81");
}

TEST_CASE("clear text is not asked for where everybody can read it, unless allowed") {
  for (const char* line :
       {"host all all all password", "host all all all pam", "host all all all ldap ldapserver=x ldapprefix=cn="}) {
    CAPTURE(line);
    const auto all = rules(line);
    CHECK(Client(all, "scram", "127.0.0.1").refused() ==
          "28000 passwords are not sent in clear text over an unencrypted connection");
    CHECK(Client(all, "scram", "127.0.0.1", auth::TlsFacts{true, false, {}, {}, {}}).asked() ==
          Code::cleartext_password);
    all->allow_cleartext = true;
    CHECK(Client(all, "scram", "127.0.0.1").asked() == Code::cleartext_password);
  }
}

TEST_CASE("md5: by MD5 for those whose secret is one, else by SCRAM") {
  const auto all = rules("local all all md5");
  Client right(all, "md5");
  CHECK(right.asked() == Code::md5_password);
  CHECK(right.data.size() == 4);
  right.say_password(auth::md5_response({auth::md5_hash("secret", "md5")}, right.data));
  CHECK(right.is_in());
  for (const std::string& answer : {std::string("secret"), auth::md5_hash("secret", "md5"), std::string("md5"),
                                    auth::md5_response({auth::md5_hash("secret", "md5")}, "salt")}) {
    Client wrong(all, "md5");
    wrong.say_password(answer);
    CHECK(wrong.refused() == "28P01 password authentication failed for user \"md5\"");
  }
  // Each challenge is another one.
  Client one(all, "md5"), other(all, "md5");
  one.asked();
  other.asked();
  CHECK(one.data != other.data);
  for (const char* user : {"scram", "plain", "nobody"}) {
    CAPTURE(user);
    Client client(all, user);
    CHECK(client.asked() == Code::sasl);
    client.prove("secret");
    CHECK((client.flow.stage() == Stage::authenticated) == (user != std::string("nobody")));
  }
}

TEST_CASE("scram-sha-256 goes through the motions with a secret that it cannot use") {
  const auto all = rules("local all all scram-sha-256");
  Client client(all, "md5");
  CHECK(client.asked() == Code::sasl);
  client.prove("secret");
  CHECK(client.refused() == "28P01 password authentication failed for user \"md5\"");
  CHECK(client.flow.reason() == "the user's secret is no SCRAM verifier");
  Client plain(all, "plain");
  plain.asked();
  plain.prove("secret");
  CHECK(plain.is_in());
}

TEST_CASE("secrets that come from elsewhere are waited for, and no byte is taken meanwhile") {
  for (const char* method : {"scram-sha-256", "md5"}) {
    auto all = rules("local all all " + std::string(method));
    all->asks_for_secrets = true;
    Client client(all, "far");
    CHECK(client.flow.stage() == Stage::waiting);
    CHECK(client.flow.question() == Question::secret);
    CHECK(client.out.empty());
    client.send("p");
    CHECK(client.unread() == 1);
    client.flow.answer_secret(std::optional<config::Secret>(verifier_of("secret")), client.out);
    CHECK(client.flow.question() == Question::none);
    CHECK(client.asked() == Code::sasl);
    // Others are known here.
    CHECK(Client(all, "scram").asked() == Code::sasl);
  }
}

TEST_CASE("a secret from elsewhere that is not there, or cannot be had") {
  auto all = rules("local all all password\nhost all all all scram-sha-256");
  all->asks_for_secrets = true;
  Client stranger(all, "nobody", "127.0.0.1");
  stranger.flow.answer_secret(std::optional<config::Secret>(), stranger.out);
  CHECK(stranger.asked() == Code::sasl);
  stranger.prove("secret");
  CHECK(stranger.refused() == "28P01 password authentication failed for user \"nobody\"");
  Client unlucky(all, "far", "127.0.0.1");
  unlucky.flow.answer_secret(base::fail(sqlstate::cannot_connect_now, "no node is up"), unlucky.out);
  CHECK(unlucky.refused() == "57P03 no node is up");
  // In clear text the password comes first, then its secret is asked for.
  Client clear(all, "far");
  CHECK(clear.asked() == Code::cleartext_password);
  clear.say_password("secret");
  CHECK(clear.flow.question() == Question::secret);
  clear.flow.answer_secret(std::optional<config::Secret>(verifier_of("secret")), clear.out);
  CHECK(clear.is_in());
}

TEST_CASE("answers that nobody has asked for, or that come too late, change nothing") {
  Client client(rules("local all all scram-sha-256"), "scram");
  client.heard();
  client.flow.answer_secret(std::optional<config::Secret>(), client.out);
  client.flow.answer_password_check(true, client.out);
  client.flow.answer_memberships(auth::Memberships{}, client.out);
  client.flow.answer_system_user(std::string("scram"), client.out);
  client.flow.answer_interfaces(auth::Interfaces{}, client.out);
  CHECK(client.out.empty());
  CHECK(client.flow.stage() == Stage::sasl_first);
}

TEST_CASE("ldap and pam: the password is checked elsewhere") {
  const auto all = rules("local db all ldap ldapserver=x ldapprefix=cn=\nlocal all all pam pamservice=weir");
  const auto answered = [&](base::Result<bool> right) {
    Client client(all, "far");
    CHECK(client.asked() == Code::cleartext_password);
    client.say_password("secret");
    CHECK(client.flow.question() == Question::password_check);
    CHECK(client.flow.password() == "secret");
    CHECK(client.flow.line()->method == auth::Method::ldap);
    CHECK(client.flow.line()->ldap->server == "x");
    client.flow.answer_password_check(std::move(right), client.out);
    CHECK(client.flow.password().empty());
    return client.flow.stage() == Stage::authenticated ? std::string("in") : client.refused();
  };
  CHECK(answered(true) == "in");
  CHECK(answered(false) == "28000 LDAP authentication failed for user \"far\"");
  CHECK(answered(base::fail(sqlstate::connection_failure, "the LDAP server is away")) ==
        "28000 LDAP authentication failed for user \"far\"");
}

TEST_CASE("peer: the system's user, and maps") {
  const auto outcome = [](const std::string& line, base::Result<std::string> system_user, const std::string& user) {
    Client client(rules(line, "m ann alice\nm /^(.*)x$ \\1\nm bob +staff\n"), user);
    REQUIRE(client.flow.question() == Question::system_user);
    client.flow.answer_system_user(std::move(system_user), client.out);
    if (client.flow.question() == Question::memberships)
      client.flow.answer_memberships(auth::Memberships{user, user == "carol" ? "staff" : "none"}, client.out);
    return client.flow.stage() == Stage::authenticated ? std::string("in") : client.refused();
  };
  const auto refused = [](const std::string& user) {
    return "28000 Peer authentication failed for user \"" + user + "\"";
  };
  CHECK(outcome("local all all peer", std::string("ann"), "ann") == "in");
  CHECK(outcome("local all all peer", std::string("ann"), "alice") == refused("alice"));
  CHECK(outcome("local all all peer", std::string("Ann"), "ann") == refused("ann"));
  CHECK(outcome("local all all peer map=m", std::string("ann"), "alice") == "in");
  CHECK(outcome("local all all peer map=m", std::string("ann"), "ann") == refused("ann"));
  CHECK(outcome("local all all peer map=m", std::string("zoex"), "zoe") == "in");
  CHECK(outcome("local all all peer map=m", std::string("bob"), "carol") == "in");
  CHECK(outcome("local all all peer map=m", std::string("bob"), "dave") == refused("dave"));
  CHECK(outcome("local all all peer map=none", std::string("ann"), "ann") == refused("ann"));
  CHECK(outcome("local all all peer", base::fail(sqlstate::internal_error, "no such user"), "ann") == refused("ann"));
}

TEST_CASE("cert, and certificates beside other methods") {
  const std::string maps = "m ann alice\nd \"CN=ann,O=x\" alice\n";
  const auto outcome = [&](const std::string& options, const std::string& user, auth::TlsFacts tls) {
    Client client(rules("hostssl all all all " + options, maps), user, "127.0.0.1", std::move(tls));
    return client.flow.stage() == Stage::authenticated ? std::string("in") : client.refused();
  };
  const std::string no_certificate = "28000 connection requires a valid client certificate";
  const std::string failed = "28000 certificate authentication failed for user \"alice\"";
  CHECK(outcome("cert", "ann", certificate("ann")) == "in");
  CHECK(outcome("cert", "alice", certificate("ann")) == failed);
  CHECK(outcome("cert", "alice", certificate("")) == failed);
  CHECK(outcome("cert", "alice", certificate("alice", false)) == no_certificate);
  CHECK(outcome("cert map=m", "alice", certificate("ann")) == "in");
  CHECK(outcome("cert map=d clientname=DN", "alice", certificate("ann")) == "in");
  CHECK(outcome("cert map=d", "alice", certificate("ann")) == failed);
  CHECK(outcome("trust clientcert=verify-ca", "alice", certificate("ann")) == "in");
  CHECK(outcome("trust clientcert=verify-ca", "alice", certificate("ann", false)) == no_certificate);
  CHECK(outcome("trust clientcert=verify-full", "ann", certificate("ann")) == "in");
  CHECK(outcome("trust clientcert=verify-full", "alice", certificate("ann")) ==
        "28000 \"trust\" authentication failed for user \"alice\"");
  // Without TLS the line does not match.
  CHECK(outcome("cert", "ann", {}).starts_with("28000 no pg_hba.conf entry"));
  // A right password is not enough either.
  Client client(rules("hostssl all all all password clientcert=verify-full"), "scram", "127.0.0.1", certificate("ann"));
  client.say_password("secret");
  CHECK(client.refused() == "28P01 password authentication failed for user \"scram\"");
}

TEST_CASE("memberships and interfaces are asked for when a line depends on them, one after the other") {
  const auto all = rules("host all +staff samehost trust\nhost all all all reject");
  Client client(all, "alice", "10.0.0.1");
  CHECK(client.flow.question() == Question::interfaces);
  client.flow.answer_interfaces(auth::Interfaces{{*auth::parse_address("10.0.0.1"), *auth::parse_address("255.0.0.0")}},
                                client.out);
  CHECK(client.flow.question() == Question::memberships);
  client.flow.answer_memberships(auth::Memberships{"alice", "staff"}, client.out);
  CHECK(client.is_in());
  CHECK(client.flow.line()->place() == "/hba:1");
  Client elsewhere(all, "alice", "10.0.0.2");
  elsewhere.flow.answer_interfaces(auth::Interfaces{}, elsewhere.out);
  CHECK(elsewhere.refused().starts_with("28000 pg_hba.conf rejects"));
  Client unlucky(rules("local all +staff trust"), "alice");
  unlucky.flow.answer_memberships(base::fail(sqlstate::cannot_connect_now, "no node is up"), unlucky.out);
  CHECK(unlucky.refused() == "57P03 no node is up");
}
