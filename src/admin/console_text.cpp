// Words, quotes and comments of the admin database; see console_text.h.
#include "admin/console_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace pgweir::admin {

namespace {

bool is_space(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }

std::string upper(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return out;
}

/// Where what begins at `from` ends: a comment, a quoted name, or one character. npos: it is not closed.
std::size_t end_of_part(std::string_view text, std::size_t from) {
  const std::string_view rest = text.substr(from);
  if (rest.starts_with("--")) return std::min(text.find('\n', from), text.size());
  if (rest.starts_with("/*")) {
    const std::size_t end = text.find("*/", from + 2);
    return end == std::string_view::npos ? end : end + 2;
  }
  if (rest.front() != '"' && rest.front() != '\'') return from + 1;
  const std::size_t end = text.find(rest.front(), from + 1);
  return end == std::string_view::npos ? end : end + 1;
}

bool is_comment(std::string_view part) { return part.starts_with("--") || part.starts_with("/*"); }

}  // namespace

std::vector<std::string_view> split_statements(std::string_view text) {
  std::vector<std::string_view> statements;
  std::size_t begin = 0;
  bool has_words = false;
  const auto finish = [&](std::size_t end) {
    if (has_words) statements.push_back(text.substr(begin, end - begin));
    has_words = false;
    begin = end + 1;
  };
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t end = std::min(end_of_part(text, i), text.size());
    if (text[i] == ';')
      finish(i);
    else if (!is_comment(text.substr(i, end - i)) && !is_space(text[i]))
      has_words = true;
    i = end;
  }
  finish(text.size());
  return statements;
}

base::Result<std::vector<std::string>> words_of(std::string_view statement) {
  std::vector<std::string> words;
  bool in_word = false;
  for (std::size_t i = 0; i < statement.size();) {
    const std::size_t end = end_of_part(statement, i);
    if (end == std::string_view::npos)
      return base::fail(base::sqlstate::syntax_error, "unterminated quoted name or comment");
    const std::string_view part = statement.substr(i, end - i);
    i = end;
    if (is_comment(part) || is_space(part.front())) {
      in_word = false;
    } else if (part.size() > 1) {
      words.emplace_back(part.substr(1, part.size() - 2));
      in_word = false;
    } else {
      if (!std::exchange(in_word, true)) words.emplace_back();
      words.back() += part;
    }
  }
  return words;
}

base::Result<ConsoleCommand> command_from(const std::vector<std::string>& words) {
  const std::string first = words.empty() ? std::string() : upper(words.front());
  const std::string two = words.size() > 1 ? first + " " + upper(words[1]) : first;
  const auto table = command_table();
  const auto found = std::find_if(table.begin(), table.end(), [&](const CommandInfo& one) {
    return one.words == first || one.words == two || (one.id == CommandId::help && first == "HELP");
  });
  if (found == table.end())
    return base::fail(base::sqlstate::syntax_error, fmt::format("there is no command \"{}\"", two),
                      "This is pgweir's admin database: no SQL runs here.", "SHOW HELP lists the commands.");
  const std::size_t own = found->words == two && two != first ? 2 : 1;
  const std::size_t arguments = words.size() - own;
  const bool fits = found->argument == Argument::none   ? arguments == 0
                    : found->argument == Argument::node ? arguments == 1
                                                        : arguments <= 1;
  if (!fits)
    return base::fail(base::sqlstate::syntax_error, fmt::format("wrong number of arguments for {}", found->words), {},
                      fmt::format("It is written: {}", usage_of(*found)));
  return ConsoleCommand{&*found, arguments == 1 ? words.back() : std::string()};
}

}  // namespace pgweir::admin
