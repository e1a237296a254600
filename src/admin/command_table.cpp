// The table itself, and the page that is made of it; see command_table.h.
#include "admin/command_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace pgweir::admin {

namespace {

using Columns = std::string_view[];

// In pgpool's order; what pgpool does not have comes last.
constexpr Columns kPoolNodes = {"node_id",
                                "hostname",
                                "port",
                                "status",
                                "pg_status",
                                "lb_weight",
                                "role",
                                "pg_role",
                                "select_cnt",
                                "load_balance_node",
                                "replication_delay",
                                "replication_state",
                                "replication_sync_state",
                                "last_status_change",
                                "replication_delay_seconds"};
constexpr Columns kPoolVersion = {"pool_version"};
constexpr Columns kPins = {"session", "client", "user", "database", "node", "reason", "text", "since"};
constexpr Columns kNodes = {"node_id",    "name",   "host",     "port",      "role",        "state",
                            "since",      "reason", "timeline", "lag_bytes", "lag_seconds", "replication_state",
                            "sync_state", "weight", "reads",    "version"};
constexpr Columns kEvents = {"time", "what", "node", "before", "after", "reason", "evidence"};
constexpr Columns kFailover = {"mode", "phase", "reason", "primary", "timeline", "writes"};
constexpr Columns kNodeState = {"node", "state", "reason"};
constexpr Columns kSwitchover = {"primary", "result"};
constexpr Columns kHelp = {"command", "privilege", "text"};

constexpr std::array kTable{
    CommandInfo{CommandId::pool_nodes, "SHOW POOL_NODES", Argument::none, Place::session, Privilege::everyone, "",
                kPoolNodes,
                "The nodes, in the columns that users of pgpool-II know. `replication_delay` is in bytes, "
                "`replication_delay_seconds` how old a read there may be; empty: not known."},
    CommandInfo{CommandId::pool_version, "SHOW POOL_VERSION", Argument::none, Place::session, Privilege::everyone, "",
                kPoolVersion, "pgweir's version."},
    CommandInfo{CommandId::pins, "SHOW PINS", Argument::none, Place::session, Privilege::everyone, "pins", kPins,
                "Sessions that keep a server connection for themselves, and why."},
    CommandInfo{
        CommandId::nodes, "SHOW NODES", Argument::none, Place::console, Privilege::viewer, "nodes", kNodes,
        "What is believed of each node, since when, and why. `lag_seconds`: how old a read there may be; empty: "
        "not known. `reads`: statements sent there."},
    CommandInfo{CommandId::events, "SHOW EVENTS", Argument::none, Place::console, Privilege::viewer, "events", kEvents,
                "What has changed, the oldest first: states of nodes, the primary, what the failover is doing, and "
                "requests that could not be met. The newest 256 since pgweir was started."},
    CommandInfo{CommandId::failover, "SHOW FAILOVER", Argument::none, Place::console, Privilege::viewer, "failover",
                kFailover, "Who is the primary, what the failover is doing, and why."},
    CommandInfo{
        CommandId::attach, "ATTACH", Argument::node, Place::console, Privilege::administrator, "attach", kNodeState,
        "Takes a node back that DETACH has taken out. It gets work again when the next probe finds it well. With "
        "topology: logical it may be another server than before, which is taken for the node from then on."},
    CommandInfo{
        CommandId::detach, "DETACH", Argument::node, Place::console, Privilege::administrator, "detach", kNodeState,
        "Takes a node out: it gets no new work, and is not promoted. What runs there may end. The primary cannot "
        "be taken out: switch over first. It is remembered until ATTACH."},
    CommandInfo{
        CommandId::believe, "BELIEVE", Argument::node, Place::console, Privilege::administrator, "believe", kNodeState,
        "Says that this node is the primary, although pgweir knows of a newer one or may have promoted another. "
        "Only while there is no primary, and only a node that is writable: whatever only the other one has is "
        "given up."},
    CommandInfo{
        CommandId::origin, "ORIGIN", Argument::node, Place::console, Privilege::administrator, "origin", kNodeState,
        "With topology: logical: from now on this node is the origin, which takes the writes, and the one before is a "
        "replica. Only a node that answers. Nothing is done to the servers: first see to it that nobody writes, that "
        "the node has everything, and that replication goes the other way. Transactions that are open on the old "
        "origin "
        "may still end there. It is remembered (failover.state_file) until the configuration names another origin."},
    CommandInfo{
        CommandId::switchover, "SWITCHOVER", Argument::optional_node, Place::console, Privilege::administrator,
        "switchover", kSwitchover,
        "Makes another node the primary, without losing anything: new writes wait, those that run may end, the "
        "target receives the rest and is promoted. Without a name: the standby with the greatest priority that "
        "has received the most. Answers when it is over. If it cannot be done in time, everything is as before."},
    CommandInfo{CommandId::help, "SHOW HELP", Argument::none, Place::console, Privilege::everyone, "", kHelp,
                "These commands."},
};

constexpr std::string_view kIntroduction =
    R"(# Commands

<!-- Generated from the table of commands (src/admin/command_table.cpp) by `./dev docs`. Do not edit. -->

There are three ways to give pgweir a command.

- **In any session**: those that are marked so, as `SHOW POOL_NODES`.
- **The admin database**: connect to the database `pgweir` (`admin.database`) on pgweir's own port, with psql or any
  driver: `psql -h 127.0.0.1 -p 6432 -d pgweir -c 'SHOW NODES'`. No server is asked for anything. Only users in
  `admin.users` and `admin.viewers` come in; they prove who they are as everybody does. A database of that name on the
  servers cannot be reached: choose another name in `admin.database`.
- **The tool**: `pgweirctl nodes`, `pgweirctl detach pg3`, `pgweirctl switchover`. It connects to the admin database and
  prints what it answers.

Case does not matter, nor does a semicolon. Names of nodes may stand in double or single quotes. In the admin database
BEGIN, COMMIT, ROLLBACK, SET, RESET, DISCARD and DEALLOCATE are accepted and do nothing: drivers send them on their own.

Privileges: `everyone`; `viewer`: users in `admin.viewers` and `admin.users`; `administrator`: users in `admin.users`.
Whoever may not gets 42501. An unknown command is 42601, an unknown node 42704, and what is not possible now is 55000,
with the reason.

## pgweirctl

```
pgweirctl [-h HOST] [-p PORT] [-U USER] [-d DATABASE] [--format table|csv|json] COMMAND [NODE]
```

What is not given comes from libpq's environment variables (`PGHOST`, `PGPORT`, `PGUSER`, `PGPASSWORD`, `PGPASSFILE`,
`PGSSLMODE`), else: host 127.0.0.1, port 6432, database `pgweir`. Exit status: 0 done, 1 refused or failed, 2 no
connection, and CLI usage errors above 100.

