// The cache: hits, bounds, and that bad texts do not spoil good ones.
#include "sql/classifier.h"

#include <string>

#include "doctest/doctest.h"

using namespace pgweir::sql;

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
