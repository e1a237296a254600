// Format: PostgreSQL documentation, "The Password File". Unlike libpq, which skips what it cannot read, a line that is
// not of this form is an error: a password that is silently not found is hard to track down.
#include "config/password_file.h"

#include <algorithm>

#include "config/text_file.h"
#include "config/units.h"

namespace pgweir::config {
namespace {

struct Field {
  std::string text;
  bool is_wildcard = false;  // a lone * that was not escaped
  bool ended = false;        // a colon came after it
};

// Takes one field and its colon off the front of `rest`; a backslash takes the next character as it is.
Field take_field(std::string_view& rest) {
  Field field;
  field.text.reserve(rest.size());  // growing would leave copies behind
  std::size_t i = 0;
  for (; i < rest.size() && rest[i] != ':'; ++i) {
    if (rest[i] == '\\' && i + 1 < rest.size()) ++i;
    field.text += rest[i];
  }
  field.is_wildcard = rest.substr(0, i) == "*";
  field.ended = i < rest.size();
  rest.remove_prefix(std::min(i + 1, rest.size()));
  return field;
}

std::optional<std::string> pattern(Field field) {
  if (field.is_wildcard) return std::nullopt;
  return std::move(field.text);
}

bool matches(const std::optional<std::string>& wanted, std::string_view found) { return !wanted || *wanted == found; }

bool matches_host(const std::optional<std::string>& wanted, std::string_view host) {
  return matches(wanted, host) || (host.starts_with('/') && *wanted == "localhost");
}

// One line that is no comment; the reason when it cannot be taken. Repeats nothing of the line: it holds a password.
std::string_view add_line(std::string_view text, std::vector<PasswordFile::Line>& lines) {
  Field host = take_field(text);
  Field port = take_field(text);
  Field database = take_field(text);
  Field user = take_field(text);
  if (!user.ended) return "has fewer than five fields; allowed is host:port:database:user:password";
  Field password = take_field(text);
  if (password.ended) return "has more than five fields; a colon inside a field is written \\:";
  if (password.text.empty()) return "has no password";
  const auto number = parse_whole(port.text);
  if (!port.is_wildcard && (!number || *number < 1 || *number > 65535))
    return "has a port that is neither * nor a whole number from 1 to 65535";
  if (number) port.text = std::to_string(*number);
  lines.push_back({pattern(std::move(host)), pattern(std::move(port)), pattern(std::move(database)),
                   pattern(std::move(user)), base::SecretText(password.text)});
  base::wipe(password.text);
  return {};
}

}  // namespace

std::optional<std::string_view> PasswordFile::find(std::string_view host, std::uint16_t port, std::string_view database,
                                                   std::string_view user) const {
  const std::string port_text = std::to_string(port);
  const auto found = std::find_if(lines_.begin(), lines_.end(), [&](const Line& line) {
    return matches_host(line.host, host) && matches(line.port, port_text) && matches(line.database, database) &&
           matches(line.user, user);
  });
  if (found == lines_.end()) return std::nullopt;
  return found->password.reveal();
}

Checked<PasswordFile> parse_passwords(std::string_view text, const std::string& file_name) {
  std::vector<PasswordFile::Line> lines;
  Problems problems;
  for (int number = 1; !text.empty(); ++number) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.starts_with('#')) continue;
    if (const std::string_view reason = add_line(line, lines); !reason.empty())
      problems.push_back({file_name, number, {}, std::string(reason)});
  }
  if (!problems.empty()) return tl::unexpected(std::move(problems));
  return PasswordFile(std::move(lines));
}

Checked<PasswordFile> load_password_file(const std::string& path) {
  auto text = read_text_file(path, FileAccess::owner_and_group);
  if (!text) return tl::unexpected(Problems{{path, 0, {}, text.error().message}});
  auto passwords = parse_passwords(*text, path);
  base::wipe(*text);
  return passwords;
}

}  // namespace pgweir::config