## The commands
)";

}  // namespace

std::string_view name_of(Privilege privilege) {
  constexpr std::array<std::string_view, 3> kNames{"everyone", "viewer", "administrator"};
  return kNames[static_cast<std::size_t>(privilege)];
}

std::span<const CommandInfo> command_table() { return kTable; }

const CommandInfo& info_of(CommandId id) {
  return *std::find_if(kTable.begin(), kTable.end(), [&](const CommandInfo& one) { return one.id == id; });
}

std::string usage_of(const CommandInfo& command) {
  std::string text(command.words);
  if (command.argument == Argument::node) text += " node";
  if (command.argument == Argument::optional_node) text += " [node]";
  return text;
}

std::string render_command_reference() {
  std::string page(kIntroduction);
  for (const CommandInfo& command : kTable) {
    page += fmt::format("\n### {}\n\n{}\n\n", usage_of(command), command.help);
    page += fmt::format("- Privilege: {}\n", name_of(command.privilege));
    page += fmt::format("- Where: {}\n",
                        command.place == Place::session ? "any session, and the admin database" : "the admin database");
    if (!command.tool.empty()) page += fmt::format("- Tool: `pgweirctl {}`\n", command.tool);
    page += fmt::format("- Columns: {}\n", fmt::join(command.columns, ", "));
  }
  return page;
}

}  // namespace pgweir::admin
