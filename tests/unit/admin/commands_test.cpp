// The SHOW commands over a topology that the test makes up.
#include "admin/commands.h"

#include <memory>
#include <string>
#include <vector>

#include "doctest/doctest.h"

namespace {

using namespace pgweir;
using routing::NodeStatus;
using routing::Role;

class NoWorkers final : public session::Process {
 public:
  explicit NoWorkers(std::size_t nodes) : session::Process(nodes, config::PasswordFile{}) {}
  void suspect(base::NodeId) override {}
  void want_catalog(const std::string&, base::Time) override {}
  void session_ended() override {}
  void writes_are_quiet(base::WorkerId, std::uint64_t) override {}
  void find_memberships(const std::string&, std::function<void(base::Result<auth::Memberships>)>) override {}
  void ask_user(const std::string&, std::function<void(const base::Result<cluster::KnownUser>&)>) override {}
  session::Worker* worker(base::WorkerId) override { return nullptr; }
  std::size_t worker_count() const override { return 1; }
};

struct Fixture {
  NoWorkers process{4};
  admin::View view{process};
  admin::Commands commands{view, [](const std::function<void(admin::Operations&)>&) {}};
  config::Settings settings;
  routing::Topology topology;

  Fixture() {
    const Role roles[] = {Role::primary, Role::standby, Role::standby, Role::primary};
    const NodeStatus states[] = {NodeStatus::up, NodeStatus::up, NodeStatus::down, NodeStatus::quarantined};
    for (std::uint16_t i = 0; i < 4; ++i) {
      routing::Node node;
      node.id = base::NodeId{i};
      node.host = "10.0.0." + std::to_string(i);
      node.port = static_cast<std::uint16_t>(5000 + i);
      node.role = roles[i];
      node.status = states[i];
      node.weight = 3;
      node.replication_state = i == 1 ? "streaming" : "";
      node.replication_sync_state = i == 1 ? "async" : "";
      topology.nodes.push_back(node);
    }
    topology.primary = base::NodeId{0};
    process.freshness.write(base::NodeId{0}, {base::Time{}, 5});
    process.freshness.write(base::NodeId{1}, {base::Time{}, 4711});
  }
  session::LocalTable show(std::string_view name, const session::LocalAsker& asker = {}) {
    view.set(std::make_shared<routing::Topology>(topology), std::make_shared<config::Settings>(settings));
    auto table = commands.show(name, asker);
    REQUIRE(table.has_value());
    return *table;
  }
};

std::vector<std::string> column(const session::LocalTable& table, std::string_view name) {
  const auto found = std::find(table.columns.begin(), table.columns.end(), name);
  REQUIRE(found != table.columns.end());
  std::vector<std::string> out;
  for (const auto& row : table.rows) out.push_back(row[static_cast<std::size_t>(found - table.columns.begin())]);
  return out;
}
using Column = std::vector<std::string>;

}  // namespace

TEST_CASE("SHOW pool_nodes has pgpool's columns in pgpool's order") {
  Fixture f;
  const auto table = f.show("pool_nodes");
  CHECK(table.columns == std::vector<std::string_view>{
                             "node_id", "hostname", "port", "status", "pg_status", "lb_weight", "role", "pg_role",
                             "select_cnt", "load_balance_node", "replication_delay", "replication_state",
                             "replication_sync_state", "last_status_change", "replication_delay_seconds"});
  CHECK(table.tag == "SHOW");
  REQUIRE(table.rows.size() == 4);
  for (const auto& row : table.rows) CHECK(row.size() == table.columns.size());
}

