// The cache: hits, bounds, and that bad texts do not spoil good ones.
#include "sql/classifier.h"

#include <malloc.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "doctest/doctest.h"

#include "sql/shape_cache.h"

using namespace pgweir::sql;

namespace {

std::size_t heap_in_use() { return mallinfo2().uordblks + mallinfo2().hblkhd; }

/// A text of a shape of its own, now short, now with names that are long, many and of many kinds.
std::string nth_shape(int n) {
  const std::string number = std::to_string(n);
  switch (n % 4) {
    case 0: return "SELECT column_" + number + " FROM t";
    case 1: return "SELECT a.f" + number + ", g_of_a_longer_name(b::text) FROM s.t a JOIN u ON a.x = u.y AND a.z < 1";
    case 2: return "UPDATE a_table_with_a_long_name_" + number + " SET a = a + 1 WHERE b LIKE 'x'";
    default: return "SET application_name = 'worker number " + number + "'";
  }
}

std::string repeated(std::string_view first, std::string_view more, int count) {
  std::string text(first);
  for (int i = 1; i < count; ++i) text += more;
  return text;
}

}  // namespace

TEST_CASE("a shape is parsed once") {
  Classifier classifier{{}};
  const Classified first = classifier.classify(1, "SELECT a FROM t WHERE b = 1");
  const Classified second = classifier.classify(1, "select A from T where B = 22");
  CHECK(first.entry == second.entry);
  CHECK_FALSE(first.entry->facts.exact);
  CHECK(classifier.stats().misses == 1);
  CHECK(classifier.stats().hits == 1);
  CHECK_FALSE(classifier.classify(2, "SELECT a FROM t WHERE b = 1").entry == first.entry);
}

TEST_CASE("settings never share facts") {
  Classifier classifier{{}};
  const Classified a = classifier.classify(1, "SET x = 'a'");
  const Classified b = classifier.classify(1, "SET x = 'b'");
  CHECK_FALSE(a.entry == b.entry);
  CHECK(a.entry->facts.exact);
}

TEST_CASE("hints are of the text, not of the shape") {
  Classifier classifier{{}};
  const Classified plain = classifier.classify(1, "SELECT 1");
  const Classified hinted = classifier.classify(1, "/* pgweir: primary */ SELECT 1");
  CHECK(plain.entry == hinted.entry);
  CHECK(plain.hint.kind == Hint::Kind::none);
  CHECK(hinted.hint.kind == Hint::Kind::primary);
}

