// What somebody types in the admin database: a text into statements, a statement into a command. Pure.
#pragma once
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "admin/command_table.h"
#include "base/result.h"

namespace pgweir::admin {

/// A command of the table, with what follows its words.
struct ConsoleCommand {
  const CommandInfo* info = nullptr;
  std::string argument;  ///< a node's name; empty: none was given
};

/// The statements of a text, without the semicolons between them. Quotes and comments hide semicolons. What is empty is
/// left out. Views into `text`.
[[nodiscard]] std::vector<std::string_view> split_statements(std::string_view text);

/// The words of one statement, without comments; a name in quotes is one word. 42601 for a quote that is not closed.
[[nodiscard]] base::Result<std::vector<std::string>> words_of(std::string_view statement);

/// The command that these words are; 42601 when there is none, or with too many or too few arguments.
[[nodiscard]] base::Result<ConsoleCommand> command_from(const std::vector<std::string>& words);

}  // namespace pgweir::admin
