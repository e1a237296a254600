// What polls of the primary prove about a standby.
#include "routing/freshness.h"

#include "doctest/doctest.h"

using namespace pgweir;
using namespace std::chrono_literals;
using routing::PrimaryHistory;

namespace {

base::Time at(int milliseconds) { return base::Time{} + 1h + std::chrono::milliseconds(milliseconds); }

}  // namespace

TEST_CASE("a standby is fresh up to the newest poll whose position it has replayed") {
  PrimaryHistory history;
  CHECK(history.freshness(100).fresh_until == base::Time{});
  history.add(at(0), 100);
  history.add(at(20), 200);
  history.add(at(40), 300);
  CHECK(history.freshness(99).fresh_until == base::Time{});
  CHECK(history.freshness(100).fresh_until == at(0));
  CHECK(history.freshness(299).fresh_until == at(20));
  CHECK(history.freshness(300).fresh_until == at(40));
  CHECK(history.freshness(999).fresh_until == at(40));
  CHECK(history.freshness(100).lag_bytes == 200);
  CHECK(history.freshness(999).lag_bytes == 0);
}

TEST_CASE("an idle primary keeps its standbys fresh") {
  PrimaryHistory history;
  for (int i = 0; i < 10'000; ++i) history.add(at(i * 20), 100);
  CHECK(history.freshness(100).fresh_until == at(9'999 * 20));
}

TEST_CASE("an answer out of turn proves nothing, a position that goes back ends the history") {
  PrimaryHistory history;
  history.add(at(20), 200);
  history.add(at(10), 300);
  CHECK(history.freshness(300).fresh_until == at(20));
  history.add(at(30), 50);
  CHECK(history.freshness(49).fresh_until == base::Time{});
  CHECK(history.freshness(50).fresh_until == at(30));
  history.clear();
  CHECK(history.freshness(50).fresh_until == base::Time{});
}

TEST_CASE("a long history is thinned, and never claims too much") {
  PrimaryHistory history;
  const int polls = 5'000;
  for (int i = 0; i < polls; ++i) history.add(at(i), static_cast<routing::Lsn>(i) * 10);
  for (int i = 0; i < polls; ++i) CHECK(history.freshness(static_cast<routing::Lsn>(i) * 10).fresh_until <= at(i));
  CHECK(history.freshness((polls - 1) * 10).fresh_until == at(polls - 1));
  // Old positions still prove something.
  CHECK(history.freshness(1'000 * 10).fresh_until > base::Time{});
}
