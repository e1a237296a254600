// What is remembered of statements that servers have taken, and that it stays bounded.
#include "session/known_statements.h"

#include "doctest/doctest.h"

using namespace pgweir;
using namespace pgweir::session;

TEST_CASE("what was added is known until the catalog has changed") {
  KnownStatements known;
  CHECK_FALSE(known.has({1, 2}));
  known.add({1, 2});
  known.add({1, 2});
  CHECK(known.has({1, 2}));
  CHECK_FALSE(known.has({2, 1}));
  CHECK_FALSE(known.has({0, 2}));  // of the same hash
  known.add({0, 2});
  CHECK(known.has({0, 2}));
  CHECK(known.has({1, 2}));
  known.forget();
  CHECK_FALSE(known.has({1, 2}));
  CHECK_FALSE(known.has({0, 2}));
  known.add({1, 2});
  CHECK(known.has({1, 2}));
}

TEST_CASE("too many are forgotten, and the newest is known") {
  KnownStatements known;
  constexpr std::uint64_t kMany = 100'000;
  for (std::uint64_t i = 0; i < kMany; ++i) known.add({0, i});
  CHECK(known.has({0, 0}));
  CHECK(known.has({0, kMany - 1}));
  known.add({0, kMany});
  CHECK(known.has({0, kMany}));
  CHECK_FALSE(known.has({0, 0}));
  CHECK_FALSE(known.has({0, kMany - 1}));
}
