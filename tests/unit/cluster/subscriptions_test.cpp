// How far a replica is, by what the origin's walsenders and the nodes' subscriptions say.
#include "cluster/subscriptions.h"

#include "doctest/doctest.h"

using namespace pgweir;
using namespace pgweir::cluster;

namespace {

constexpr base::NodeId kOrigin{0}, kFirst{1}, kSecond{2};
using ByNode = std::vector<std::vector<Subscription>>;

std::optional<routing::Lsn> position(base::NodeId node, const ByNode& by_node, const std::vector<Walsender>& walsenders,
                                     std::string_view only = {}) {
  const auto applied = applied_by(node, only, by_node, walsenders);
  if (!applied) return {};
  return applied->position;
}

}  // namespace

TEST_CASE("a subscription is as far as the walsender that has its slot") {
  const ByNode nodes{{}, {{"items", "slot_1"}}, {{"items", "slot_2"}}};
  const std::vector<Walsender> walsenders{
      {11, "slot_2", "items", 200}, {12, "slot_1", "items", 100}, {13, "", "pg9", 900}};
  CHECK(position(kFirst, nodes, walsenders) == 100);
  CHECK(position(kSecond, nodes, walsenders) == 200);
  CHECK_FALSE(position(kOrigin, nodes, walsenders));
  const auto applied = applied_by(kFirst, {}, nodes, walsenders);
  REQUIRE(applied);
  CHECK(applied->pids == std::vector<std::int64_t>{12});
}

TEST_CASE("the slowest subscription counts, and one that is not connected proves nothing") {
  const ByNode nodes{{}, {{"a", "a"}, {"b", "b"}}};
  CHECK(position(kFirst, nodes, {{1, "a", "a", 300}, {2, "b", "b", 250}}) == 250);
  CHECK_FALSE(position(kFirst, nodes, {{1, "a", "a", 300}}));
  CHECK(position(kFirst, nodes, {{1, "a", "a", 300}}, "a") == 300);
  CHECK_FALSE(position(kFirst, nodes, {{1, "a", "a", 300}}, "b"));
}

TEST_CASE("a slot that two nodes name, and a subscription without one, prove nothing") {
  CHECK_FALSE(position(kFirst, {{}, {{"s", "s"}}, {{"s", "s"}}}, {{1, "s", "s", 300}}));
  CHECK_FALSE(position(kFirst, {{}, {{"s", ""}}}, {{1, "", "s", 300}}));
}

TEST_CASE("what the node does not have is found by the name that the operator has given") {
  CHECK(position(kFirst, {{}, {}}, {{1, "pgl_slot", "provider", 70}, {2, "", "provider", 60}}, "provider") == 60);
  CHECK_FALSE(position(kFirst, {{}, {}}, {{1, "pgl_slot", "provider", 70}}));
}
