// Which limit is over when, with times that the test makes up.
#include "session/time_limits.h"

#include "doctest/doctest.h"

using namespace pgweir;
using namespace pgweir::session;
using namespace std::chrono_literals;
using Transaction = TimeLimits::Transaction;
using Pipeline = TimeLimits::Pipeline;

namespace {

const base::Time kStart{1000s};

config::Pool limits() {
  config::Pool pool;
  pool.client_idle_timeout = 10s;
  pool.idle_transaction_timeout = 4s;
  pool.query_timeout = 2s;
  pool.transaction_timeout = 8s;
  return pool;
}

}  // namespace

TEST_CASE("nothing is limited by default") {
  TimeLimits times;
  times.ready(kStart, Transaction::open, Pipeline::empty);
  for (const auto doing : {Doing::other, Doing::idle, Doing::idle_in_transaction, Doing::running})
    CHECK(times.due(doing, config::Pool{}, kStart + 1000h) == Due::nothing);
  CHECK_FALSE(sweep_interval(config::Settings{}).has_value());
}

TEST_CASE("an idle client has its time from its last ReadyForQuery on") {
  TimeLimits times;
  times.ready(kStart, Transaction::none, Pipeline::empty);
  CHECK(times.due(Doing::idle, limits(), kStart + 9999ms) == Due::nothing);
  CHECK(times.due(Doing::idle, limits(), kStart + 10s) == Due::client_idle);
  CHECK(times.due(Doing::other, limits(), kStart + 10s) == Due::nothing);
  times.sent(kStart + 9s);
  times.ready(kStart + 10s, Transaction::none, Pipeline::empty);
  CHECK(times.due(Doing::idle, limits(), kStart + 19s) == Due::nothing);
}

TEST_CASE("a client that is idle in a transaction, with each statement anew") {
  TimeLimits times;
  times.sent(kStart);
  times.ready(kStart + 1s, Transaction::open, Pipeline::empty);
  CHECK(times.due(Doing::idle_in_transaction, limits(), kStart + 4s) == Due::nothing);
  times.sent(kStart + 4s);
  times.ready(kStart + 4s, Transaction::open, Pipeline::empty);
  CHECK(times.due(Doing::idle_in_transaction, limits(), kStart + 7s) == Due::nothing);
  auto pool = limits();
  CHECK(times.due(Doing::idle_in_transaction, pool, kStart + 8s) == Due::transaction);
  pool.transaction_timeout = 0s;
  CHECK(times.due(Doing::idle_in_transaction, pool, kStart + 8s) == Due::idle_transaction);
}

TEST_CASE("a statement that runs too long is cancelled once, then given up") {
  TimeLimits times;
  times.sent(kStart);
  CHECK(times.due(Doing::running, limits(), kStart + 1s) == Due::nothing);
  CHECK(times.due(Doing::running, limits(), kStart + 2s) == Due::cancel_query);
  times.cancelled(kStart + 2s);
  CHECK(times.is_cancelled());
  CHECK(times.due(Doing::running, limits(), kStart + 6s) == Due::nothing);
  CHECK(times.due(Doing::running, limits(), kStart + 2s + TimeLimits::kCancelPatience) == Due::give_up_query);
  times.completed(kStart + 3s);
  CHECK(times.is_cancelled());  // that may have been the Parse before it
  CHECK(times.due(Doing::running, limits(), kStart + 5s) == Due::cancel_query);
  times.ready(kStart + 3s, Transaction::none, Pipeline::more);
  CHECK_FALSE(times.is_cancelled());
  CHECK(times.due(Doing::running, limits(), kStart + 4s) == Due::nothing);
}

TEST_CASE("each statement of a pipeline has its own time, and each of its transactions") {
  TimeLimits times;
  times.sent(kStart);
  times.completed(kStart + 1s);
  CHECK(times.due(Doing::running, limits(), kStart + 2s) == Due::nothing);
  CHECK(times.due(Doing::running, limits(), kStart + 3s) == Due::cancel_query);
  for (int i = 0; i < 20; ++i) times.ready(kStart + i * 1s, Transaction::none, Pipeline::more);
  CHECK(times.due(Doing::running, limits(), kStart + 20s) == Due::nothing);
  times.ready(kStart + 20s, Transaction::none, Pipeline::empty);
  CHECK(times.due(Doing::idle, limits(), kStart + 29s) == Due::nothing);
}

TEST_CASE("a transaction lasts from its first statement to its end, waiting and single statements included") {
  TimeLimits times;
  auto pool = limits();
  pool.query_timeout = 0s;
  times.sent(kStart);
  CHECK(times.due(Doing::running, pool, kStart + 8s) == Due::transaction);
  times.ready(kStart + 7s, Transaction::open, Pipeline::empty);
  times.sent(kStart + 7s);
  CHECK(times.due(Doing::running, pool, kStart + 7999ms) == Due::nothing);
  CHECK(times.due(Doing::other, pool, kStart + 8s) == Due::transaction);
  times.ready(kStart + 7s, Transaction::none, Pipeline::empty);
  CHECK(times.due(Doing::idle, pool, kStart + 8s) == Due::nothing);
  times.ready(kStart + 7s, Transaction::open, Pipeline::empty);  // a BEGIN that no server has seen
  CHECK(times.due(Doing::other, pool, kStart + 15s) == Due::transaction);
}

TEST_CASE("what clients are told names the code, the limit and its key") {
  const auto pool = limits();
  const struct {
    Due due;
    std::string_view sqlstate, message, hint;
  } rows[] = {
      {Due::client_idle, "57P05", "idle-session timeout", "10000 ms (pool.client_idle_timeout)"},
      {Due::idle_transaction, "25P03", "idle-in-transaction timeout", "4000 ms (pool.idle_transaction_timeout)"},
      {Due::transaction, "25P04", "transaction timeout", "8000 ms (pool.transaction_timeout)"},
      {Due::cancel_query, "57014", "canceling statement", "2000 ms (pool.query_timeout)"},
      {Due::give_up_query, "57014", "did not cancel", "2000 ms (pool.query_timeout)"},
  };
  for (const auto& row : rows) {
    const base::Error error = error_for(row.due, pool);
    CHECK(error.sqlstate.view() == row.sqlstate);
    CHECK(error.message.find(row.message) != std::string::npos);
    CHECK(error.hint.find(row.hint) != std::string::npos);
  }
}

TEST_CASE("the sweep is as frequent as the shortest limit needs, within bounds") {
  config::Settings settings;
  settings.pool.client_idle_timeout = 1h;
  CHECK(sweep_interval(settings) == 250ms);
  settings.users = {{.name = "app", .query_timeout = 200ms}};
  CHECK(sweep_interval(settings) == 50ms);
  settings.databases = {{.name = "test", .transaction_timeout = 1ms}};
  CHECK(sweep_interval(settings) == 10ms);
  settings = {};
  settings.users = {{.name = "app", .query_timeout = 0s}};
  CHECK_FALSE(sweep_interval(settings).has_value());
}
