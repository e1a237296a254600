// SCRAM-SHA-256: the published exchange, our client against our server, and everybody who is not who he says.
#include "wire/scram.h"

#include <string>

#include "doctest/doctest.h"
#include "wire/crypto.h"

namespace {

using namespace pgweir;
using namespace pgweir::wire;
namespace sqlstate = base::sqlstate;

config::ScramVerifier verifier_of(std::string_view password, const std::string& salt, int iterations) {
  config::ScramVerifier verifier;
  verifier.iterations = iterations;
  verifier.salt = salt;
  const auto salted = pbkdf2_sha256(saslprep(password), salt, iterations);
  verifier.stored_key = view(sha256(view(hmac_sha256(view(salted), "Client Key"))));
  verifier.server_key = view(hmac_sha256(view(salted), "Server Key"));
  return verifier;
}

// One exchange; what each side says at the end.
struct Exchange {
  base::Result<std::string> server_final = base::fail(sqlstate::internal_error, "did not come so far");
  base::Result<bool> verified = base::fail(sqlstate::internal_error, "did not come so far");
};

Exchange exchange(std::string_view password, const config::ScramVerifier& verifier, bool known) {
  Exchange result;
  ScramClient client(password, "client");
  ScramServer server(verifier, known, "server");
  const auto first = server.first(client.first());
  REQUIRE(first.has_value());
  const auto final = client.final(*first);
  REQUIRE(final.has_value());
  result.server_final = server.final(*final);
  if (result.server_final) result.verified = client.verify(*result.server_final);
  return result;
}

}  // namespace