TEST_CASE("a text that cannot be parsed does not spoil its shape") {
  Classifier classifier{{}};
  const std::string bad = "SELECT E'\\u12', a FROM t", good = "SELECT 'x', a FROM t";
  CHECK(classifier.classify(1, bad).entry->facts.statements[0].kind == StatementKind::unknown);
  CHECK(classifier.classify(1, good).entry->facts.statements[0].kind == StatementKind::query);
  std::string many = "INSERT INTO t VALUES (1)";
  for (int i = 0; i < 10'000; ++i) many += ",(1)";
  CHECK_FALSE(classifier.classify(1, many).entry->facts.problem.empty());
  CHECK(classifier.classify(1, "INSERT INTO t VALUES (2)").entry->facts.problem.empty());
  // Once the shape is known, the long text has its facts too.
  CHECK(classifier.classify(1, many).entry->facts.problem.empty());
}

TEST_CASE("unparsable texts are parsed once as well") {
  Classifier classifier{{}};
  const Classified first = classifier.classify(1, "SELECT FROM WHERE 1");
  CHECK(classifier.classify(1, "SELECT FROM WHERE 1").entry == first.entry);
  CHECK(classifier.stats().unparsable == 1);
}

TEST_CASE("many shapes do not grow the cache beyond its bytes") {
  ClassifierLimits limits;
  limits.cache_bytes = 64 * 1024;
  Classifier classifier{limits};
  const Classified kept = classifier.classify(1, "SELECT column_0 FROM t");
  for (int i = 0; i < 5000; ++i) {
    static_cast<void>(classifier.classify(1, "SELECT column_" + std::to_string(i) + " FROM t"));
    REQUIRE(classifier.stats().bytes <= limits.cache_bytes);
  }
  CHECK(classifier.stats().evictions > 4000);
  CHECK(classifier.stats().entries + classifier.stats().evictions == classifier.stats().misses);
  CHECK(kept.entry->facts.statements[0].kind == StatementKind::query);  // evicted, but still held here
}

TEST_CASE("many shapes cost misses and no more memory than they may, and those in use stay") {
  ClassifierLimits limits;
  limits.cache_bytes = 1024 * 1024;
  const std::vector<std::string> used = {"SELECT 1", "SELECT a FROM t WHERE b = 1", "UPDATE t SET a = 1 WHERE b = 2",
                                         "SET search_path = app", "SELECT FROM WHERE"};
  const std::size_t before = heap_in_use();
  Classifier classifier{limits};
  std::vector<CachedFacts*> facts;
  for (const std::string& text : used) facts.push_back(classifier.classify(1, text).entry.get());
  std::size_t most_heap = 0;
  constexpr int kShapes = 10'000;
  for (int i = 0; i < kShapes; ++i) {
    static_cast<void>(classifier.classify(1, nth_shape(i)));
    REQUIRE(classifier.stats().bytes <= limits.cache_bytes);
    const std::size_t which = static_cast<std::size_t>(i) % used.size();
    REQUIRE(classifier.classify(1, used[which]).entry.get() == facts[which]);
    if (i % 100 == 99) most_heap = std::max(most_heap, heap_in_use() - before);
  }
  const ClassifierStats& stats = classifier.stats();
  CHECK(stats.misses == kShapes + used.size());
  CHECK(stats.hits == kShapes);
  CHECK(stats.entries + stats.evictions == stats.misses);
  CHECK(stats.evictions > kShapes / 2);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  // What the books say is what the allocator says, and neither too much.
  MESSAGE("booked " << stats.bytes << ", on the heap at most " << most_heap << ", entries " << stats.entries);
  CHECK(most_heap <= limits.cache_bytes + limits.cache_bytes / 20);
  CHECK(heap_in_use() - before >= stats.bytes * 7 / 10);
#endif
}

TEST_CASE("lists and rows of any length are one shape") {
  const std::vector<std::pair<std::string_view, std::string_view>> texts = {
      {"SELECT a FROM t WHERE b IN (1", ", 22"},
      {"SELECT a FROM t WHERE b IN ('x'", ",$7"},
      {"SELECT ARRAY[1", ", -2.5"},
      {"INSERT INTO t VALUES (1, 'a')", ", (2, 'b''c')"},
      {"INSERT INTO t (a, b) VALUES ($1, now())", ",($3,now())"}};
  for (const auto& [first, more] : texts) {
    const std::string end = first.find(" IN ") != first.npos ? ")" : first.find('[') != first.npos ? "]" : "";
    Classifier classifier{{}};
    for (const int count : {1, 2, 3, 10, 100, 1'000, 10'000}) {
      static_cast<void>(classifier.classify(1, repeated(first, more, count) + end));
    }
    CHECK(classifier.stats().misses == 1);
    CHECK(classifier.stats().entries == 1);
  }
}

TEST_CASE("the cache behaves as a list that is searched from the front") {
  constexpr unsigned kSeed = 20240607;
  MESSAGE("seed " << kSeed);
  std::mt19937 random(kSeed);
  ShapeCache cache(64 * 1024);
  std::vector<std::uint64_t> model;  // most recently used first
  std::map<std::uint64_t, CachedFactsPtr> held;
  for (int step = 0; step < 20'000; ++step) {
    // Keys that fall into few buckets, so that these have chains.
    const std::uint64_t number = random() % 400;
    const ShapeKey key{number % 7 + (number << 20), number};
    const auto place = std::find(model.begin(), model.end(), number);
    const CachedFactsPtr* found = cache.find(key);
    REQUIRE((found != nullptr) == (place != model.end()));
    if (found != nullptr) {
      REQUIRE(*found == held[number]);
      model.erase(place);
    } else {
      held[number] = pgweir::base::make_local<CachedFacts>();
      const std::size_t left = cache.add(key, held[number], random() % 1000);
      REQUIRE(left <= model.size());
      model.resize(model.size() - left);
    }
    model.insert(model.begin(), number);
    REQUIRE(cache.entries() == model.size());
    REQUIRE(cache.bytes() <= 64 * 1024);
  }
}

TEST_CASE("an entry larger than the cache stays until the next") {
  ShapeCache cache(1024);
  CHECK(cache.add({1, 1}, pgweir::base::make_local<CachedFacts>(), 5000) == 0);
  CHECK(cache.find({1, 1}) != nullptr);
  CHECK(cache.add({2, 2}, pgweir::base::make_local<CachedFacts>(), 10) == 1);
  CHECK(cache.find({1, 1}) == nullptr);
  CHECK(cache.find({2, 2}) != nullptr);
}

TEST_CASE("what is used stays, what is not goes") {
  ClassifierLimits limits;
  limits.cache_bytes = 64 * 1024;
  Classifier classifier{limits};
  const Classified used = classifier.classify(1, "SELECT used");
  for (int i = 0; i < 2000; ++i) {
    static_cast<void>(classifier.classify(1, "SELECT c" + std::to_string(i)));
    CHECK(classifier.classify(1, "SELECT used").entry == used.entry);
  }
}
