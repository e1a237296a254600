// What start-up messages lead to, and for whom it is the same.
#include "session/beginnings.h"

#include <string>

#include "doctest/doctest.h"

using namespace pgweir;
using config::PoolMode;
using session::begin;
using session::Beginnings;

namespace {

wire::StartupMessage message(session::Parameters parameters, std::string replication = "") {
  wire::StartupMessage message;
  message.user = "alice";
  message.database = "shop";
  message.replication = std::move(replication);
  message.parameters = std::move(parameters);
  return message;
}

struct Fixture {
  session::Account account{"shop", "alice", nullptr, {}};
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "with shared servers what can be set later is a setting") {
  const auto plain = begin(message({}), account, PoolMode::transaction);
  CHECK(plain.account == &account);
  CHECK(plain.mode == PoolMode::transaction);
  CHECK(plain.settings == nullptr);
  CHECK(plain.startup_class->parameters().empty());

  const auto named = begin(message({{"application_name", "till"}}), account, PoolMode::transaction);
  REQUIRE(named.settings);
  CHECK(named.settings->size() == 1);
  CHECK(named.startup_class == plain.startup_class);
  CHECK(named.welcome == nullptr);
}

TEST_CASE_FIXTURE(Fixture, "by session, and for replication, all of it belongs to the connection") {
  const auto own = begin(message({{"application_name", "till"}}), account, PoolMode::session);
  CHECK(own.settings == nullptr);
  CHECK(own.startup_class->parameters().size() == 1);
  const auto sender = begin(message({}, "database"), account, PoolMode::transaction);
  CHECK(sender.mode == PoolMode::session);
  CHECK(sender.startup_class->replication());
}

TEST_CASE_FIXTURE(Fixture, "the same message leads to the same, another one does not") {
  Beginnings beginnings;
  const auto set = [&](const wire::StartupMessage& said) {
    auto& known = beginnings.of(said);
    const bool is_new = known == nullptr;
    if (is_new) known = std::make_shared<session::Beginning>(begin(said, account, PoolMode::transaction));
    return is_new;
  };
  CHECK(set(message({{"TimeZone", "UTC"}})));
  CHECK_FALSE(set(message({{"TimeZone", "UTC"}})));
  CHECK(set(message({{"TimeZone", "GMT"}})));
  CHECK(set(message({})));
  CHECK(set(message({}, "TimeZone")));
  CHECK(set(message({{"TimeZone", ""}})));
  auto other = message({});
  other.user = "bob";
  CHECK(set(other));
  beginnings.forget();
  CHECK(set(message({})));
}

TEST_CASE_FIXTURE(Fixture, "what is remembered of beginnings is bounded") {
  Beginnings beginnings;
  const auto first = message({{"application_name", "0"}});
  beginnings.of(first) = std::make_shared<session::Beginning>();
  for (int i = 1; i <= 1000; ++i)
    beginnings.of(message({{"application_name", std::to_string(i)}})) = std::make_shared<session::Beginning>();
  CHECK(beginnings.of(first) == nullptr);
}

TEST_CASE_FIXTURE(Fixture, "a consistency of its own is known in every mode") {
  for (const PoolMode mode : {PoolMode::session, PoolMode::transaction, PoolMode::statement}) {
    CAPTURE(static_cast<int>(mode));
    CHECK_FALSE(begin(message({}), account, mode).consistency);
    CHECK(begin(message({{"pgweir.consistency", "strict"}}), account, mode).consistency == config::Consistency::strict);
    const auto by_options = begin(message({{"options", "-c pgweir.consistency=eventual"}}), account, mode);
    CHECK(by_options.consistency == config::Consistency::eventual);
    CHECK_FALSE(by_options.problem);
    const auto wrong = begin(message({{"options", "-c pgweir.consistency=fresh"}}), account, mode);
    REQUIRE(wrong.problem);
    CHECK(wrong.problem->sqlstate == base::Sqlstate("22023"));
  }
}
