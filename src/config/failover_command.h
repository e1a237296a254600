// The placeholders in the commands of the section `failover`: one table. The letters mean what they mean in pgpool-II's
// failover_command, follow_primary_command and failback_command.
#pragma once
#include <span>
#include <string>
#include <string_view>

namespace pgweir::config {

/// A node as a command sees it.
struct CommandNode {
  std::string id, host, port, data_directory;
};
struct CommandFacts {
  CommandNode node;         ///< that was lost, that is to follow, that is to rejoin
  CommandNode primary;      ///< the new one
  CommandNode old_primary;  ///< the one before it
};

struct Placeholder {
  char letter;
  std::string_view meaning;
  const std::string& (*value)(const CommandFacts&);
};
/// Without `%%`, which is a `%`.
[[nodiscard]] std::span<const Placeholder> placeholders();

/// Values are put in as they are: what needs quotes for the shell has to have them in the command.
[[nodiscard]] std::string expand(std::string_view command, const CommandFacts& facts);
/// What is wrong with the placeholders of `command`; empty: nothing.
[[nodiscard]] std::string wrong_placeholder(std::string_view command);

}  // namespace pgweir::config
