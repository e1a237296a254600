// Logging in to a server that plays each of its parts, and parts that no server should play.
#include "pool/server_login.h"

#include <string>
#include <vector>

#include "doctest/doctest.h"
#include "unit/messages.h"
#include "wire/crypto.h"
#include "wire/messages/backend.h"
#include "wire/messages/frontend.h"

namespace {

using namespace pgweir;
using namespace pgweir::pool;
using test::c_string;
using test::Message;
using Step = ServerLogin::Step;
using Code = wire::AuthenticationCode;
namespace sqlstate = base::sqlstate;

ServerCredentials with_password(std::string_view password) {
  ServerCredentials credentials;
  credentials.password = base::SecretText(password);
  return credentials;
}

class Login {
 public:
  explicit Login(std::string_view password = "secret") : Login(with_password(password)) {}
  explicit Login(ServerCredentials credentials) : login("alice", std::move(credentials)) {}

  base::Result<Step> take(const Message& message) {
    wire::Frame frame;
    frame.type = message.type;
    frame.body_size = message.body.size();
    frame.body = message.body;
    return login.take(frame, out_);
  }
  base::Result<Step> authentication(Code code, std::string_view data = {}) {
    return take(test::message([&](auto& out) { wire::encode_authentication(out, code, data); }));
  }
  // The one message that the login has answered.
  Message answer() {
    const auto all = test::messages_in(out_.view());
    out_.clear();
    REQUIRE(all.size() == 1);
    return all.front();
  }
  bool silent() const { return out_.empty(); }

  ServerLogin login;

 private:
  base::ByteQueue out_;
};

Message parameter(std::string_view name, std::string_view value) {
  return test::message([&](auto& out) { wire::encode_parameter_status(out, name, value); });
}
Message key_data() {
  return test::message([](auto& out) { wire::encode_backend_key_data(out, 4711, "abcd"); });
}
const Message kReady{'Z', "I"};

bool waits(const base::Result<Step>& step) { return step.has_value() && *step == Step::wait; }

void check_violation(const base::Result<Step>& step) {
  REQUIRE_FALSE(step.has_value());
  CHECK(step.error().sqlstate == sqlstate::protocol_violation);
}

// What every server says once it lets us in.
void finish(Login& login) {
  CHECK(waits(login.authentication(Code::ok)));
  CHECK(waits(login.take(parameter("TimeZone", "UTC"))));
  CHECK(waits(login.take(Message{'N', c_string("SNOTICE") + c_string("")})));
  CHECK(waits(login.take(parameter("is_superuser", "off"))));
  CHECK(waits(login.take(key_data())));
  const auto last = login.take(kReady);
  REQUIRE(last.has_value());
  CHECK(*last == Step::done);
  CHECK(login.silent());
  CHECK(login.login.parameters() ==
        std::vector<std::pair<std::string, std::string>>{{"TimeZone", "UTC"}, {"is_superuser", "off"}});
  CHECK(login.login.process_id() == 4711);
  CHECK(login.login.secret() == "abcd");
}

config::ScramVerifier verifier_of(std::string_view password) {
  config::ScramVerifier verifier{16, "salt", {}, {}};
  const auto salted = wire::pbkdf2_sha256(password, verifier.salt, 16);
  verifier.stored_key = wire::view(wire::sha256(wire::view(wire::hmac_sha256(wire::view(salted), "Client Key"))));
  verifier.server_key = wire::view(wire::hmac_sha256(wire::view(salted), "Server Key"));
  return verifier;
}

const std::string kMechanisms = c_string("SCRAM-SHA-256-PLUS") + c_string("SCRAM-SHA-256") + c_string("");

}  // namespace

TEST_CASE("trust") {
  Login login(ServerCredentials{});
  finish(login);
}

TEST_CASE("a password in clear text") {
  Login login;
  CHECK(waits(login.authentication(Code::cleartext_password)));
  CHECK(login.answer() == Message{'p', c_string("secret")});
  finish(login);
}

TEST_CASE("md5") {
  Login login;
  CHECK(waits(login.authentication(Code::md5_password, "salt")));
  CHECK(login.answer() == Message{'p', c_string("md5" + wire::md5_hex(wire::md5_hex("secretalice") + "salt"))});
  finish(login);
  Login malformed;
  check_violation(malformed.authentication(Code::md5_password, "sal"));
}

