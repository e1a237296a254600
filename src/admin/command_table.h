// Every command that pgweir itself understands: its words, who may give it, what it answers. One table, for SHOW in any
// session, the admin database, pgweirctl and docs/admin.md. Depends on nothing that runs.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace pgweir::admin {

/// What it takes to give a command: each includes those before it.
enum class Privilege : std::uint8_t { everyone, viewer, administrator };
[[nodiscard]] std::string_view name_of(Privilege privilege);

enum class CommandId : std::uint8_t {
  pool_nodes,
  pool_version,
  pins,
  nodes,
  events,
  failover,
  attach,
  detach,
  believe,
  origin,
  switchover,
  help,
};

/// Where a command may be given. `console`: in the admin database only. `session`: there, and in any session as SHOW.
enum class Place : std::uint8_t { session, console };
enum class Argument : std::uint8_t { none, node, optional_node };

struct CommandInfo {
  CommandId id;
  std::string_view words;  ///< in capital letters, with single spaces: "SHOW NODES"
  Argument argument = Argument::none;
  Place place = Place::console;
  Privilege privilege = Privilege::viewer;
  std::string_view tool;  ///< what pgweirctl calls it; empty: it does not
  std::span<const std::string_view> columns;
  std::string_view help;  ///< sentences
};

[[nodiscard]] std::span<const CommandInfo> command_table();
[[nodiscard]] const CommandInfo& info_of(CommandId id);
/// How it is written: "ATTACH node", "SWITCHOVER [node]".
[[nodiscard]] std::string usage_of(const CommandInfo& command);
/// docs/admin.md.
[[nodiscard]] std::string render_command_reference();

}  // namespace pgweir::admin
