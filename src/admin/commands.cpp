// The table of SHOW commands and their handlers; see commands.h. Reads shared state, changes nothing.
#include "admin/commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <span>

namespace pgweir::admin {

namespace {

using routing::Node;
using routing::NodeStatus;
using routing::Role;
using Rows = std::vector<std::vector<std::string>>;

/// The words that pgpool's users know.
std::string_view status_word(NodeStatus status) {
  switch (status) {
    case NodeStatus::up: return "up";
    case NodeStatus::down: return "down";
    case NodeStatus::quarantined: return "quarantine";
    case NodeStatus::disabled: return "disabled";
    case NodeStatus::catching_up: return "catching_up";
    case NodeStatus::unknown: return "waiting";
  }
  return "waiting";
}

/// What PostgreSQL itself said, whatever pgweir makes of it.
std::string_view server_status_word(NodeStatus status) {
  if (status == NodeStatus::unknown) return "unknown";
  return status == NodeStatus::down ? "down" : "up";
}

std::string timestamp(base::WallTime when) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(when);
  std::tm local{};
  localtime_r(&seconds, &local);
  std::array<char, 32> text{};
  const std::size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &local);
  return {text.data(), size};
}

std::uint32_t read_weight(const Node& node, const routing::Topology& topology, const config::Settings& settings) {
  if (topology.primary == node.id) return settings.routing.primary_weight;
  return node.role == Role::primary ? 0 : node.weight;
}

Rows pool_nodes(const View& view, const session::LocalAsker& asker) {
  const auto topology = view.topology();
  const auto settings = view.settings();
  double total = 0;
  for (const Node& node : topology->nodes) total += read_weight(node, *topology, *settings);
  Rows rows;
  for (const Node& node : topology->nodes) {
    const double share = total > 0 ? read_weight(node, *topology, *settings) / total : 0;
    const bool standby = node.role == Role::standby;
    // What a client may be told of a server's own role is what the last answer said.
    const auto server_role = node.status == NodeStatus::down ? routing::Role::unknown : node.role;
    rows.push_back({fmt::format("{}", node.id.value), node.host, fmt::format("{}", node.port),
                    std::string(status_word(node.status)), std::string(server_status_word(node.status)),
                    fmt::format("{:.6f}", share), std::string(routing::name_of(node.role)),
                    std::string(routing::name_of(server_role)), fmt::format("{}", view.reads(node.id)),
                    asker.last_read_node == node.id ? "true" : "false",
                    fmt::format("{}", standby ? view.lag_bytes(node.id) : 0), node.replication_state,
                    node.replication_sync_state, timestamp(node.last_status_change)});
  }
  return rows;
}

Rows pool_version(const View&, const session::LocalAsker&) { return {{"pgweir " PGWEIR_VERSION}}; }

/// One row per session and reason.
Rows pins(const View& view, const session::LocalAsker&) {
  Rows rows;
  for (const auto& [id, session] : view.pins())
    for (const auto& row : session::kPinReasons)
      if (session.pins.has(row.reason))
        rows.push_back({fmt::format("{}", id.value), session.client, session.user, session.database, session.node,
                        std::string(row.name), std::string(row.text), timestamp(session.since)});
  return rows;
}

struct Command {
  std::string_view name;
  Privilege privilege;
  std::vector<std::string_view> columns;
  Rows (*handler)(const View&, const session::LocalAsker&);
};

std::span<const Command> commands() {
  static const std::vector<Command> kCommands{
      {"pool_nodes",
       Privilege::everyone,
       {"node_id", "hostname", "port", "status", "pg_status", "lb_weight", "role", "pg_role", "select_cnt",
        "load_balance_node", "replication_delay", "replication_state", "replication_sync_state", "last_status_change"},
       pool_nodes},
      {"pins", Privilege::everyone, {"session", "client", "user", "database", "node", "reason", "text", "since"}, pins},
      {"pool_version", Privilege::everyone, {"pool_version"}, pool_version},
  };
  return kCommands;
}

base::Result<const Command*> find(std::string_view name) {
  for (const Command& command : commands())
    if (command.name == name) return &command;
  return base::fail(base::sqlstate::undefined_object, fmt::format("there is no command SHOW {}", name));
}

}  // namespace

bool is_allowed(Privilege needed, std::string_view user, const config::Admin& admin) {
  const auto is_in = [&](const std::vector<std::string>& names) {
    return std::find(names.begin(), names.end(), user) != names.end();
  };
  switch (needed) {
    case Privilege::everyone: return true;
    case Privilege::viewer: return is_in(admin.viewers) || is_in(admin.users);
    case Privilege::administrator: return is_in(admin.users);
  }
  return false;
}

void View::set(routing::TopologyPtr topology, std::shared_ptr<const config::Settings> settings) {
  const std::lock_guard lock(mutex_);
  topology_ = std::move(topology);
  settings_ = std::move(settings);
}

routing::TopologyPtr View::topology() const {
  const std::lock_guard lock(mutex_);
  return topology_;
}

std::shared_ptr<const config::Settings> View::settings() const {
  const std::lock_guard lock(mutex_);
  return settings_;
}

std::uint64_t View::reads(base::NodeId node) const {
  std::uint64_t sum = 0;
  for (std::uint16_t i = 0; i < process_.worker_count(); ++i)
    if (session::Worker* worker = process_.worker(base::WorkerId{i}))
      sum += worker->counters().reads[node.value].load(std::memory_order_relaxed);
  return sum;
}

std::vector<std::pair<base::SessionId, session::PinnedSession>> View::pins() const { return process_.pins.all(); }

std::uint64_t View::lag_bytes(base::NodeId node) const { return process_.freshness.read(node).lag_bytes; }

base::Result<session::LocalTable> Commands::show(std::string_view name, const session::LocalAsker& asker) const {
  const auto command = find(name);
  if (!command) return base::Failure(command.error());
  if (!is_allowed((*command)->privilege, asker.user, view_.settings()->admin))
    return base::fail(base::sqlstate::insufficient_privilege, fmt::format("permission denied for SHOW {}", name), {},
                      "Users who may are in admin.users or admin.viewers of pgweir's configuration.");
  session::LocalTable table;
  table.columns = (*command)->columns;
  table.rows = (*command)->handler(view_, asker);
  table.tag = "SHOW";
  return table;
}

base::Result<std::vector<std::string_view>> Commands::columns(std::string_view name) const {
  const auto command = find(name);
  if (!command) return base::Failure(command.error());
  return (*command)->columns;
}

}  // namespace pgweir::admin
