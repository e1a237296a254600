// Passwords and proofs in the flow of a login: when they are checked, what a failure says and when, channel binding,
// secrets that are asked for, and the keys that a proof leaves.
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/password.h"
#include "doctest/doctest.h"
#include "session/flows/startup.h"
#include "unit/messages.h"
#include "wire/messages/backend.h"
#include "wire/messages/frontend.h"

namespace {

using namespace pgweir;
using namespace pgweir::session;
using auth::Method;
using test::big_endian;
using test::c_string;
using test::encoded;
using test::Message;
using Question = StartupFlow::Question;
using Stage = StartupFlow::Stage;
namespace sqlstate = base::sqlstate;

config::Secret scram_secret(std::string_view password) { return wire::make_verifier(password, "0123456789abcdef", 16); }

struct Rules {
  Method method = Method::scram_sha_256;
  bool limits_failures = false;
  bool asks = false;
  std::optional<config::Secret> of_alice{};
};

class Client {
 public:
  explicit Client(const Rules& rules, std::string certificate_hash = {}) : flow(made(rules)) {
    auth::TlsFacts facts;
    facts.tls = !certificate_hash.empty();
    facts.server_certificate_hash = std::move(certificate_hash);
    flow.set_tls(std::move(facts));
    const std::string body =
        big_endian(wire::kProtocol30) + c_string("user") + c_string("alice") + std::string(1, '\0');
    send(big_endian(static_cast<std::uint32_t>(body.size() + 4)) + body);
  }

  void send(const std::string& bytes) { CHECK(flow.take(bytes, out) == bytes.size()); }
  std::vector<Message> messages() {
    const std::string all(out.view());
    out.clear();
    return test::messages_in(all);
  }
  std::string offered() {
    const auto all = messages();
    REQUIRE(all.size() == 1);
    std::string names;
    for (const auto one : wire::sasl_mechanisms(wire::decode_authentication(all[0].body)->data))
      names.append(one).append(" ");
    return names;
  }
  // From the list of mechanisms to the proof.
  void prove(std::string_view password, wire::ScramClient::Channel channel = {}) {
    messages();
    wire::ScramClient scram(password, "nonce", std::move(channel));
    send(encoded([&](auto& to) { wire::encode_sasl_initial_response(to, scram.mechanism(), scram.first()); }));
    const auto all = messages();
    REQUIRE(all.size() == 1);
    REQUIRE(all[0].type == 'R');
    const auto proof = scram.final(wire::decode_authentication(all[0].body)->data);
    REQUIRE(proof.has_value());
    send(encoded([&](auto& to) { wire::encode_sasl_response(to, *proof); }));
  }
  void say(std::string_view password) {
    messages();
    send(encoded([&](auto& to) { wire::encode_password(to, password); }));
  }
  base::ByteQueue out;
  StartupFlow flow;

 private:
  static std::shared_ptr<const ClientAuth> made(const Rules& rules) {
    auto how = std::make_shared<ClientAuth>();
    how->rules = auth::for_everybody(rules.method);
    how->limits_failures = rules.limits_failures;
    how->asks_for_secrets = rules.asks;
    how->mock_secret = "mock";
    if (rules.of_alice) how->users.emplace("alice", *rules.of_alice);
    return how;
  }
};

bool says_failed(const std::vector<Message>& all) { return !all.empty() && all.back().type == 'E'; }

}  // namespace

TEST_CASE("channel binding is offered with TLS only, and a proof has to be bound to our certificate") {
  const Rules rules{.of_alice = scram_secret("secret")};
  CHECK(Client(rules).offered() == "SCRAM-SHA-256 ");
  CHECK(Client(rules, "hash").offered() == "SCRAM-SHA-256-PLUS SCRAM-SHA-256 ");

  Client bound(rules, "hash");
  bound.prove("secret", {"hash", true});
  CHECK(bound.flow.stage() == Stage::authenticated);
  Client unable(rules, "hash");  // a client that cannot bind
  unable.prove("secret");
  CHECK(unable.flow.stage() == Stage::authenticated);
  Client in_between(rules, "hash");
  in_between.prove("secret", {"another certificate", true});
  CHECK(in_between.flow.stage() == Stage::failed);
  CHECK(in_between.flow.error().sqlstate == sqlstate::invalid_authorization_specification);
}

TEST_CASE("somebody who has taken channel binding out of the list is found out") {
  Client client({.of_alice = scram_secret("secret")}, "hash");
  client.messages();
  const wire::ScramClient scram("secret", "nonce", {"hash", false});
  client.send(encoded([&](auto& to) { wire::encode_sasl_initial_response(to, scram.mechanism(), scram.first()); }));
  CHECK(client.flow.stage() == Stage::failed);
  CHECK(client.flow.error().sqlstate == sqlstate::invalid_authorization_specification);
}

TEST_CASE("a proof leaves keys, once; so does a password in clear text that is right") {
  const auto secret = scram_secret("secret");
  const auto& verifier = std::get<config::ScramVerifier>(secret);
  Client proved({.of_alice = secret});
  proved.prove("secret");
  REQUIRE(proved.flow.stage() == Stage::authenticated);
  CHECK(proved.flow.take_keys().fit(verifier));
  CHECK(proved.flow.take_keys().client_key.empty());

  Client said({.method = Method::password, .of_alice = secret});
  said.say("secret");
  REQUIRE(said.flow.stage() == Stage::authenticated);
  CHECK(said.flow.take_keys().fit(verifier));

  Client wrong({.of_alice = secret});
  wrong.prove("Secret");
  CHECK(wrong.flow.stage() == Stage::failed);
  CHECK(wrong.flow.take_keys().client_key.empty());
}

