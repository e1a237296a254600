// Verifiers for passwords that stand in a file as they are.
#include "wire/add_verifiers.h"

#include <string>
#include <variant>

#include "doctest/doctest.h"
#include "wire/scram.h"

using namespace pgweir;

TEST_CASE("each password gets a verifier, with the salt that an unknown user would have") {
  config::Users users;
  users.emplace("alice", config::PlainPassword{"secret", {}});
  users.emplace("bob", config::Md5Hash{"md5" + std::string(32, '0')});
  wire::add_verifiers(users, {}, "process secret");
  const auto& alice = std::get<config::PlainPassword>(users.at("alice"));
  CHECK(alice.verifier.salt == wire::mock_verifier("alice", "process secret").salt);
  CHECK(wire::keys_of("secret", alice.verifier).has_value());
  CHECK_FALSE(wire::keys_of("other", alice.verifier).has_value());
  CHECK(std::holds_alternative<config::Md5Hash>(users.at("bob")));
}

TEST_CASE("a verifier is taken over as long as the password is the same") {
  config::Users before;
  before.emplace("alice", config::PlainPassword{"secret", {1, "kept", "stored", "server"}});
  before.emplace("bob", config::PlainPassword{"old", {1, "kept", "stored", "server"}});
  config::Users after;
  after.emplace("alice", config::PlainPassword{"secret", {}});
  after.emplace("bob", config::PlainPassword{"new", {}});
  wire::add_verifiers(after, before, "process secret");
  CHECK(std::get<config::PlainPassword>(after.at("alice")).verifier.salt == "kept");
  CHECK(wire::keys_of("new", std::get<config::PlainPassword>(after.at("bob")).verifier).has_value());
}
