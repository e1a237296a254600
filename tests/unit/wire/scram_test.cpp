// SCRAM-SHA-256: the published exchange, our client against our server, and everybody who is not who he says.
#include "wire/scram.h"

#include <string>
#include <string_view>
#include <vector>

#include "doctest/doctest.h"
#include "wire/crypto.h"

namespace {

using namespace pgweir;
using namespace pgweir::wire;
namespace sqlstate = base::sqlstate;

config::ScramVerifier verifier_of(std::string_view password, const std::string& salt, int iterations) {
  return make_verifier(password, salt, iterations);
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

// RFC 7677 again: the verifier of its password, as PostgreSQL would keep it.
TEST_CASE("a verifier is made of a password") {
  const auto made = make_verifier("pencil", base64_decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096);
  CHECK(base64_encode(made.stored_key) == "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=");
  CHECK(base64_encode(made.server_key) == "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=");
}

TEST_CASE("channel binding: client and server agree when they see the same certificate") {
  const auto verifier = verifier_of("secret", "salt", 16);
  const auto run = [&](const std::string& seen_by_client, const std::string& of_server) {
    ScramClient client("secret", "client", {seen_by_client, true});
    ScramServer server(verifier, true, "server", of_server);
    CHECK(client.mechanism() == kScramSha256Plus);
    CHECK(client.first() == "p=tls-server-end-point,,n=,r=client");
    const auto first = server.first(client.first(), client.mechanism());
    REQUIRE(first.has_value());
    const auto final = client.final(*first);
    REQUIRE(final.has_value());
    auto answer = server.final(*final);
    if (answer) CHECK(client.verify(*answer).has_value());
    return answer;
  };
  CHECK(run("hash of a certificate", "hash of a certificate").has_value());
  const auto other = run("hash of the man in the middle", "hash of a certificate");
  REQUIRE_FALSE(other.has_value());
  CHECK(other.error().sqlstate == sqlstate::invalid_authorization_specification);
  CHECK(other.error().message == "SCRAM channel binding check failed");
}

TEST_CASE("channel binding: what is offered, and what a client chooses") {
  CHECK(offered_mechanisms("") == std::vector<std::string_view>{"SCRAM-SHA-256"});
  CHECK(offered_mechanisms("hash") == std::vector<std::string_view>{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"});
  const auto first = [](std::string end_point, bool offered) {
    const ScramClient client("secret", "client", {std::move(end_point), offered});
    return std::string(client.mechanism()) + " " + client.first();
  };
  CHECK(first("", false) == "SCRAM-SHA-256 n,,n=,r=client");
  CHECK(first("", true) == "SCRAM-SHA-256 n,,n=,r=client");  // without TLS there is nothing to bind to
  CHECK(first("hash", false) == "SCRAM-SHA-256 y,,n=,r=client");
  CHECK(first("hash", true) == "SCRAM-SHA-256-PLUS p=tls-server-end-point,,n=,r=client");
}

TEST_CASE("channel binding: what a server refuses") {
  const auto verifier = verifier_of("secret", "salt", 16);
  const auto code = [&](std::string_view message, std::string_view mechanism, const std::string& end_point) {
    ScramServer server(verifier, true, "server", end_point);
    const auto answer = server.first(message, mechanism);
    return answer ? std::string("taken") : std::string(answer.error().sqlstate.view());
  };
  const std::string plain(kScramSha256), plus(kScramSha256Plus);
  CHECK(code("p=tls-server-end-point,,n=,r=a", plus, "hash") == "taken");
  CHECK(code("n,,n=,r=a", plain, "hash") == "taken");  // a client that cannot bind
  // It could, and has not seen the offer: somebody has taken it out of the list.
  CHECK(code("y,,n=,r=a", plain, "hash") == "28000");
  CHECK(code("y,,n=,r=a", plain, "") == "taken");
  CHECK(code("y,,n=,r=a", plus, "hash") == "08P01");
  CHECK(code("n,,n=,r=a", plus, "hash") == "08P01");
  CHECK(code("p=tls-server-end-point,,n=,r=a", plain, "hash") == "08P01");
  CHECK(code("p=tls-server-end-point,,n=,r=a", plus, "") == "08P01");  // never offered
  CHECK(code("n,,n=,r=a", "SCRAM-SHA-1", "hash") == "08P01");
  CHECK(code("n,,n=,r=a", "", "hash") == "08P01");
  for (const std::string_view type : {"p=tls-unique,,", "p=tls-exporter,,", "p=,,", "p=tls-server-end-point2,,"})
    CHECK(code(std::string(type) + "n=,r=a", plus, "hash") == "0A000");
  for (const std::string_view header : {"p", "p=", "p=tls-server-end-point", "p,,", "ptls-server-end-point,,"})
    CHECK(code(std::string(header) + "n=,r=a", plus, "hash") != "taken");
  CHECK(code("p=tls-server-end-point,a=other,n=,r=a", plus, "hash") == "0A000");
}

TEST_CASE("channel binding: the data of the final message is compared") {
  const auto verifier = verifier_of("secret", "salt", 16);
  // A client that says it binds and sends the header alone, or another channel, with a proof that is right for that.
  const auto refused = [&](const std::string& data) {
    ScramServer server(verifier, true, "server", "hash");
    const auto first = server.first("p=tls-server-end-point,,n=,r=client", kScramSha256Plus);
    REQUIRE(first.has_value());
    const std::string without_proof = "c=" + base64_encode(data) + ",r=clientserver";
    const auto keys = keys_of("secret", verifier);
    REQUIRE(keys.has_value());
    std::string proof = keys->client_key;
    const auto signature = hmac_sha256(verifier.stored_key, "n=,r=client," + *first + "," + without_proof);
    for (std::size_t i = 0; i < proof.size(); ++i) proof[i] = static_cast<char>(proof[i] ^ signature[i]);
    return !server.final(without_proof + ",p=" + base64_encode(proof)).has_value();
  };
  CHECK_FALSE(refused("p=tls-server-end-point,,hash"));
  for (const std::string data : {"p=tls-server-end-point,,", "p=tls-server-end-point,,hasx",
                                 "p=tls-server-end-point,,hash2", "n,,", "y,,", "", "hash"}) {
    CAPTURE(data);
    CHECK(refused(data));
  }
}

TEST_CASE("pass-through: the keys of a client that has proved itself log in where the verifier is the same") {
  const auto verifier = verifier_of("secret", "salt", 16);
  ScramClient client("secret", "client");
  ScramServer server(verifier, true, "server");
  REQUIRE(server.final(*client.final(*server.first(client.first()))).has_value());
  const ScramKeys keys = server.take_keys();
  CHECK(keys.fit(verifier));
  CHECK_FALSE(keys.fit(verifier_of("secret", "other salt", 16)));
  CHECK_FALSE(keys.fit(verifier_of("other", "salt", 16)));
  CHECK_FALSE(ScramKeys{}.fit(verifier));

  ScramClient onward(keys, "onward", {"hash", true});
  ScramServer next(verifier, true, "next", "hash");
  const auto final = onward.final(*next.first(onward.first(), onward.mechanism()));
  REQUIRE(final.has_value());
  const auto answer = next.final(*final);
  REQUIRE(answer.has_value());
  CHECK(onward.verify(*answer).has_value());

  // Another salt or another number of iterations: nothing is sent that could be of use to anybody.
  for (const auto& other : {verifier_of("secret", "other", 16), verifier_of("secret", "salt", 17)}) {
    ScramClient stale(keys, "stale", {});
    ScramServer elsewhere(other, true, "elsewhere");
    const auto refused = stale.final(*elsewhere.first(stale.first()));
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().sqlstate == sqlstate::invalid_password);
    CHECK_FALSE(stale.verify("v=" + base64_encode(std::string(32, 'x'))).has_value());
  }
}

TEST_CASE("a failed exchange gives no keys") {
  const auto verifier = verifier_of("secret", "salt", 16);
  ScramClient client("wrong", "client");
  ScramServer server(verifier, true, "server");
  REQUIRE_FALSE(server.final(*client.final(*server.first(client.first()))).has_value());
  CHECK(server.take_keys().client_key.empty());
}

TEST_CASE("a password in clear text gives the keys, a wrong one none") {
  const auto verifier = verifier_of("secret", "salt", 16);
  const auto keys = keys_of("secret", verifier);
  REQUIRE(keys.has_value());
  CHECK(keys->fit(verifier));
  for (const std::string_view wrong : {"", "Secret", "secret ", "secre"})
    CHECK_FALSE(keys_of(wrong, verifier).has_value());
  CHECK_FALSE(keys_of("secret", mock_verifier("alice", "mock secret")).has_value());
}

TEST_CASE("nonces are printable, without commas, and differ") {
  const std::string nonce = scram_nonce();
  CHECK(nonce.size() == 24);
  for (const char c : nonce) CHECK((c > ' ' && c < 0x7f && c != ','));
  CHECK(nonce != scram_nonce());
}
