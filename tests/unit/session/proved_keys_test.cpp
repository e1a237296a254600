// The keys of users who have proved themselves.
#include "session/proved_keys.h"

#include <string>

#include "doctest/doctest.h"
#include "wire/scram.h"

using namespace pgweir;
using session::ProvedKeys;

namespace {
config::ScramVerifier verifier(std::string_view password) { return wire::make_verifier(password, "salt", 16); }
wire::ScramKeys keys(std::string_view password) { return *wire::keys_of(password, verifier(password)); }
}  // namespace

TEST_CASE("the newest keys of a user count") {
  ProvedKeys proved;
  CHECK(proved.find("alice") == nullptr);
  proved.remember("alice", keys("one"));
  proved.remember("alice", keys("two"));
  REQUIRE(proved.find("alice"));
  CHECK(proved.find("alice")->fit(verifier("two")));
  CHECK(proved.size() == 1);
  proved.remember("bob", {});  // an exchange that gave none
  CHECK(proved.find("bob") == nullptr);
}

TEST_CASE("keys go when the verifier is another, or none") {
  ProvedKeys proved;
  const config::Secret same = verifier("one"), other = verifier("two"), md5 = config::Md5Hash{"md5..."};
  proved.remember("alice", keys("one"));
  proved.check("alice", &same);
  proved.check("nobody", nullptr);
  CHECK(proved.find("alice"));
  proved.check("alice", &other);
  CHECK_FALSE(proved.find("alice"));
  proved.remember("alice", keys("one"));
  proved.check("alice", &md5);
  CHECK_FALSE(proved.find("alice"));
  proved.remember("alice", keys("one"));
  proved.check("alice", nullptr);
  CHECK_FALSE(proved.find("alice"));
}

TEST_CASE("keys that a server has refused go, newer ones stay") {
  ProvedKeys proved;
  proved.remember("alice", keys("one"));
  const auto refused = proved.find("alice");
  proved.remember("alice", keys("two"));
  proved.forget("alice", refused);
  CHECK(proved.find("alice"));
  proved.forget("alice", proved.find("alice"));
  CHECK_FALSE(proved.find("alice"));
}
