// The handlers of the commands; see commands.h.
#include "admin/commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "admin/console_text.h"
#include "admin/timestamp.h"
#include "base/log.h"

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

std::string seconds_text(std::optional<base::Duration> time) {
  if (!time) return {};
  return fmt::format("{:.3f}", std::chrono::duration<double>(*time).count());
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
                    node.replication_sync_state, timestamp(node.last_status_change),
                    standby ? seconds_text(view.lag_time(node.id)) : std::string()});
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

Rows nodes(const View& view, const session::LocalAsker&) {
  Rows rows;
  for (const Node& node : view.topology()->nodes) {
    const bool standby = node.role == Role::standby;
    rows.push_back({fmt::format("{}", node.id.value), node.name, node.host, fmt::format("{}", node.port),
                    std::string(routing::name_of(node.role)), std::string(routing::name_of(node.status)),
                    timestamp(node.last_status_change), node.reason, fmt::format("{}", node.timeline),
                    fmt::format("{}", standby ? view.lag_bytes(node.id) : 0),
                    standby ? seconds_text(view.lag_time(node.id)) : std::string(), node.replication_state,
                    node.replication_sync_state, fmt::format("{}", node.weight), fmt::format("{}", view.reads(node.id)),
                    fmt::format("{}", node.server_version)});
  }
  return rows;
}

Rows help(const View&, const session::LocalAsker&) {
  Rows rows;
  for (const CommandInfo& command : command_table())
    rows.push_back({usage_of(command), std::string(name_of(command.privilege)), std::string(command.help)});
  return rows;
}

/// Those that only look at what every thread may see.
using Shower = Rows (*)(const View&, const session::LocalAsker&);
Shower shower_of(CommandId id) {
  switch (id) {
    case CommandId::pool_nodes: return pool_nodes;
    case CommandId::pool_version: return pool_version;
    case CommandId::pins: return pins;
    case CommandId::nodes: return nodes;
    case CommandId::help: return help;
    default: return nullptr;
  }
}

/// The others.
void carry_out(Operations& operations, CommandId id, const std::string& argument,
               const session::LocalCommands::Answer& answer) {
  switch (id) {
    case CommandId::events: return operations.events(answer);
    case CommandId::failover: return operations.failover(answer);
    case CommandId::attach: return operations.attach(argument, answer);
    case CommandId::detach: return operations.detach(argument, answer);
    case CommandId::believe: return operations.believe(argument, answer);
    case CommandId::origin: return operations.origin(argument, answer);
    case CommandId::switchover: return operations.switchover(argument, answer);
    default: break;
  }
  answer(base::fail(base::sqlstate::internal_error, "no such operation"));
}

/// What follows SHOW, in any session.
base::Result<const CommandInfo*> find(std::string_view name) {
  constexpr std::string_view kShow = "SHOW ";
  const auto matches = [&](const CommandInfo& command) {
    const std::string_view own = command.words.substr(std::min(command.words.size(), kShow.size()));
    return command.place == Place::session &&
           std::equal(own.begin(), own.end(), name.begin(), name.end(),
                      [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; });
  };
  const auto table = command_table();
  const auto found = std::find_if(table.begin(), table.end(), matches);
  if (found != table.end()) return &*found;
  return base::fail(base::sqlstate::undefined_object, fmt::format("there is no command SHOW {}", name));
}

struct Harmless {
  std::string_view word;
  session::ConsoleStatement::Kind kind;
  std::string_view tag;
};
constexpr std::array kHarmless{
    Harmless{"BEGIN", session::ConsoleStatement::Kind::begin, "BEGIN"},
    Harmless{"START", session::ConsoleStatement::Kind::begin, "START TRANSACTION"},
    Harmless{"COMMIT", session::ConsoleStatement::Kind::end, "COMMIT"},
    Harmless{"END", session::ConsoleStatement::Kind::end, "COMMIT"},
    Harmless{"ROLLBACK", session::ConsoleStatement::Kind::end, "ROLLBACK"},
    Harmless{"ABORT", session::ConsoleStatement::Kind::end, "ROLLBACK"},
    Harmless{"SET", session::ConsoleStatement::Kind::nothing, "SET"},
    Harmless{"RESET", session::ConsoleStatement::Kind::nothing, "RESET"},
    Harmless{"DISCARD", session::ConsoleStatement::Kind::nothing, "DISCARD ALL"},
    Harmless{"DEALLOCATE", session::ConsoleStatement::Kind::nothing, "DEALLOCATE"},
};

