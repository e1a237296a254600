// Format: PgBouncer's documentation, "Authentication file format": two fields in double quotes, a double quote inside
// is doubled, the rest of the line is ignored, a line that begins with ; is a comment (# too, here). Unlike there, a
// line that cannot be read is an error and not the silent end of the file.
#include "config/users_file.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "config/text_file.h"
#include "config/units.h"
#include "fmt/format.h"

namespace pgweir::config {
namespace {

// Takes a field in double quotes off the front of `rest`; nothing when it does not begin or end with one.
std::optional<std::string> take_quoted(std::string_view& rest) {
  if (!rest.starts_with('"')) return std::nullopt;
  std::string out;
  out.reserve(rest.size());  // growing would leave copies behind
  for (std::size_t i = 1; i < rest.size(); ++i) {
    if (rest[i] != '"') {
      out += rest[i];
    } else if (i + 1 < rest.size() && rest[i + 1] == '"') {
      out += rest[++i];
    } else {
      rest.remove_prefix(i + 1);
      return out;
    }
  }
  return std::nullopt;
}

void skip_blanks(std::string_view& rest) { rest.remove_prefix(std::min(rest.find_first_not_of(" \t\r"), rest.size())); }

// One line that is no comment; the reason when it cannot be taken.
std::string add_user(std::string_view line, Users& users) {
  const auto user = take_quoted(line);
  if (!user) return "does not begin with a user name in double quotes; allowed is \"user\" \"secret\"";
  if (user->empty()) return "the user name is empty";
  skip_blanks(line);
  auto text = take_quoted(line);
  if (!text) return fmt::format("user {} has no secret in double quotes", in_quotes(*user));
  // As for PgBouncer: somebody who has no password. By a password such a one does not come in.
  if (text->empty()) return {};
  auto secret = parse_secret(*text);
  base::wipe(*text);
  if (!secret) return fmt::format("user {}: {}", in_quotes(*user), secret.error().message);
  if (!users.emplace(*user, std::move(*secret)).second)
    return fmt::format("user {} was already given further up", in_quotes(*user));
  return {};
}

}  // namespace

Checked<Users> parse_users(std::string_view text, const std::string& file_name) {
  Users users;
  Problems problems;
  for (int number = 1; !text.empty(); ++number) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    skip_blanks(line);
    if (line.empty() || line.starts_with(';') || line.starts_with('#')) continue;
    if (std::string reason = add_user(line, users); !reason.empty())
      problems.push_back({file_name, number, {}, std::move(reason)});
  }
  if (!problems.empty()) return tl::unexpected(std::move(problems));
  return users;
}

Checked<Users> load_users_file(const std::string& path) {
  auto text = read_text_file(path, FileAccess::owner_and_group);
  if (!text) return tl::unexpected(Problems{{path, 0, {}, text.error().message}});
  auto users = parse_users(*text, path);
  base::wipe(*text);
  return users;
}

}  // namespace pgweir::config
