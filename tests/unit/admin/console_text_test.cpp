// Texts of the admin database into statements, words and commands.
#include "admin/console_text.h"

#include <string>
#include <vector>

#include "doctest/doctest.h"

using namespace pgweir;
using namespace pgweir::admin;

namespace {

std::vector<std::string> words(std::string_view text) {
  const auto found = words_of(text);
  REQUIRE(found.has_value());
  return *found;
}

CommandId id_of(std::string_view text) {
  const auto command = command_from(words(text));
  REQUIRE(command.has_value());
  return command->info->id;
}

base::Error error_of(std::string_view text) {
  const auto command = command_from(words(text));
  REQUIRE_FALSE(command.has_value());
  return command.error();
}

}  // namespace

TEST_CASE("statements end at semicolons, but not at those in quotes and comments") {
  using Parts = std::vector<std::string_view>;
  CHECK(split_statements("SHOW NODES") == Parts{"SHOW NODES"});
  CHECK(split_statements(" a ; b;") == Parts{" a ", " b"});
  CHECK(split_statements("a \";\" b; c") == Parts{"a \";\" b", " c"});
  CHECK(split_statements("/* ; */ a -- ;\n; b") == Parts{"/* ; */ a -- ;\n", " b"});
  for (const char* empty : {"", ";", " ; ;; ", "-- nothing", "/* nothing */;"}) CHECK(split_statements(empty).empty());
}

TEST_CASE("words are split at white space and comments; quotes make one word") {
  using Words = std::vector<std::string>;
  CHECK(words("show\tnodes") == Words{"show", "nodes"});
  CHECK(words("detach \"pg 3\"") == Words{"detach", "pg 3"});
  CHECK(words("detach 'pg3'/* x */") == Words{"detach", "pg3"});
  CHECK(words("a/**/b -- c") == Words{"a", "b"});
  CHECK(words("\"\"") == Words{""});
  for (const char* open : {"a \"b", "'", "a /* b"}) {
    const auto found = words_of(open);
    REQUIRE_FALSE(found.has_value());
    CHECK(found.error().sqlstate == base::sqlstate::syntax_error);
  }
}

TEST_CASE("every command of the table is found by its words, in any case") {
  for (const CommandInfo& command : command_table()) {
    std::string text(command.words);
    for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (command.argument == Argument::node) text += " pg1";
    CHECK(id_of(text) == command.id);
  }
  CHECK(id_of("help") == CommandId::help);
  CHECK(command_from(words("switchover pg2"))->argument == "pg2");
  CHECK(command_from(words("switchover"))->argument.empty());
}

TEST_CASE("what is no command, or has other arguments, is an error that helps") {
  for (const char* text : {"SELECT 1", "show", "show nothing", "attachx pg1"}) {
    const auto error = error_of(text);
    CHECK(error.sqlstate == base::sqlstate::syntax_error);
    CHECK(error.hint == "SHOW HELP lists the commands.");
  }
  for (const char* text : {"attach", "attach a b", "show nodes x", "switchover a b"}) {
    const auto error = error_of(text);
    CHECK(error.sqlstate == base::sqlstate::syntax_error);
    CHECK(error.hint.starts_with("It is written: "));
  }
  CHECK(command_from({}).error().sqlstate == base::sqlstate::syntax_error);
}