TEST_CASE("SHOW pool_nodes says what is believed, and what the server said") {
  Fixture f;
  const auto table = f.show("pool_nodes", {{}, base::NodeId{1}});
  CHECK(column(table, "node_id") == Column{"0", "1", "2", "3"});
  CHECK(column(table, "port") == Column{"5000", "5001", "5002", "5003"});
  CHECK(column(table, "status") == Column{"up", "up", "down", "quarantine"});
  CHECK(column(table, "pg_status") == Column{"up", "up", "down", "up"});
  CHECK(column(table, "role") == Column{"primary", "standby", "standby", "primary"});
  CHECK(column(table, "pg_role") == Column{"primary", "standby", "unknown", "primary"});
  CHECK(column(table, "load_balance_node") == Column{"false", "true", "false", "false"});
  CHECK(column(table, "replication_delay") == Column{"0", "4711", "0", "0"});
  CHECK(column(table, "replication_state") == Column{"", "streaming", "", ""});
  CHECK(column(table, "select_cnt") == Column{"0", "0", "0", "0"});
  CHECK(column(table, "lb_weight") == Column{"0.000000", "0.500000", "0.500000", "0.000000"});
  f.settings.routing.primary_weight = 2;
  CHECK(column(f.show("pool_nodes"), "lb_weight") == Column{"0.250000", "0.375000", "0.375000", "0.000000"});
  f.topology.nodes[0].status = NodeStatus::unknown;
  CHECK(column(f.show("pool_nodes"), "status")[0] == "waiting");
  CHECK(column(f.show("pool_nodes"), "pg_status")[0] == "unknown");
}

TEST_CASE("weights that are all zero are no share of anything") {
  Fixture f;
  for (auto& node : f.topology.nodes) node.weight = 0;
  CHECK(column(f.show("pool_nodes"), "lb_weight") == Column{"0.000000", "0.000000", "0.000000", "0.000000"});
}

TEST_CASE("SHOW pool_version") {
  Fixture f;
  const auto table = f.show("pool_version");
  CHECK(table.columns == std::vector<std::string_view>{"pool_version"});
  REQUIRE(table.rows.size() == 1);
  CHECK(table.rows[0][0].starts_with("pgweir "));
}

TEST_CASE("SHOW pins has one row for each session and reason") {
  Fixture f;
  CHECK(f.show("pins").rows.empty());
  session::PinnedSession pinned;
  pinned.client = "10.0.0.9:1";
  pinned.user = "alice";
  pinned.database = "db";
  pinned.node = "pg1";
  pinned.pins.add(session::PinReason::listen);
  pinned.pins.add(session::PinReason::temporary);
  f.process.pins.set({7}, pinned);
  pinned.user = "bob";
  pinned.pins.remove(session::PinReason::temporary);
  f.process.pins.set({9}, pinned);
  const auto table = f.show("pins");
  for (const auto& row : table.rows) CHECK(row.size() == table.columns.size());
  CHECK(column(table, "session") == Column{"7", "7", "9"});
  CHECK(column(table, "user") == Column{"alice", "alice", "bob"});
  CHECK(column(table, "node") == Column{"pg1", "pg1", "pg1"});
  CHECK(column(table, "reason") == Column{"temporary_objects", "listen", "listen"});
  CHECK(column(table, "text")[1] == "the session listens for notifications");
  f.process.pins.erase({7});
  CHECK(column(f.show("pins"), "session") == Column{"9"});
}

TEST_CASE("columns are known without running a command; what there is not is an error") {
  Fixture f;
  const auto columns = f.commands.columns("pool_version");
  REQUIRE(columns.has_value());
  CHECK(*columns == std::vector<std::string_view>{"pool_version"});
  for (const char* name : {"", "pool_node", "POOL_NODES", "pool_nodes "}) {
    const auto shown = f.commands.show(name, {});
    REQUIRE_FALSE(shown.has_value());
    CHECK(shown.error().sqlstate == base::sqlstate::undefined_object);
    CHECK_FALSE(f.commands.columns(name).has_value());
  }
}

TEST_CASE("one table says who may: everyone, viewers, administrators") {
  using admin::is_allowed;
  using admin::Privilege;
  config::Admin names;
  names.users = {"root", "both"};
  names.viewers = {"look", "both"};
  struct Row {
    std::string_view user;
    bool everyone, viewer, administrator;
  };
  for (const Row& row :
       {Row{"root", true, true, true}, Row{"look", true, true, false}, Row{"both", true, true, true},
        Row{"app", true, false, false}, Row{"ROOT", true, false, false}, Row{"", true, false, false}}) {
    CAPTURE(row.user);
    CHECK(is_allowed(Privilege::everyone, row.user, names) == row.everyone);
    CHECK(is_allowed(Privilege::viewer, row.user, names) == row.viewer);
    CHECK(is_allowed(Privilege::administrator, row.user, names) == row.administrator);
  }
  CHECK_FALSE(is_allowed(Privilege::viewer, "root", config::Admin{}));
}