TEST_CASE("scram") {
  Login login;
  wire::ScramServer server(verifier_of("secret"), true, "server");
  CHECK(waits(login.authentication(Code::sasl, kMechanisms)));
  const auto initial_message = login.answer();
  const auto initial = wire::decode_sasl_initial_response(initial_message.body);
  REQUIRE(initial.has_value());
  CHECK(initial->mechanism == wire::kScramSha256);
  const auto first = server.first(initial->data);
  REQUIRE(first.has_value());
  CHECK(waits(login.authentication(Code::sasl_continue, *first)));
  const auto final = server.final(login.answer().body);
  REQUIRE(final.has_value());
  SUBCASE("to the end") {
    CHECK(waits(login.authentication(Code::sasl_final, *final)));
    finish(login);
  }
  SUBCASE("the server does not prove itself") {
    const auto step = login.authentication(Code::ok);
    REQUIRE_FALSE(step.has_value());
    CHECK(step.error().sqlstate == sqlstate::invalid_password);
  }
  SUBCASE("the server proves itself wrongly") {
    std::string forged = *final;
    forged[4] = forged[4] == 'A' ? 'B' : 'A';
    const auto step = login.authentication(Code::sasl_final, forged);
    REQUIRE_FALSE(step.has_value());
    CHECK(step.error().sqlstate == sqlstate::invalid_password);
  }
  SUBCASE("the server skips the end of the authentication") { check_violation(login.take(kReady)); }
}

TEST_CASE("scram with channel binding, when the connection is encrypted and the server offers it") {
  Login login;
  login.login.bind_to("hash of the server's certificate");
  wire::ScramServer server(verifier_of("secret"), true, "server", "hash of the server's certificate");
  CHECK(waits(login.authentication(Code::sasl, kMechanisms)));
  const auto initial_message = login.answer();
  const auto initial = wire::decode_sasl_initial_response(initial_message.body);
  REQUIRE(initial.has_value());
  CHECK(initial->mechanism == wire::kScramSha256Plus);
  const auto first = server.first(initial->data, initial->mechanism);
  REQUIRE(first.has_value());
  CHECK(waits(login.authentication(Code::sasl_continue, *first)));
  const auto final = server.final(login.answer().body);
  REQUIRE(final.has_value());
  CHECK(waits(login.authentication(Code::sasl_final, *final)));
  finish(login);
}

TEST_CASE("scram on an encrypted connection to a server that does not offer to bind: it is told that we could") {
  Login login;
  login.login.bind_to("hash");
  CHECK(waits(login.authentication(Code::sasl, c_string("SCRAM-SHA-256") + c_string(""))));
  const auto message = login.answer();
  const auto initial = wire::decode_sasl_initial_response(message.body);
  REQUIRE(initial.has_value());
  CHECK(initial->mechanism == wire::kScramSha256);
  CHECK(initial->data.starts_with("y,,"));
}

TEST_CASE("scram with a client's keys instead of a password") {
  ServerCredentials credentials;
  credentials.keys = wire::keys_of("secret", verifier_of("secret"));
  SUBCASE("the server has the same verifier") {
    Login login(credentials);
    wire::ScramServer server(verifier_of("secret"), true, "server");
    CHECK(waits(login.authentication(Code::sasl, kMechanisms)));
    const auto message = login.answer();
    const auto first = server.first(wire::decode_sasl_initial_response(message.body)->data);
    CHECK(waits(login.authentication(Code::sasl_continue, *first)));
    const auto final = server.final(login.answer().body);
    REQUIRE(final.has_value());
    CHECK(waits(login.authentication(Code::sasl_final, *final)));
    finish(login);
  }
  SUBCASE("the server has another one") {
    Login login(credentials);
    auto other = verifier_of("secret");
    other.salt = "other";
    wire::ScramServer server(other, true, "server");
    CHECK(waits(login.authentication(Code::sasl, kMechanisms)));
    const auto message = login.answer();
    const auto first = server.first(wire::decode_sasl_initial_response(message.body)->data);
    const auto step = login.authentication(Code::sasl_continue, *first);
    REQUIRE_FALSE(step.has_value());
    CHECK(step.error().sqlstate == sqlstate::invalid_password);
    CHECK(login.silent());
  }
  SUBCASE("the server wants the password itself, or its MD5 hash") {
    for (const Code code : {Code::cleartext_password, Code::md5_password}) {
      Login login(credentials);
      const auto step = login.authentication(code, code == Code::md5_password ? "salt" : "");
      REQUIRE_FALSE(step.has_value());
      CHECK(step.error().sqlstate == sqlstate::invalid_authorization_specification);
      CHECK(step.error().hint.find("auth.server_password_file") != std::string::npos);
      CHECK(login.silent());
    }
  }
}

