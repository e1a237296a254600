// Failed logins by address, over a clock that the test moves.
#include "session/login_failures.h"

#include <string>

#include "doctest/doctest.h"

using namespace pgweir;
using namespace std::chrono_literals;
using session::LoginFailures;

namespace {

struct Fixture {
  LoginFailures failures;
  base::Time now = base::Time{} + 1h;
  base::Duration delay = 1s, patience = 60s;

  std::optional<base::Duration> admit(std::string_view address, std::string_view user = "alice") {
    return failures.admit(address, user, delay, patience, now);
  }
  std::optional<base::Duration> fail(std::string_view address, std::string_view user = "alice") {
    return failures.failed(address, user, delay, now);
  }
  void succeed(std::string_view address, std::string_view user) { failures.succeeded(address, user, delay, now); }
};

}  // namespace

TEST_CASE("each failure is answered later") {
  Fixture f;
  CHECK(f.admit("10.0.0.9") == 0s);
  CHECK(f.fail("10.0.0.9") == 1s);
  CHECK(f.fail("10.0.0.9") == 1s);
}

TEST_CASE("after some failures proofs from that address are checked in turn, from others at once") {
  Fixture f;
  for (unsigned i = 0; i < LoginFailures::kFree; ++i) CHECK(f.fail("10.0.0.9") == 1s);
  CHECK(f.admit("10.0.0.9") == 0s);
  CHECK(f.fail("10.0.0.9") == 1s);
  CHECK(f.admit("10.0.0.9") == 0s);  // the first turn is now
  CHECK(f.admit("10.0.0.9") == 1s);
  CHECK(f.admit("10.0.0.9") == 2s);
  CHECK(f.admit("10.0.0.1") == 0s);
  f.now += 1500ms;
  CHECK(f.admit("10.0.0.9") == 1500ms);
}

TEST_CASE("nobody waits for longer than the login may take, and only some wait at all") {
  Fixture f;
  f.patience = 3s;
  for (unsigned i = 0; i <= LoginFailures::kFree; ++i) CHECK(f.fail("10.0.0.9").has_value());
  for (int i = 0; i <= 3; ++i) CHECK(f.admit("10.0.0.9").has_value());
  CHECK_FALSE(f.admit("10.0.0.9").has_value());
  f.now += 1s;
  CHECK(f.admit("10.0.0.9") == 3s);
  f.patience = 1h;
  unsigned admitted = 0;
  while (f.admit("10.0.0.9").has_value()) REQUIRE(++admitted < 1000);
  CHECK(admitted <= LoginFailures::kMostHeld);
}

TEST_CASE("answers that are held back are bounded") {
  Fixture f;
  unsigned held = 0;
  while (f.fail("10.0.0.9").has_value()) REQUIRE(++held < 1000);
  CHECK(held == LoginFailures::kMostHeld);
  f.now += 2s;
  CHECK(f.fail("10.0.0.9") == 1s);
}

TEST_CASE("who has logged in from there before is not held up by others, until a failure of his own") {
  Fixture f;
  f.succeed("127.0.0.1", "app");
  for (int i = 0; i < 20; ++i) CHECK(f.fail("127.0.0.1", "misconfigured").has_value());
  CHECK(f.admit("127.0.0.1", "app") == 0s);
  CHECK(f.admit("127.0.0.1", "app") == 0s);
  CHECK(f.admit("127.0.0.1", "other") == 0s);  // takes the first turn
  CHECK(f.admit("127.0.0.1", "other") == 1s);
  CHECK(f.fail("127.0.0.1", "app").has_value());
  CHECK(f.admit("127.0.0.1", "app") == 2s);
}

TEST_CASE("failures are forgotten") {
  Fixture f;
  for (int i = 0; i < 20; ++i) CHECK(f.fail("10.0.0.9").has_value());
  CHECK(f.admit("10.0.0.9") == 0s);
  CHECK(f.admit("10.0.0.9") == 1s);
  f.now += LoginFailures::kDelaysRemembered * f.delay + 1s;
  CHECK(f.admit("10.0.0.9") == 0s);
  CHECK(f.admit("10.0.0.9") == 0s);
}

TEST_CASE("without a delay nothing is counted") {
  Fixture f;
  f.delay = 0s;
  for (int i = 0; i < 100; ++i) CHECK(f.fail("10.0.0.9") == 0s);
  CHECK(f.admit("10.0.0.9") == 0s);
  f.succeed("10.0.0.9", "app");
  CHECK(f.failures.size() == 0);
}

TEST_CASE("the table is bounded: who was heard of longest ago goes first") {
  Fixture f;
  for (std::size_t i = 0; i < LoginFailures::kMostAddresses; ++i) CHECK(f.fail("a" + std::to_string(i)).has_value());
  for (unsigned i = 0; i <= LoginFailures::kFree; ++i) CHECK(f.fail("a0").has_value());
  for (int i = 0; i < 100; ++i) CHECK(f.fail("b" + std::to_string(i)).has_value());
  CHECK(f.failures.size() == LoginFailures::kMostAddresses);
  CHECK(f.admit("a0") == 0s);
  CHECK(f.admit("a0") == 1s);  // still known
}
