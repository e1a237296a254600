// Who is believed to be what.
#include "cluster/observation.h"

#include <string>
#include <vector>

#include "doctest/doctest.h"

namespace {

using namespace pgweir;
using namespace pgweir::cluster;
using config::TopologyKind;
using routing::NodeStatus;
using routing::Role;
using routing::Topology;

constexpr base::NodeId node(std::uint16_t id) { return base::NodeId{id}; }
const base::WallTime kStart{std::chrono::hours(1)};
const base::WallTime kLater{std::chrono::hours(2)};

NodeFacts facts(bool in_recovery, std::uint32_t timeline = 1, routing::Lsn position = 100, std::uint64_t system = 7) {
  NodeFacts made;
  made.answer.in_recovery = in_recovery;
  made.answer.system_identifier = system;
  made.answer.timeline = timeline;
  made.answer.received = made.answer.replayed = position;
  made.server_version = 150004;
  made.position = position;
  return made;
}
Observation primary(std::uint32_t timeline = 1, routing::Lsn position = 100, std::uint64_t system = 7) {
  return {facts(false, timeline, position, system), {}, {}};
}
Observation standby(std::uint32_t timeline = 1, routing::Lsn position = 90, std::uint64_t system = 7) {
  return {facts(true, timeline, position, system), {}, {}};
}
Observation down() { return {{}, "no answer", FailureKind::refused}; }

std::vector<config::NodeSettings> nodes(std::size_t count) {
  std::vector<config::NodeSettings> all;
  for (std::size_t i = 0; i < count; ++i)
    all.push_back(
        {"pg" + std::to_string(i + 1), "10.0.0." + std::to_string(i + 1), 5432, static_cast<std::uint32_t>(i)});
  return all;
}

/// All nodes are asked once, by a monitor that knows what `previous` says.
Topology look(const std::vector<Observation>& seen, const Topology& previous = {}, base::WallTime now = kStart,
              TopologyKind kind = TopologyKind::streaming) {
  FailoverMemory memory;
  memory.system_identifier = previous.system_identifier;
  memory.primary = previous.primary;
  if (previous.primary) memory.timeline = previous.node(*previous.primary).timeline;
  std::vector<FailoverNode> names;
  for (const auto& one : nodes(seen.size())) names.push_back({one.name, 0});
  config::Settings settings;
  settings.topology = kind;
  FailoverMachine machine(rules_of(settings), names, memory);
  const base::Time time = base::Time{} + std::chrono::hours(1);
  for (std::size_t i = 0; i < seen.size(); ++i)
    if (seen[i].facts || !seen[i].failure.empty()) machine.apply(probed_from(i, seen[i], time), {time, now});
  return topology_of(machine, nodes(seen.size()), seen, previous, now);
}

}  // namespace

TEST_CASE("a primary and its standbys") {
  const Topology topology = look({standby(), primary(), standby()});
  CHECK(topology.primary == node(1));
  CHECK(topology.node(node(0)).role == Role::standby);
  CHECK(topology.node(node(1)).role == Role::primary);
  for (const auto& one : topology.nodes) {
    CHECK(one.status == NodeStatus::up);
    CHECK(one.reason.empty());
    CHECK(one.server_version == 150004);
    CHECK(one.last_status_change == kStart);
  }
  CHECK(topology.node(node(2)).name == "pg3");
  CHECK(topology.node(node(2)).host == "10.0.0.3");
  CHECK(topology.node(node(2)).weight == 2);
  CHECK(topology.node(node(2)).position == 90);
}

TEST_CASE("what has not been probed is not down, and what does not answer says why") {
  const Topology topology = look({Observation{}, down()});
  CHECK(topology.node(node(0)).status == NodeStatus::unknown);
  CHECK(topology.node(node(1)).status == NodeStatus::down);
  CHECK(topology.node(node(1)).reason == "no answer");
  CHECK_FALSE(topology.primary.has_value());
}

TEST_CASE("a node that is away keeps the role it had, but is not the primary") {
  const Topology before = look({primary(), standby()});
  const Topology after = look({down(), standby()}, before, kLater);
  CHECK(before.no_primary_reason.empty());
  CHECK(after.no_primary_reason == "the primary is lost");
  CHECK(look({standby(), standby()}).no_primary_reason == "no primary has been found among the nodes");
  CHECK_FALSE(after.primary.has_value());
  CHECK(after.node(node(0)).role == Role::primary);
  CHECK(after.node(node(0)).status == NodeStatus::down);
  CHECK(after.node(node(0)).last_status_change == kLater);
  CHECK(after.node(node(1)).last_status_change == kStart);
  const Topology back = look({primary(), standby()}, after, kLater);
  CHECK(back.primary == node(0));
}

TEST_CASE("of two primaries, the newer timeline is believed") {
  const Topology before = look({primary(1), standby()});
  for (const Topology& previous : {Topology{}, before}) {
    const Topology topology = look({primary(1, 1000), primary(2, 10)}, previous);
    CHECK(topology.primary == node(1));
    CHECK(topology.node(node(0)).status == NodeStatus::quarantined);
    CHECK(topology.node(node(0)).reason.find("\"pg2\"") != std::string::npos);
  }
}

