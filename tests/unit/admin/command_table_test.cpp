// The table of commands: complete, without doubles, and docs/admin.md is made of it.
#include "admin/command_table.h"

#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "doctest/doctest.h"

using namespace pgweir::admin;

TEST_CASE("every command has one row, other words, and says what it does") {
  std::set<std::string_view> words, tools;
  std::set<CommandId> ids;
  for (const CommandInfo& command : command_table()) {
    CAPTURE(command.words);
    CHECK(words.insert(command.words).second);
    CHECK(ids.insert(command.id).second);
    if (!command.tool.empty()) CHECK(tools.insert(command.tool).second);
    CHECK_FALSE(command.columns.empty());
    CHECK(command.help.ends_with('.'));
    CHECK(&info_of(command.id) == &command);
  }
}

TEST_CASE("what changes something is for administrators, and what every session may say changes nothing") {
  for (const CommandInfo& command : command_table()) {
    CAPTURE(command.words);
    CHECK((command.words.starts_with("SHOW ") || command.privilege == Privilege::administrator));
    if (command.place == Place::session) CHECK(command.words.starts_with("SHOW "));
    if (command.argument != Argument::none) CHECK(command.privilege == Privilege::administrator);
  }
}

TEST_CASE("usage") {
  CHECK(usage_of(info_of(CommandId::nodes)) == "SHOW NODES");
  CHECK(usage_of(info_of(CommandId::detach)) == "DETACH node");
  CHECK(usage_of(info_of(CommandId::switchover)) == "SWITCHOVER [node]");
}

TEST_CASE("docs/admin.md is up to date (./dev docs)") {
  std::ifstream in(PGWEIR_SOURCE_ROOT "/docs/admin.md");
  std::ostringstream text;
  text << in.rdbuf();
  CHECK(text.str() == render_command_reference());
}
