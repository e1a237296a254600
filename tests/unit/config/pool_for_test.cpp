// Which of several values holds.
#include "config/settings.h"
#include "doctest/doctest.h"

using namespace pgweir::config;
using namespace std::chrono_literals;

TEST_CASE("without entries everything is as in pool") {
  Settings settings;
  settings.pool.size = 7;
  settings.pool.query_timeout = 3s;
  settings.users = {{.name = "other", .size = 1}};
  settings.databases = {{.name = "app", .size = 1}};  // a database is not a user
  CHECK(settings.pool_for("test", "app") == settings.pool);
  CHECK(settings.database("test") == nullptr);
  CHECK(settings.user("app") == nullptr);
}

TEST_CASE("what is given for a database or a user stands in for the value of pool, also when it is more") {
  Settings settings;
  settings.databases = {{.name = "test", .mode = PoolMode::statement, .size = 50, .client_idle_timeout = 1s}};
  settings.users = {{.name = "app", .reserve = 3, .transaction_timeout = 2s}};
  Pool expected = settings.pool;
  expected.mode = PoolMode::statement;
  expected.size = 50;
  expected.client_idle_timeout = 1s;
  CHECK(settings.pool_for("test", "somebody") == expected);
  expected.reserve = 3;
  expected.transaction_timeout = 2s;
  CHECK(settings.pool_for("test", "app") == expected);
}

TEST_CASE("where both are given, the user's mode and times win, and of sizes the smaller one") {
  Settings settings;
  settings.pool.min_idle = 9;
  settings.databases = {{.name = "test",
                         .mode = PoolMode::session,
                         .size = 4,
                         .min_idle = 2,
                         .reserve = 1,
                         .reserve_timeout = 1s,
                         .queue_timeout = 1s,
                         .server_idle_timeout = 1s,
                         .server_lifetime = 1s,
                         .client_idle_timeout = 1s,
                         .idle_transaction_timeout = 1s,
                         .query_timeout = 1s,
                         .transaction_timeout = 1s}};
  settings.users = {{.name = "app",
                     .mode = PoolMode::statement,
                     .size = 30,
                     .min_idle = 1,
                     .reserve = 2,
                     .reserve_timeout = 0s,
                     .queue_timeout = 2s,
                     .server_idle_timeout = 2s,
                     .server_lifetime = 2s,
                     .client_idle_timeout = 2s,
                     .idle_transaction_timeout = 2s,
                     .query_timeout = 0s,
                     .transaction_timeout = 2s}};
  Pool expected = settings.pool;
  expected.mode = PoolMode::statement;
  expected.size = 4;
  expected.min_idle = 1;
  expected.reserve = 1;
  expected.reserve_timeout = 0s;
  expected.queue_timeout = 2s;
  expected.server_idle_timeout = 2s;
  expected.server_lifetime = 2s;
  expected.client_idle_timeout = 2s;
  expected.idle_transaction_timeout = 2s;
  expected.query_timeout = 0s;  // 0 is a value too: no limit for this user
  expected.transaction_timeout = 2s;
  CHECK(settings.pool_for("test", "app") == expected);
}

TEST_CASE("a pool that is smaller than min_idle keeps what fits into it") {
  Settings settings;
  settings.pool.min_idle = 10;
  settings.users = {{.name = "app", .size = 3}};
  CHECK(settings.pool_for("test", "app").min_idle == 3);
  CHECK(settings.pool_for("test", "other").min_idle == 10);
}
