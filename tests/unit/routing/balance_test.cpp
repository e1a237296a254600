// Shares, interleaving, and who may serve.
#include "routing/balance.h"

#include <map>
#include <string>

#include "doctest/doctest.h"

using namespace pgweir;
using namespace std::chrono_literals;
using namespace pgweir::routing;

namespace {

/// One primary and standbys of these weights, all up.
Topology topology(const std::vector<std::uint32_t>& weights) {
  Topology result;
  for (std::size_t i = 0; i <= weights.size(); ++i) {
    Node node;
    node.id = base::NodeId{static_cast<std::uint16_t>(i)};
    node.role = i == 0 ? Role::primary : Role::standby;
    node.status = NodeStatus::up;
    node.weight = i == 0 ? 7 : weights[i - 1];
    result.nodes.push_back(node);
  }
  result.primary = base::NodeId{0};
  return result;
}

const base::Time kNow = base::Time{} + 1h;

std::vector<NodeFreshness> fresh(std::size_t nodes) {
  return std::vector<NodeFreshness>(nodes, NodeFreshness{kNow, 0});
}

std::map<int, int> shares(Balancer& balancer, const Topology& nodes, const ReadRequirements& requirements,
                          int choices) {
  std::map<int, int> result;
  for (int i = 0; i < choices; ++i)
    ++result[balancer.choose(nodes, fresh(nodes.nodes.size()), requirements).node->value];
  return result;
}

}  // namespace

TEST_CASE("standbys share by weight, and the primary serves nothing by default") {
  Balancer balancer;
  const auto equal = shares(balancer, topology({1, 1}), {}, 1000);
  CHECK(equal == std::map<int, int>{{1, 500}, {2, 500}});
  Balancer other;
  CHECK(shares(other, topology({3, 1, 0}), {}, 1000) == std::map<int, int>{{1, 750}, {2, 250}});
}

TEST_CASE("unequal weights interleave") {
  Balancer balancer;
  const Topology nodes = topology({3, 1});
  std::string order;
  for (int i = 0; i < 8; ++i) order += std::to_string(balancer.choose(nodes, fresh(3), {}).node->value);
  CHECK(order == "11211121");
}

TEST_CASE("the primary's own weight counts") {
  Balancer balancer;
  ReadRequirements requirements;
  requirements.primary_weight = 2;
  CHECK(shares(balancer, topology({1, 1}), requirements, 400) == std::map<int, int>{{0, 200}, {1, 100}, {2, 100}});
}

TEST_CASE("only standbys that are up, fresh and near enough serve") {
  Topology nodes = topology({1, 1});
  auto freshness = fresh(3);
  ReadRequirements requirements;
  requirements.wanted.not_before = kNow;
  Balancer balancer;
  freshness[1].fresh_until = kNow - 1ms;
  for (int i = 0; i < 5; ++i) CHECK(balancer.choose(nodes, freshness, requirements).node->value == 2);
  freshness[2].lag_bytes = 1000;
  CHECK(balancer.choose(nodes, freshness, requirements).node->value == 2);
  requirements.max_lag_bytes = 999;
  Choice choice = balancer.choose(nodes, freshness, requirements);
  CHECK(choice.node->value == 0);
  CHECK(choice.reason == Reason::not_fresh);
  nodes.nodes[1].status = NodeStatus::down;
  nodes.nodes[2].status = NodeStatus::quarantined;
  choice = balancer.choose(nodes, freshness, requirements);
  CHECK(choice.node->value == 0);
  CHECK(choice.reason == Reason::no_standby);
  nodes.primary.reset();
  CHECK_FALSE(balancer.choose(nodes, freshness, requirements).node.has_value());
}

TEST_CASE("a node that comes back gets its share, not all it missed") {
  Balancer balancer;
  Topology nodes = topology({1, 1});
  nodes.nodes[2].status = NodeStatus::down;
  for (int i = 0; i < 1000; ++i) CHECK(balancer.choose(nodes, fresh(3), {}).node->value == 1);
  nodes.nodes[2].status = NodeStatus::up;
  const auto after = shares(balancer, nodes, {}, 100);
  CHECK(after.at(1) >= 49);
  CHECK(after.at(2) >= 49);
}

TEST_CASE("the other nodes that could serve a read are those that could have been chosen") {
  using Nodes = std::vector<base::NodeId>;
  const auto id = [](std::uint16_t value) { return base::NodeId{value}; };
  Topology nodes = topology({1, 0, 5, 1});
  nodes.nodes[4].status = NodeStatus::down;
  Nodes readers{id(3)};
  add_readers(readers, nodes, fresh(5), {});
  CHECK(readers == Nodes{id(3), id(1)});

  ReadRequirements requirements;
  requirements.wanted.not_before = kNow;
  requirements.primary_weight = 1;
  auto freshness = fresh(5);
  freshness[1].fresh_until = kNow - 1s;
  readers = {id(3)};
  add_readers(readers, nodes, freshness, requirements);
  CHECK(readers == Nodes{id(3), id(0)});
}

TEST_CASE("a session does not go back to what is older than it has seen, but for the node where it saw it") {
  const Topology nodes = topology({1, 1});
  auto freshness = fresh(3);
  freshness[1].fresh_until = freshness[2].fresh_until = kNow - 1ms;
  ReadRequirements requirements;
  requirements.wanted.seen = kNow;
  requirements.wanted.seen_on = base::NodeId{2};
  Balancer balancer;
  for (int i = 0; i < 5; ++i) CHECK(balancer.choose(nodes, freshness, requirements).node->value == 2);
  requirements.wanted.seen_on.reset();
  CHECK(balancer.choose(nodes, freshness, requirements).reason == Reason::not_fresh);
  freshness[1].fresh_until = kNow;
  for (int i = 0; i < 5; ++i) CHECK(balancer.choose(nodes, freshness, requirements).node->value == 1);
  // Its own writes count there too.
  requirements.wanted.seen_on = base::NodeId{2};
  requirements.wanted.not_before = kNow;
  for (int i = 0; i < 5; ++i) CHECK(balancer.choose(nodes, freshness, requirements).node->value == 1);
}

TEST_CASE("only standbys that have what is read serve it") {
  Balancer balancer;
  ReadRequirements requirements;
  requirements.wanted.nodes = {};
  requirements.wanted.nodes.add(base::NodeId{2});
  const Topology nodes = topology({1, 1, 1});
  CHECK(shares(balancer, nodes, requirements, 10) == std::map<int, int>{{2, 10}});
  std::vector<base::NodeId> readers;
  add_readers(readers, nodes, fresh(4), requirements);
  CHECK(readers == std::vector<base::NodeId>{base::NodeId{2}});
  Topology without = nodes;
  without.nodes[2].status = NodeStatus::down;
  const Choice choice = balancer.choose(without, fresh(4), requirements);
  CHECK(choice.node == base::NodeId{0});
  CHECK(choice.reason == Reason::no_standby);  // and nobody waits for one that does not have it
}