// RFC 7677, section 3, with the server's part of the nonce given. The client's first message there names a user, which
// ours does not, so the vector is checked at the server.
TEST_CASE("the exchange of RFC 7677") {
  const auto verifier = verifier_of("pencil", base64_decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096);
  ScramServer server(verifier, true, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
  const auto first = server.first("n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
  REQUIRE(first.has_value());
  CHECK(*first == "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
  const auto final = server.final(
      "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
  REQUIRE(final.has_value());
  CHECK(*final == "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

TEST_CASE("client and server agree on the right password only") {
  for (const std::string_view password : {"secret", "", "p,=w", "\u2168", "\xff"}) {
    const auto verifier = verifier_of(password, "salt", 16);
    const auto right = exchange(password, verifier, true);
    CHECK(right.server_final.has_value());
    CHECK(right.verified.has_value());
    const auto wrong = exchange(std::string(password) + "x", verifier, true);
    REQUIRE_FALSE(wrong.server_final.has_value());
    CHECK(wrong.server_final.error().sqlstate == sqlstate::invalid_password);
  }
}

TEST_CASE("a user who does not exist fails in the same words, whatever the proof") {
  const auto unknown = exchange("secret", verifier_of("secret", "salt", 16), false);
  const auto wrong = exchange("other", verifier_of("secret", "salt", 16), true);
  REQUIRE_FALSE(unknown.server_final.has_value());
  REQUIRE_FALSE(wrong.server_final.has_value());
  CHECK(unknown.server_final.error().message == wrong.server_final.error().message);
  CHECK(unknown.server_final.error().sqlstate == wrong.server_final.error().sqlstate);

  const auto mock = mock_verifier("mallory", "mock secret");
  CHECK(mock == mock_verifier("mallory", "mock secret"));
  CHECK(mock.salt != mock_verifier("trudy", "mock secret").salt);
  CHECK(mock.salt != mock_verifier("mallory", "another").salt);
  CHECK(mock.salt.size() == 16);
  CHECK(mock.iterations == 4096);
}

TEST_CASE("what a client must not say first") {
  const auto code = [](std::string_view message) {
    ScramServer server(verifier_of("secret", "salt", 16), true, "server");
    const auto answer = server.first(message);
    REQUIRE_FALSE(answer.has_value());
    return answer.error().sqlstate;
  };
  for (const std::string_view message : {"", "n", "n,", "n,,", "n,,n=", "n,,n=,", "n,,n=,r=", "x,,n=,r=a", "n,b,n=,r=a",
                                         "n,,r=a", "n,,r=a,n=", "N,,n=,r=a", "n,n=,r=a"}) {
    CAPTURE(message);
    CHECK(code(message) == sqlstate::protocol_violation);
  }
  CHECK(code("p=tls-unique,,n=,r=a") == sqlstate::feature_not_supported);
  CHECK(code("n,a=other,n=,r=a") == sqlstate::feature_not_supported);
  CHECK(code("n,,m=x,n=,r=a") == sqlstate::feature_not_supported);
}

TEST_CASE("a client that could bind to a channel says so; what it says must be repeated") {
  const auto verifier = verifier_of("secret", "salt", 16);
  ScramServer server(verifier, true, "server");
  REQUIRE(server.first("y,,n=,r=client").has_value());
  const std::string proof = base64_encode(std::string(32, 'x'));
  CHECK(server.final("c=biws,r=clientserver,p=" + proof).error().sqlstate == sqlstate::protocol_violation);
  CHECK(server.final("c=eSws,r=clientserver,p=" + proof).error().sqlstate == sqlstate::invalid_password);
}

TEST_CASE("a final message that was tampered with") {
  const auto verifier = verifier_of("secret", "salt", 16);
  ScramClient client("secret", "client");
  ScramServer server(verifier, true, "server");
  const auto final = client.final(*server.first(client.first()));
  REQUIRE(final.has_value());
  CHECK_FALSE(server.final("").has_value());
  for (std::size_t size = 0; size < final->size(); ++size)
    CHECK_FALSE(server.final(final->substr(0, size)).has_value());
  for (std::size_t i = 0; i < final->size(); ++i) {
    std::string changed = *final;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    CAPTURE(i);
    CHECK_FALSE(server.final(changed).has_value());
  }
  std::string more = *final;
  more.insert(more.find(",p="), ",x=extension");  // not what was signed
  CHECK_FALSE(server.final(more).has_value());
  CHECK(server.final(*final).has_value());
}

TEST_CASE("a client does not answer a server that is not in its exchange") {
  const auto answer = [](std::string_view server_first) { return ScramClient("secret", "client").final(server_first); };
  CHECK(answer("r=clientserver,s=c2FsdA==,i=16").has_value());
  for (const std::string_view message :
       {"", "r=", "r=client,s=c2FsdA==,i=16", "r=other,s=c2FsdA==,i=16", "r=clientx", "r=clientx,s=,i=16",
        "r=clientx,s=c2FsdA==", "r=clientx,s=not base64,i=16", "r=clientx,s=c2FsdA==,i=", "r=clientx,s=c2FsdA==,i=0",
        "r=clientx,s=c2FsdA==,i=-1", "r=clientx,s=c2FsdA==,i=99999999999", "r=clientx,s=c2FsdA==,i=1000001",
        "r=clientx,s=c2FsdA==,i=16x", "m=x,r=clientx,s=c2FsdA==,i=16"}) {
    CAPTURE(message);
    const auto refused = answer(message);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().sqlstate == sqlstate::protocol_violation);
  }
}

TEST_CASE("a client believes only a server that knows the verifier") {
  const auto verifier = verifier_of("secret", "salt", 16);
  ScramClient client("secret", "client");
  ScramServer server(verifier, true, "server");
  for (const std::string_view early : {"", "v", "v=", "v=x", "v=AAAA"}) CHECK_FALSE(client.verify(early).has_value());
  const auto final = server.final(*client.final(*server.first(client.first())));
  REQUIRE(final.has_value());
  for (const std::string_view forged : {"", "v=", "e=other-error", "v=AAAA"})
    CHECK_FALSE(client.verify(forged).has_value());
  CHECK(client.verify(*final).has_value());
}

TEST_CASE("nonces are printable, without commas, and differ") {
  const std::string nonce = scram_nonce();
  CHECK(nonce.size() == 24);
  for (const char c : nonce) CHECK((c > ' ' && c < 0x7f && c != ','));
  CHECK(nonce != scram_nonce());
}
