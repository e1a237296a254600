// The forms of secrets.
#include "config/secret.h"

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "doctest/doctest.h"

using namespace pgweir::config;

namespace {

// The bytes 0..15, 0x20 and 0x21 thirty-two times.
const std::string kSalt = "AAECAwQFBgcICQoLDA0ODw==";
const std::string kStored = "ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICA=";
const std::string kServer = "ISEhISEhISEhISEhISEhISEhISEhISEhISEhISEhISE=";
const std::string kVerifier = "SCRAM-SHA-256$4096:" + kSalt + "$" + kStored + ":" + kServer;

std::string error_of(const std::string& secret) {
  const auto verifier = parse_verifier(secret);
  return verifier ? "" : verifier.error().message;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("a verifier is split and decoded") {
  const auto verifier = parse_verifier(kVerifier);
  REQUIRE(verifier.has_value());
  CHECK(verifier->iterations == 4096);
  CHECK(verifier->salt == std::string("\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17", 16));
  CHECK(verifier->stored_key == std::string(32, ' '));
  CHECK(verifier->server_key == std::string(32, '!'));
}

TEST_CASE("the kind of a secret is told by its form") {
  const std::string md5 = "md5" + std::string(32, 'a');
  CHECK(std::holds_alternative<ScramVerifier>(*parse_secret(kVerifier)));
  CHECK(std::holds_alternative<Md5Hash>(*parse_secret(md5)));
  CHECK(std::get<Md5Hash>(*parse_secret(md5)).text == md5);
  for (const std::string& plain :
       {std::string("secret"), std::string("md5"), md5 + "a", "md5" + std::string(32, 'A'),
        "md5" + std::string(31, 'a') + "g", std::string("SCRAM-SHA-1$x"), std::string(" ")}) {
    CAPTURE(plain);
    const auto secret = parse_secret(plain);
    REQUIRE(secret.has_value());
    REQUIRE(std::holds_alternative<PlainPassword>(*secret));
    CHECK(std::get<PlainPassword>(*secret).text == plain);
  }
  CHECK_FALSE(parse_secret("").has_value());
  // What begins like a verifier is never taken for a password.
  CHECK_FALSE(parse_secret("SCRAM-SHA-256$4096:x").has_value());
}

TEST_CASE("every part of a verifier is checked") {
  const std::string head = "SCRAM-SHA-256$";
  for (const auto& each : std::vector<std::pair<std::string, std::string>>{
           {head, "not of the form"},
           {head + "4096:" + kSalt, "not of the form"},
           {head + "4096:" + kSalt + "$" + kStored, "not of the form"},
           {head + "x:" + kSalt + "$" + kStored + ":" + kServer, "iterations"},
           {head + "0:" + kSalt + "$" + kStored + ":" + kServer, "iterations"},
           {head + "9999999999:" + kSalt + "$" + kStored + ":" + kServer, "iterations"},
           {head + "4096:$" + kStored + ":" + kServer, "salt"},
           {head + "4096:AAE$" + kStored + ":" + kServer, "salt"},
           {head + "4096:A*==$" + kStored + ":" + kServer, "salt"},
           {head + "4096:AB==$" + kStored + ":" + kServer, "salt"},
           {head + "4096:====$" + kStored + ":" + kServer, "salt"},
           {head + "4096:" + kSalt + "$" + kSalt + ":" + kServer, "StoredKey"},
           {head + "4096:" + kSalt + "$" + kStored + ":" + kSalt, "ServerKey"},
           {head + "4096:" + kSalt + "$" + kStored + ":", "ServerKey"},
           {kVerifier + "x", "ServerKey"}}) {
    CAPTURE(each.first);
    CHECK(has(error_of(each.first), each.second));
  }
}

TEST_CASE("a cut verifier is never accepted") {
  for (std::size_t length = 0; length < kVerifier.size(); ++length) {
    CAPTURE(length);
    CHECK_FALSE(parse_verifier(std::string_view(kVerifier).substr(0, length)).has_value());
  }
}