TEST_CASE("md5 with the hash alone") {
  ServerCredentials credentials;
  credentials.md5 = base::SecretText("md5" + wire::md5_hex("secretalice"));
  Login login(credentials);
  CHECK(waits(login.authentication(Code::md5_password, "salt")));
  CHECK(login.answer() == Message{'p', c_string("md5" + wire::md5_hex(wire::md5_hex("secretalice") + "salt"))});
  finish(login);
}

TEST_CASE("scram out of order") {
  Login login;
  check_violation(login.authentication(Code::sasl_continue, "r=x"));
  Login end;
  check_violation(end.authentication(Code::sasl_final, "v=x"));
  for (const std::string_view skipped : {"v=", "v=x"}) {
    Login early;  // the end right after the beginning: nothing has been proved
    CHECK(waits(early.authentication(Code::sasl, kMechanisms)));
    CHECK_FALSE(early.authentication(Code::sasl_final, skipped).has_value());
  }
  Login tampered;
  CHECK(waits(tampered.authentication(Code::sasl, kMechanisms)));
  check_violation(tampered.authentication(Code::sasl_continue, "r=notours,s=c2FsdA==,i=16"));
}

TEST_CASE("what cannot be given is said") {
  for (const Code code : {Code::cleartext_password, Code::md5_password, Code::sasl}) {
    Login login(ServerCredentials{});
    const auto step = login.authentication(code, code == Code::sasl ? kMechanisms : "salt");
    REQUIRE_FALSE(step.has_value());
    CHECK(step.error().sqlstate == sqlstate::invalid_authorization_specification);
    CHECK(step.error().message.find("\"alice\"") != std::string::npos);
    CHECK_FALSE(step.error().hint.empty());
    CHECK(login.silent());
  }
  for (const Code code : {Code::gss, Code::gss_continue, Code::sspi, Code::kerberos_v5, static_cast<Code>(99)}) {
    Login login;
    const auto step = login.authentication(code);
    REQUIRE_FALSE(step.has_value());
    CHECK(step.error().sqlstate == sqlstate::feature_not_supported);
  }
  Login plus;
  const auto step = plus.authentication(Code::sasl, c_string("SCRAM-SHA-256-PLUS") + c_string(""));
  REQUIRE_FALSE(step.has_value());
  CHECK(step.error().sqlstate == sqlstate::feature_not_supported);
}

TEST_CASE("the server's own error comes through") {
  Login login;
  const auto step = login.take(test::message([](auto& out) {
    wire::encode_error(out, wire::Severity::fatal, {sqlstate::invalid_catalog_name, "no such database", "d", "h"});
  }));
  REQUIRE_FALSE(step.has_value());
  CHECK(step.error().sqlstate == sqlstate::invalid_catalog_name);
  CHECK(step.error().message == "no such database");
  CHECK(step.error().detail == "d");
  CHECK(step.error().hint == "h");
  Login malformed;
  check_violation(malformed.take(Message{'E', "S"}));
  Login without_code;
  const auto vague = without_code.take(Message{'E', c_string("")});
  REQUIRE_FALSE(vague.has_value());
  CHECK(vague.error().sqlstate == sqlstate::internal_error);
}

TEST_CASE("what does not belong into a login") {
  for (const char type : {'T', 'D', 'C', '1', 'A', 'G', 'x'}) {
    Login before;
    check_violation(before.take(Message{type, ""}));
    Login after;
    CHECK(waits(after.authentication(Code::ok)));
    check_violation(after.take(Message{type, ""}));
  }
  for (const Message& early : {kReady, key_data(), parameter("a", "b")}) {
    Login login;
    check_violation(login.take(early));
  }
  Login twice;
  CHECK(waits(twice.authentication(Code::ok)));
  check_violation(twice.authentication(Code::cleartext_password));
  CHECK(twice.silent());
}
