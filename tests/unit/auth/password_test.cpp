// Passwords against each kind of secret.
#include "auth/password.h"

#include <string>

#include "doctest/doctest.h"
#include "wire/crypto.h"

using namespace pgweir;
using namespace pgweir::auth;

namespace {
config::ScramVerifier verifier_of(std::string_view password) {
  config::ScramVerifier verifier{16, "0123456789abcdef", {}, {}};
  const auto salted = wire::pbkdf2_sha256(wire::saslprep(password), verifier.salt, verifier.iterations);
  verifier.stored_key = wire::view(wire::sha256(wire::view(wire::hmac_sha256(wire::view(salted), "Client Key"))));
  verifier.server_key = wire::view(wire::hmac_sha256(wire::view(salted), "Server Key"));
  return verifier;
}
}  // namespace

TEST_CASE("an MD5 hash is what PostgreSQL makes") {
  // SELECT 'md5' || md5('secret' || 'alice')
  CHECK(md5_hash("secret", "alice") == "md5" + wire::md5_hex("secretalice"));
  CHECK(md5_hash("secret", "alice").size() == 35);
}

TEST_CASE("the right password and others") {
  const config::Secret secrets[] = {verifier_of("secret"), config::Md5Hash{md5_hash("secret", "alice")},
                                    config::PlainPassword{"secret", verifier_of("secret")}};
  for (const config::Secret& secret : secrets) {
    CAPTURE(secret.index());
    CHECK(is_password(secret, "alice", "secret"));
    for (const char* wrong : {"", "Secret", "secret ", "secre", "md5"})
      CHECK_FALSE(is_password(secret, "alice", wrong));
  }
  auto endless = verifier_of("secret");
  endless.iterations = 2'000'000'000;
  CHECK_FALSE(is_password(endless, "alice", "secret"));
  CHECK_FALSE(is_password(secrets[1], "bob", "secret"));  // the user is part of it
  // Whoever knows the hash does not know the password.
  CHECK_FALSE(is_password(secrets[1], "alice", std::get<config::Md5Hash>(secrets[1]).text));
}

TEST_CASE("the answer to an MD5 challenge") {
  const config::Md5Hash secret{md5_hash("secret", "alice")};
  CHECK(md5_response(secret, "salt") == "md5" + wire::md5_hex(wire::md5_hex("secretalice") + "salt"));
  CHECK(md5_response(secret, "salt") != md5_response(secret, "tlas"));
}
