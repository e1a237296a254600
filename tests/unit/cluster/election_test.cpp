// Which standby becomes the primary, and when none may.
#include "cluster/election.h"

#include <vector>

#include "doctest/doctest.h"

using namespace pgweir;
using namespace pgweir::cluster;

namespace {

Candidate candidate(std::uint16_t id, routing::Lsn received, int priority = 0, std::uint32_t timeline = 1) {
  return {base::NodeId{id}, priority, timeline, received, true, false, false};
}

Verdict ask(const std::vector<Candidate>& candidates, std::uint32_t timeline = 1, std::size_t seen = 2,
            bool sync_seen = true) {
  return elect({candidates, timeline, seen, 2, sync_seen});
}

bool wins(const Verdict& verdict, std::uint16_t id) { return verdict.winner == base::NodeId{id}; }

}  // namespace

TEST_CASE("position, then priority, then the order of the configuration") {
  CHECK(wins(ask({candidate(1, 100), candidate(2, 101)}), 2));
  CHECK(wins(ask({candidate(1, 101), candidate(2, 100, 9)}), 1));
  CHECK(wins(ask({candidate(1, 100), candidate(2, 100, 1)}), 2));
  CHECK(wins(ask({candidate(1, 100), candidate(2, 100)}), 1));
}

TEST_CASE("the timeline comes before the position") {
  CHECK(wins(ask({candidate(1, 900, 0, 1), candidate(2, 100, 0, 2)}, 2), 2));
  CHECK(wins(ask({candidate(1, 900, 0, 1), candidate(2, 100, 0, 2)}, 1), 2));
  const Verdict none = ask({candidate(1, 900), candidate(2, 900)}, 2);
  CHECK_FALSE(none.winner);
  CHECK(none.why.code == ReasonCode::no_candidate);
}

TEST_CASE("one that is further ahead is never passed over, even if it cannot be promoted now") {
  std::vector<Candidate> candidates{candidate(1, 100), candidate(2, 101)};
  candidates[1].is_cut = false;
  const Verdict verdict = ask(candidates);
  CHECK_FALSE(verdict.winner);
  CHECK(verdict.why == Reason{ReasonCode::one_is_further, base::NodeId{2}});
  candidates[1].received = 100;
  CHECK(wins(ask(candidates), 1));
  candidates[1].still_hears = true;  // it may have more by now
  CHECK(ask(candidates).why == Reason{ReasonCode::one_is_further, base::NodeId{2}});
}

TEST_CASE("who has failed to become the primary comes last among equals, but not behind those with less") {
  std::vector<Candidate> candidates{candidate(1, 100), candidate(2, 100)};
  candidates[0].has_failed = true;
  CHECK(wins(ask(candidates), 2));
  candidates[1].received = 99;
  CHECK(wins(ask(candidates), 1));
}

TEST_CASE("who sees too little decides nothing") {
  CHECK(ask({candidate(1, 100)}, 1, 1).why == Reason{ReasonCode::too_few_seen, {}, 1, 2});
  CHECK(ask({candidate(1, 100)}, 1, 2, false).why.code == ReasonCode::commits_out_of_sight);
  CHECK(ask({}).why.code == ReasonCode::no_candidate);
}