TEST_CASE("with failures limited a proof waits for its turn, whatever the method") {
  const config::Secret md5 = config::Md5Hash{auth::md5_hash("secret", "alice")};
  for (const Method method : {Method::scram_sha_256, Method::password, Method::md5}) {
    for (const bool right : {true, false}) {
      CAPTURE(right);
      Client client({.method = method,
                     .limits_failures = true,
                     .of_alice = method == Method::md5 ? md5 : scram_secret("secret")});
      const std::string password = right ? "secret" : "wrong";
      if (method == Method::scram_sha_256) {
        client.prove(password);
      } else if (method == Method::password) {
        client.say(password);
      } else {
        const auto all = client.messages();
        REQUIRE(all.size() == 1);
        const std::string salt(wire::decode_authentication(all[0].body)->data);
        client.say(auth::md5_response({auth::md5_hash(password, "alice")}, salt));
      }
      REQUIRE(client.flow.question() == Question::turn);
      CHECK(client.messages().empty());
      client.flow.answer_turn(true, client.out);
      if (right) {
        CHECK(client.flow.stage() == Stage::authenticated);
        CHECK_FALSE(client.flow.withheld());
      } else {
        CHECK(client.flow.stage() == Stage::failed);
        CHECK(client.flow.withheld());
        CHECK(client.messages().empty());  // the owner says when
        CHECK(client.flow.error().sqlstate == sqlstate::invalid_password);
      }
    }
  }
}

TEST_CASE("a turn that is not given ends in the same words, and the proof is not looked at") {
  Client client({.limits_failures = true, .of_alice = scram_secret("secret")});
  client.prove("secret");
  client.flow.answer_turn(false, client.out);
  CHECK(client.flow.stage() == Stage::failed);
  CHECK(client.flow.withheld());
  CHECK(client.flow.error().message == "password authentication failed for user \"alice\"");
  CHECK(client.flow.reason() == "too many failed logins from this address");
}

TEST_CASE("what is not a guess is answered at once") {
  Client malformed({.limits_failures = true, .of_alice = scram_secret("secret")});
  malformed.messages();
  malformed.send(encoded([](auto& to) { wire::encode_password(to, "not SASL"); }));
  CHECK(malformed.flow.stage() == Stage::failed);
  CHECK_FALSE(malformed.flow.withheld());
  CHECK(says_failed(malformed.messages()));
  Client rejected({.method = Method::reject, .limits_failures = true});
  CHECK_FALSE(rejected.flow.withheld());
  CHECK(says_failed(rejected.messages()));
}

TEST_CASE("a secret that was asked for: known, unknown, not to be had") {
  for (const bool known : {true, false}) {
    Client client({.asks = true});
    REQUIRE(client.flow.question() == Question::secret);
    CHECK_FALSE(client.flow.wants_new_secret());
    std::optional<config::Secret> secret;
    if (known) secret = scram_secret("secret");
    client.flow.answer_secret(secret, client.out);
    client.prove("secret");
    CHECK(client.flow.secret_was_asked());
    CHECK(client.flow.stage() == (known ? Stage::authenticated : Stage::failed));
  }
  Client nobody_there({.asks = true});
  nobody_there.flow.answer_secret(base::fail(sqlstate::cannot_connect_now, "later"), nobody_there.out);
  CHECK(nobody_there.flow.stage() == Stage::failed);
  CHECK(nobody_there.flow.error().sqlstate == sqlstate::cannot_connect_now);
}

TEST_CASE("the users file comes first") {
  Client client({.asks = true, .of_alice = scram_secret("secret")});
  CHECK(client.flow.question() == Question::none);
  client.prove("secret");
  CHECK(client.flow.stage() == Stage::authenticated);
  CHECK_FALSE(client.flow.secret_was_asked());
}

TEST_CASE("a password in clear text that is wrong by an earlier answer is checked by a new one, once") {
  for (const bool changed : {true, false}) {
    Client client({.method = Method::password, .asks = true});
    client.say("new");
    REQUIRE(client.flow.question() == Question::secret);
    CHECK_FALSE(client.flow.wants_new_secret());
    client.flow.answer_secret(std::optional(scram_secret("old")), client.out);
    REQUIRE(client.flow.question() == Question::secret);
    CHECK(client.flow.wants_new_secret());
    client.flow.answer_secret(std::optional(scram_secret(changed ? "new" : "old")), client.out);
    CHECK(client.flow.question() == Question::none);
    CHECK(client.flow.stage() == (changed ? Stage::authenticated : Stage::failed));
  }
}

TEST_CASE("ldap and pam: the owner checks, after the turn") {
  for (const Method method : {Method::ldap, Method::pam}) {
    for (const bool right : {true, false}) {
      Client client({.method = method, .limits_failures = true});
      client.say("secret");
      REQUIRE(client.flow.question() == Question::turn);
      client.flow.answer_turn(true, client.out);
      REQUIRE(client.flow.question() == Question::password_check);
      CHECK(client.flow.password() == "secret");
      client.flow.answer_password_check(right, client.out);
      CHECK(client.flow.stage() == (right ? Stage::authenticated : Stage::failed));
      CHECK(client.flow.withheld() == !right);
      CHECK(client.flow.password().empty());
    }
  }
}
