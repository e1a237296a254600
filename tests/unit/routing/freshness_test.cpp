// What polls of the primary prove about a standby.
#include "routing/freshness.h"

#include "doctest/doctest.h"

using namespace pgweir;
using namespace std::chrono_literals;
using routing::PrimaryHistory;
using routing::PrimaryProofs;

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

TEST_CASE("what stays off the disk while the primary is idle belongs to no commit") {
  PrimaryProofs proofs;
  const auto poll = [&](int started, routing::Lsn position, routing::Lsn flushed) {
    proofs.add({at(started), at(started + 1), position, flushed, 600ms});
  };
  poll(0, 100, 100);
  CHECK(proofs.freshness(100).fresh_until == at(0));
  // Something has been inserted that is not flushed: the standby has all that was acknowledged before, dated back.
  poll(1000, 150, 100);
  CHECK(proofs.freshness(100).fresh_until == at(400));
  poll(1600, 150, 100);
  CHECK(proofs.freshness(100).fresh_until == at(1000));
  // Unchanged since the answer of 1001 ms.
  poll(1601, 150, 100);
  CHECK(proofs.freshness(100).fresh_until == at(1601));
  CHECK(proofs.freshness(99).fresh_until == base::Time{});
  poll(1620, 150, 100);
  CHECK(proofs.freshness(100).fresh_until == at(1620));
  // A commit: whoever does not have it is fresh no further.
  poll(1640, 200, 200);
  CHECK(proofs.freshness(100).fresh_until == at(1620));
  CHECK(proofs.freshness(200).fresh_until == at(1640));
  proofs.clear();
  CHECK(proofs.freshness(200).fresh_until == base::Time{});
}
