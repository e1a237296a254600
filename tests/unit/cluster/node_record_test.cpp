// What probes make of a node's health.
#include "cluster/node_record.h"

#include "unit/cluster/conversation.h"

using namespace pgweir;
using namespace pgweir::test;

namespace {

struct Watched {
  NodeRecord record;
  base::Time now = base::Time{} + 1h;

  void says(const ProbeAnswer& answer) { probe(answer, now += 1s); }
  void fails(FailureKind kind) { probe(ProbeFailure{kind, "why"}, now += 1s); }
  void probe(std::variant<ProbeAnswer, ProbeFailure> result, base::Time started) {
    take_probe(record, {node(0), started, std::move(result)}, 2, now);
  }
};

}  // namespace

TEST_CASE("refused once is lost, silent only when it happens again") {
  Watched one;
  one.says(a_primary());
  CHECK(one.record.health == Health::answering);
  one.fails(FailureKind::silent);
  CHECK(one.record.health == Health::trouble);
  one.says(a_primary());
  one.fails(FailureKind::silent);
  CHECK(one.record.health == Health::trouble);  // counted anew
  one.fails(FailureKind::silent);
  CHECK(one.record.health == Health::lost);
  CHECK(one.record.failure == "why");
  CHECK_FALSE(one.record.alive());
  one.says(a_primary());
  CHECK(one.record.health == Health::answering);
  CHECK(one.record.failure.empty());
  one.fails(FailureKind::refused);
  CHECK(one.record.health == Health::lost);
  CHECK(one.record.alive());  // its host is there
}

TEST_CASE("starting, full, and not allowed to ask are signs of life") {
  Watched one;
  one.fails(FailureKind::starting);
  CHECK(one.record.health == Health::starting);
  one.fails(FailureKind::silent);
  CHECK(one.record.health == Health::starting);
  one.says(a_primary());
  one.fails(FailureKind::full);
  CHECK(one.record.health == Health::answering);  // it has said what it is
  one.fails(FailureKind::login);
  CHECK(one.record.health == Health::untold);
  CHECK(one.record.alive());
  one.fails(FailureKind::refused);
  one.fails(FailureKind::full);
  CHECK(one.record.health == Health::untold);  // it may be another server by now
}

TEST_CASE("an answer that was overtaken is not taken back") {
  Watched one;
  one.says(a_standby(200));
  one.probe(a_standby(100), one.now - 2s);
  CHECK(one.record.answer->received == 200);
  one.probe(ProbeFailure{FailureKind::silent, "late"}, one.now - 2s);
  CHECK(one.record.health == Health::answering);
}

TEST_CASE("a standby without a receiver stays on the timeline that it has received") {
  Watched one;
  one.says(a_standby(200, 3));
  one.says(an_orphan(200, 2));  // what its last checkpoint says
  CHECK(one.record.answer->timeline == 3);
  one.says(an_orphan(200, 2));
  CHECK(one.record.answer->timeline == 3);
  one.says(a_cut_one(150, 2));  // made anew from an older copy
  CHECK(one.record.answer->timeline == 2);
}
