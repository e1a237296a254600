// What logins share: answers about users, and the keys that depend on them.
#include "session/logins.h"

#include "doctest/doctest.h"
#include "wire/scram.h"

using namespace pgweir;
using namespace std::chrono_literals;
using session::Logins;

namespace {
cluster::KnownUser user(std::string_view password) { return {wire::make_verifier(password, "salt", 16)}; }
}  // namespace

TEST_CASE("an answer with another verifier takes the keys away") {
  Logins logins;
  const auto known = logins.store("alice", user("one"), 1h);
  CHECK(logins.user("alice") == known);
  logins.keys.remember("alice", *wire::keys_of("one", std::get<config::ScramVerifier>(*known->secret)));
  logins.store("alice", user("one"), 1h);
  CHECK(logins.keys.find("alice"));
  logins.store("alice", user("two"), 1h);
  CHECK_FALSE(logins.keys.find("alice"));
}

TEST_CASE("that there is no such user holds for a short time only, whatever the time to live") {
  Logins logins;
  logins.store("nobody", {}, 0s);
  CHECK_FALSE(logins.user("nobody"));
  logins.store("nobody", {}, 1h);
  REQUIRE(logins.user("nobody"));
  CHECK_FALSE(logins.user("nobody")->secret);
  CHECK(Logins::kUnknownHolds <= 1s);
}

TEST_CASE("forgotten answers are asked for again") {
  Logins logins;
  logins.store("alice", user("one"), 1h);
  logins.distrust("alice");  // too new for that
  CHECK(logins.user("alice"));
  logins.forget_answers();
  CHECK_FALSE(logins.user("alice"));
  CHECK_FALSE(logins.last_known("alice"));
}