const Harmless* find_harmless(const std::string& word) {
  const auto found = std::find_if(kHarmless.begin(), kHarmless.end(), [&](const Harmless& one) {
    return std::equal(one.word.begin(), one.word.end(), word.begin(), word.end(),
                      [](char a, char b) { return a == std::toupper(static_cast<unsigned char>(b)); });
  });
  return found == kHarmless.end() ? nullptr : &*found;
}

session::LocalTable table_of(const CommandInfo& command, Rows rows) {
  session::LocalTable table;
  table.columns.assign(command.columns.begin(), command.columns.end());
  table.rows = std::move(rows);
  table.tag = "SHOW";
  return table;
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

/// On the clock of the workers: a standby is as old as the moment up to which it is fresh.
std::optional<base::Duration> View::lag_time(base::NodeId node) const {
  const base::Time fresh_until = process_.freshness.read(node).fresh_until;
  if (fresh_until == base::Time{}) return {};
  return std::max(base::Duration::zero(), std::chrono::duration_cast<base::Duration>(base::Clock::now() - fresh_until));
}

base::Result<bool> Commands::check_privilege(const CommandInfo& command, std::string_view user) const {
  if (is_allowed(command.privilege, user, view_.settings()->admin)) return true;
  const bool names_viewers = command.privilege == Privilege::viewer;
  return base::fail(base::sqlstate::insufficient_privilege, fmt::format("permission denied for {}", command.words), {},
                    names_viewers ? "Users who may are in admin.users or admin.viewers of pgweir's configuration."
                                  : "Users who may are in admin.users of pgweir's configuration.");
}

base::Result<session::LocalTable> Commands::show(std::string_view name, const session::LocalAsker& asker) const {
  const auto command = find(name);
  if (!command) return base::Failure(command.error());
  if (auto allowed = check_privilege(**command, asker.user); !allowed) return base::Failure(allowed.error());
  return table_of(**command, shower_of((*command)->id)(view_, asker));
}

base::Result<std::vector<std::string_view>> Commands::columns(std::string_view name) const {
  const auto command = find(name);
  if (!command) return base::Failure(command.error());
  return std::vector<std::string_view>((*command)->columns.begin(), (*command)->columns.end());
}

bool Commands::is_console(std::string_view database) const { return view_.settings()->admin.database == database; }

base::Result<bool> Commands::may_enter(std::string_view user) const {
  const auto settings = view_.settings();
  if (is_allowed(Privilege::viewer, user, settings->admin)) return true;
  return base::fail(base::sqlstate::insufficient_privilege,
                    fmt::format("permission denied for database \"{}\"", settings->admin.database),
                    "This is pgweir's admin database.",
                    "Users who may connect are in admin.users or admin.viewers of pgweir's configuration.");
}

std::vector<std::string_view> Commands::split(std::string_view text) const { return split_statements(text); }

base::Result<session::ConsoleStatementPtr> Commands::read(std::string_view statement,
                                                          const session::LocalAsker& asker) const {
  const auto words = words_of(statement);
  if (!words) return base::Failure(words.error());
  auto read = std::make_shared<session::ConsoleStatement>();
  if (const Harmless* harmless = words->empty() ? nullptr : find_harmless(words->front())) {
    read->kind = harmless->kind;
    read->tag = harmless->tag;
    return read;
  }
  auto command = command_from(*words);
  if (!command) return base::Failure(command.error());
  if (auto allowed = check_privilege(*command->info, asker.user); !allowed) return base::Failure(allowed.error());
  read->command = static_cast<std::size_t>(command->info->id);
  read->argument = std::move(command->argument);
  read->columns.assign(command->info->columns.begin(), command->info->columns.end());
  return read;
}

std::optional<base::Result<session::LocalTable>> Commands::run(const session::ConsoleStatement& statement,
                                                               const session::LocalAsker& asker, Answer answer) const {
  const auto id = static_cast<CommandId>(statement.command);
  const CommandInfo& command = info_of(id);
  // A prepared one may have been allowed before a reload.
  if (auto allowed = check_privilege(command, asker.user); !allowed) return base::Failure(allowed.error());
  if (const Shower shower = shower_of(id)) return table_of(command, shower(view_, asker));
  if (command.privilege == Privilege::administrator)
    base::log::info("command", {{"user", asker.user}, {"command", command.words}, {"argument", statement.argument}});
  on_control_([id, argument = statement.argument, answer = std::move(answer)](Operations& operations) {
    carry_out(operations, id, argument, answer);
  });
  return {};
}

}  // namespace pgweir::admin
