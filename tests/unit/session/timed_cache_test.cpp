// Answers that hold for a while.
#include "session/timed_cache.h"

#include <string>

#include "doctest/doctest.h"

using namespace pgweir;
using namespace std::chrono_literals;
using Cache = session::TimedCache<int>;

TEST_CASE("an answer holds for its time") {
  Cache cache;
  const base::Time now = base::Time{} + 1h;
  CHECK_FALSE(cache.find("a", now));
  cache.store("a", 1, now, 10s);
  REQUIRE(cache.find("a", now + 9s));
  CHECK(*cache.find("a", now + 9s) == 1);
  CHECK_FALSE(cache.find("a", now + 10s));
  REQUIRE(cache.last("a"));
  CHECK(*cache.last("a") == 1);
  CHECK_FALSE(cache.last("b"));
  cache.store("a", 2, now + 10s, 0s);
  CHECK_FALSE(cache.find("a", now + 10s));
}

TEST_CASE("an answer that is distrusted goes, unless it is new") {
  Cache cache;
  const base::Time now = base::Time{} + 1h;
  cache.store("a", 1, now, 1h);
  cache.distrust("a", now + 400ms, 500ms);
  CHECK(cache.find("a", now + 400ms));
  cache.distrust("b", now, 0s);
  cache.distrust("a", now + 500ms, 500ms);
  CHECK_FALSE(cache.find("a", now + 500ms));
  CHECK_FALSE(cache.last("a"));
}

TEST_CASE("the cache is bounded") {
  Cache cache;
  const base::Time now = base::Time{} + 1h;
  for (std::size_t i = 0; i < Cache::kMost; ++i) cache.store(std::to_string(i), 1, now, 1h);
  CHECK(cache.find("0", now));
  cache.store("one more", 1, now, 1h);
  CHECK_FALSE(cache.find("0", now));
  CHECK(cache.find("one more", now));
}