TEST_CASE("of two primaries on one timeline, the one that was it stays; else the one further on") {
  CHECK(look({primary(1, 10), primary(1, 20)}).primary == node(1));
  const Topology before = look({primary(1, 10), standby()});
  const Topology topology = look({primary(1, 10), primary(1, 20)}, before);
  CHECK(topology.primary == node(0));
  CHECK(topology.node(node(1)).status == NodeStatus::quarantined);
  const Topology three = look({primary(1, 10), primary(1, 20), primary(1, 15)});
  CHECK(three.primary == node(1));
  CHECK(three.node(node(0)).status == NodeStatus::quarantined);
  CHECK(three.node(node(2)).status == NodeStatus::quarantined);
}

TEST_CASE("a promotion moves the primary") {
  const Topology before = look({primary(), standby()});
  const Topology after = look({down(), primary(2)}, before, kLater);
  CHECK(after.primary == node(1));
  CHECK(after.node(node(1)).last_status_change == kLater);
  CHECK(differs(before, after));
  const Topology rejoined = look({standby(2), primary(2)}, after, kLater);
  CHECK(rejoined.node(node(0)).role == Role::standby);
  CHECK(rejoined.primary == node(1));
}

TEST_CASE("a node of another database cluster is quarantined, be it primary or standby") {
  for (const Observation& stranger : {primary(9, 1000, 8), standby(9, 1000, 8)}) {
    const Topology topology = look({primary(), standby(), stranger});
    CHECK(topology.primary == node(0));
    CHECK(topology.node(node(2)).status == NodeStatus::quarantined);
    CHECK(topology.node(node(2)).reason.find("8") != std::string::npos);
  }
}

TEST_CASE("the cluster once known stays the one, even when others are more") {
  const Topology before = look({primary(), standby(), standby()});
  const Topology after = look({primary(), primary(2, 100, 8), standby(2, 100, 8)}, before);
  CHECK(after.primary == node(0));
  CHECK(after.node(node(1)).status == NodeStatus::quarantined);
  CHECK(after.node(node(2)).status == NodeStatus::quarantined);
  const Topology gone = look({down(), primary(2, 100, 8), standby(2, 100, 8)}, before);
  CHECK_FALSE(gone.primary.has_value());
}

TEST_CASE("the cluster once known stays the one while its primary is away for longer") {
  const Topology before = look({primary(), standby(), standby()});
  const Topology away = look({down(), primary(2, 100, 8), standby(2, 100, 8)}, before);
  const Topology still_away = look({down(), primary(2, 100, 8), standby(2, 100, 8)}, away);
  CHECK_FALSE(still_away.primary.has_value());
}

// only primaries are compared by timeline. A standby that did not follow a promotion replays another
// history; its position says nothing about the new primary's, and it may even look fresh.
TEST_CASE("a standby on an older timeline is not used for reads") {
  const Topology topology = look({standby(1, 1000), primary(2, 900)});
  CHECK(topology.node(node(0)).status == NodeStatus::quarantined);
}

TEST_CASE("single: one address, whatever stands behind it") {
  const Topology recovering = look({standby()}, {}, kStart, TopologyKind::single);
  CHECK(recovering.primary == node(0));
  CHECK(recovering.node(node(0)).role == Role::primary);
  CHECK_FALSE(look({down()}, recovering, kLater, TopologyKind::single).primary.has_value());
  CHECK(look({primary(2)}, recovering, kLater, TopologyKind::single).primary == node(0));
  // Another cluster behind the same address is not what the clients believe it is.
  const Topology other = look({primary(1, 1, 8)}, recovering, kLater, TopologyKind::single);
  CHECK_FALSE(other.primary.has_value());
  CHECK(other.node(node(0)).status == NodeStatus::quarantined);
}

TEST_CASE("what the primary says of its standbys") {
  Observation main = primary();
  main.facts->peers = {{"pg2", "streaming", "sync"}, {"cluster three", "catchup", "async"}};
  Observation third = standby();
  third.facts->answer.application_name = "cluster three";
  const Topology topology = look({main, standby(), third, standby()});
  CHECK(topology.node(node(1)).replication_state == "streaming");
  CHECK(topology.node(node(1)).replication_sync_state == "sync");
  CHECK(topology.node(node(2)).replication_state == "catchup");
  CHECK(topology.node(node(3)).replication_state.empty());

  main.facts->peers = {{"walreceiver", "streaming", "async"}};  // one standby: whatever it is called
  CHECK(look({main, standby()}).node(node(1)).replication_state == "streaming");
  CHECK(look({main, standby(), standby()}).node(node(1)).replication_state.empty());
}

TEST_CASE("positions make no difference, everything that somebody sees does") {
  const Topology one = look({primary(), standby()});
  CHECK_FALSE(differs(one, look({primary(1, 500), standby(1, 400)}, one, kLater)));
  CHECK(differs(one, look({primary(), down()}, one)));
  CHECK(differs(one, look({primary(2), standby()}, one)));
  CHECK(differs(one, look({primary(), standby(), standby()}, one)));
  Observation other_version = standby();
  other_version.facts->server_version = 160000;
  CHECK(differs(one, look({primary(), other_version}, one)));
  Observation main = primary();
  main.facts->peers = {{"pg2", "streaming", "sync"}};
  CHECK(differs(one, look({main, standby()}, one)));
}

TEST_CASE("nodes that are new since the last look") {
  const Topology one = look({primary()});
  const Topology more = look({primary(), standby()}, one, kLater);
  CHECK(more.node(node(0)).last_status_change == kStart);
  CHECK(more.node(node(1)).last_status_change == kLater);
  CHECK(more.epoch == one.epoch);
}
