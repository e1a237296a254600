// Quoting, comparing and taking apart; see settings_text.h.
#include "session/settings_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <optional>
#include <unordered_set>

namespace pgweir::session {

namespace {

using pool::SettingsPtr;
using pool::SettingText;

constexpr std::string_view kRole = "role";
constexpr std::string_view kAuthorization = "session_authorization";
constexpr std::string_view kEncoding = "client_encoding";
constexpr std::string_view kStatementTimeout = "statement_timeout";

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return result;
}

const SettingText* find(const SettingsPtr& settings, std::string_view key) {
  if (!settings) return nullptr;
  const auto found = std::lower_bound(settings->begin(), settings->end(), key,
                                      [](const SettingText& one, std::string_view k) { return one.key < k; });
  return found != settings->end() && found->key == key ? &*found : nullptr;
}

void say(std::string& text, std::string_view statement) {
  // On a line of its own: the statement before may end in a comment.
  if (!text.empty()) text += "\n;";
  text += statement;
}

bool is_identity(std::string_view key) { return key == kRole || key == kAuthorization; }

bool differs(const SettingsPtr& from, const SettingsPtr& to, std::string_view key) {
  const SettingText* a = find(from, key);
  const SettingText* b = find(to, key);
  return a == nullptr || b == nullptr ? a != b : a->text != b->text;
}

}  // namespace

std::string to_literal(std::string_view text) {
  const bool escapes = text.find('\\') != std::string_view::npos;
  std::string literal = escapes ? " E'" : "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') literal += c;
    literal += c;
  }
  return literal + '\'';
}

std::string to_identifier(std::string_view name) {
  std::string quoted = "\"";
  for (const char c : name) {
    if (c == '"') quoted += c;
    quoted += c;
  }
  return quoted + '"';
}

std::string set_config_text(std::string_view name, std::string_view value) {
  return "SELECT pg_catalog.set_config(" + to_literal(name) + "," + to_literal(value) + ",false)";
}

std::string reset_text(std::string_view key) {
  std::string name;
  while (!key.empty()) {
    const auto dot = std::min(key.find('.'), key.size());
    if (!name.empty()) name += '.';
    name += to_identifier(key.substr(0, dot));
    key.remove_prefix(std::min(dot + 1, key.size()));
  }
  return "RESET " + name;
}

bool is_custom(std::string_view name) { return name.find('.') != std::string_view::npos; }

bool is_ascii(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; });
}

bool is_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const auto first = static_cast<unsigned char>(text[at]);
    const std::size_t size = first < 0x80   ? 1
                             : first < 0xc2 ? 0
                             : first < 0xe0 ? 2
                             : first < 0xf0 ? 3
                             : first < 0xf5 ? 4
                                            : 0;
    if (size == 0 || at + size > text.size()) return false;
    for (std::size_t i = 1; i < size; ++i)
      if ((static_cast<unsigned char>(text[at + i]) & 0xc0) != 0x80) return false;
    if (size > 2) {
      // Too long for what they say, surrogates, and beyond the last code point.
      const auto second = static_cast<unsigned char>(text[at + 1]);
      if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second >= 0xa0) || (first == 0xf0 && second < 0x90) ||
          (first == 0xf4 && second >= 0x90))
        return false;
    }
    at += size;
  }
  return true;
}

bool is_portable(std::string_view text) { return is_ascii(text) && text.find('\\') == std::string_view::npos; }

bool has_short_timeout(const SettingsPtr& settings) {
  const SettingText* one = find(settings, kStatementTimeout);
  if (!one) return false;
  std::string_view text = one->text;
  text.remove_prefix(std::min(lower(text).find(kStatementTimeout) + kStatementTimeout.size(), text.size()));
  text.remove_prefix(std::min(text.find_first_of("0123456789"), text.size()));
  std::uint64_t number = 0;
  const auto digits = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool has_comment = one->text.find("--") != std::string::npos || one->text.find("/*") != std::string::npos;
  if (digits.ec != std::errc() || has_comment) return true;
  text.remove_prefix(static_cast<std::size_t>(digits.ptr - text.data()));
  const std::string unit = lower(text.substr(0, text.find_first_of("' ;\t\r\n,")));
  if (unit == "s" || unit == "min" || unit == "h" || unit == "d") return false;
  // Without a unit, milliseconds; in any other form, not to be trusted.
  const bool ends = unit.empty() && text.find_first_not_of("'; \t\r\n") == std::string_view::npos;
  const bool of_function = unit.empty() && text == "',false)";
  if (unit != "ms" && !ends && !of_function) return true;
  return number != 0 && number < 1000;
}

SettingsPtr without_timeout(const SettingsPtr& settings) {
  if (!find(settings, kStatementTimeout)) return settings;
  std::vector<SettingText> others(*settings);
  std::erase_if(others, [](const SettingText& one) { return one.key == kStatementTimeout; });
  return std::make_shared<const std::vector<SettingText>>(std::move(others));
}

bool is_deferrable(const SettingsPtr& settings) { return find(settings, "default_transaction_deferrable") != nullptr; }

bool has_identity(const SettingsPtr& settings) { return find(settings, kRole) || find(settings, kAuthorization); }

std::string statements_between(const SettingsPtr& from, const SettingsPtr& to, MadeBy made_by) {
  std::string text;
  if (pool::same_settings(from, to)) return text;
  // Other settings are made by the user who logged in: under another role they might be refused.
  const bool other_identity = differs(from, to, kRole) || differs(from, to, kAuthorization);
  const bool had_identity = has_identity(from);
  const auto say_identity = [&] {
    if (had_identity || other_identity)
      for (const std::string_view key : {kAuthorization, kRole})
        if (const SettingText* one = find(to, key)) say(text, one->text);
  };
  if (had_identity) {
    if (find(from, kAuthorization)) say(text, "RESET SESSION AUTHORIZATION");
    say(text, "RESET ROLE");
  }
  if (from)
    for (const SettingText& old : *from)
      if (!is_identity(old.key) && !find(to, old.key)) say(text, reset_text(old.key));
  if (!to) return text;
  if (made_by == MadeBy::role) say_identity();
  // The encoding first: the texts of the others are to be read in it.
  if (const SettingText* encoding = find(to, kEncoding); encoding && differs(from, to, kEncoding))
    say(text, encoding->text);
  for (const SettingText& one : *to)
    if (!is_identity(one.key) && one.key != kEncoding && one.key != kStatementTimeout && differs(from, to, one.key))
      say(text, one.text);
  if (made_by == MadeBy::login) say_identity();
  // Last: it counts from the next statement on, in the same query string too.
  if (const SettingText* timeout = find(to, kStatementTimeout); timeout && differs(from, to, kStatementTimeout))
    say(text, timeout->text);
  return text;
}

pool::SettingsPtr with_names_of(const SettingsPtr& settings, const SettingsPtr& names) {
  constexpr std::array<std::string_view, 3> kNames{"role", "search_path", "session_authorization"};
  std::vector<SettingText> result;
  const auto copy = [&](const SettingsPtr& from, bool are_names) {
    if (!from) return;
    for (const SettingText& one : *from)
      if ((std::find(kNames.begin(), kNames.end(), one.key) != kNames.end()) == are_names) result.push_back(one);
  };
  copy(settings, false);
  copy(names, true);
  std::sort(result.begin(), result.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
  return std::make_shared<const std::vector<SettingText>>(std::move(result));
}

namespace {

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}

/// Of an identifier or of part of one (backend/parser/scan.l).
bool is_of_word(char c) { return is_letter(c) || (c >= '0' && c <= '9') || c == '$'; }

/// Parts with dots between them; of the first one is known that it begins well.
bool is_name(std::string_view text) {
  return !text.empty() && is_letter(text.front()) && text.find('.') != std::string_view::npos && text.back() != '.' &&
         is_utf8(text);
}

/// Collects names, none twice.
class CustomNames {
 public:
  CustomNames(std::vector<std::string>& names, std::size_t most)
      : names_(names), most_(most), there_(names.begin(), names.end()) {}

  void add(std::string name) {
    if (!is_name(name)) return;
    for (char& c : name)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (names_.size() >= most_) {
      complete_ = complete_ && there_.contains(name);
      return;
    }
    if (there_.insert(name).second) names_.push_back(std::move(name));
  }
  /// None had to be left out.
  [[nodiscard]] bool complete() const { return complete_; }

 private:
  std::vector<std::string>& names_;
  const std::size_t most_;
  std::unordered_set<std::string> there_;
  bool complete_ = true;
};

/// What stands around the dot of a name without belonging to it: SET "a" . "b".
std::size_t skip_around_dot(std::string_view bytes, std::size_t at) {
  constexpr std::string_view kAround = "\" \t\n\r\f\v\\";
  while (at < bytes.size() && kAround.find(bytes[at]) != std::string_view::npos) ++at;
  return at;
}

/// The words from `at` on that dots connect, as a name; `at` is then behind them.
std::string take_dotted(std::string_view bytes, std::size_t& at) {
  std::string name;
  for (;;) {
    while (at < bytes.size() && is_of_word(bytes[at])) name += bytes[at++];
    const std::size_t dot = skip_around_dot(bytes, at);
    if (dot >= bytes.size() || bytes[dot] != '.') return name;
    const std::size_t next = skip_around_dot(bytes, dot + 1);
    if (next >= bytes.size() || !is_of_word(bytes[next])) return name;
    name += '.';
    at = next;
  }
}

}  // namespace

bool add_custom_names(std::string_view bytes, std::size_t most, std::vector<std::string>& names) {
  if (bytes.find('.') == std::string_view::npos) return true;
  CustomNames found(names, most);
  for (std::size_t at = 0; at < bytes.size();) {
    if (!is_of_word(bytes[at])) {
      ++at;
      continue;
    }
    // The byte before may be the end of a parameter's length, and so may this one.
    const bool behind_length = at > 0 && bytes[at - 1] == '\0';
    std::string name = take_dotted(bytes, at);
    if (behind_length) found.add(name.substr(1));
    // A dollar may be part of a name or of the quotes around it: $$a.b$$, $x$a.b$x$.
    if (name.find('$') != std::string::npos)
      for (std::size_t begin = 0; begin < name.size();) {
        const std::size_t end = std::min(name.find('$', begin), name.size());
        found.add(name.substr(begin, end - begin));
        begin = end + 1;
      }
    found.add(std::move(name));
  }
  return found.complete();
}

namespace {

/// Settings that count only when a session begins (utils/misc/guc_tables.c: PGC_BACKEND, PGC_SU_BACKEND, and libraries
/// that are loaded then).
constexpr std::array<std::string_view, 8> kAtStartOnly{
    "ignore_system_indexes", "post_auth_delay",    "jit_debugging_support",   "jit_profiling_support",
    "log_connections",       "log_disconnections", "local_preload_libraries", "session_preload_libraries"};

/// Words are separated by white space; a backslash makes the next character an ordinary one.
std::vector<std::string> split_options(std::string_view options) {
  constexpr std::string_view kSpace = " \t\n\r\f\v";
  std::vector<std::string> words;
  bool in_word = false;
  for (std::size_t i = 0; i < options.size(); ++i) {
    if (kSpace.find(options[i]) != std::string_view::npos) {
      in_word = false;
      continue;
    }
    if (!in_word) words.emplace_back();
    in_word = true;
    if (options[i] == '\\' && i + 1 < options.size()) ++i;
    words.back() += options[i];
  }
  return words;
}

using Assignment = std::pair<std::string, std::string>;

/// name=value with dashes in the name read as underscores (utils/misc/guc.c, ParseLongOption).
std::optional<Assignment> assignment(std::string_view text) {
  const auto equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0) return std::nullopt;
  Assignment result{text.substr(0, equals), text.substr(equals + 1)};
  std::replace(result.first.begin(), result.first.end(), '-', '_');
  return result;
}

/// Absent when there is anything but -c name=value and --name=value.
std::optional<std::vector<Assignment>> assignments_in(std::string_view options) {
  std::vector<Assignment> result;
  const auto words = split_options(options);
  for (std::size_t i = 0; i < words.size(); ++i) {
    std::string_view word = words[i];
    if (word == "-c" && i + 1 < words.size())
      word = words[++i];
    else if (word.starts_with("-c") || word.starts_with("--"))
      word.remove_prefix(2);
    else
      return std::nullopt;
    auto one = assignment(word);
    if (!one) return std::nullopt;
    result.push_back(std::move(*one));
  }
  return result;
}

bool can_be_set_later(std::string_view key, std::string_view value) {
  return is_portable(value) && is_portable(key) &&
         std::find(kAtStartOnly.begin(), kAtStartOnly.end(), key) == kAtStartOnly.end();
}

}  // namespace

StartupParts split_startup(const Parameters& parameters) {
  StartupParts parts;
  std::map<std::string, std::string> settings;
  const auto take = [&](const std::string& name, const std::string& value) {
    std::string key = lower(name);
    if (!can_be_set_later(key, value)) return false;
    settings[std::move(key)] = value;
    return true;
  };
  // PostgreSQL applies the switches first, then the parameters in their order (utils/init/postinit.c).
  for (const auto& [name, value] : parameters) {
    if (name != "options") continue;
    const auto assignments = assignments_in(value);
    const bool all = assignments && std::all_of(assignments->begin(), assignments->end(), [](const Assignment& one) {
                       return can_be_set_later(lower(one.first), one.second);
                     });
    if (!all) {
      parts.of_connection.emplace_back(name, value);
      continue;
    }
    for (const auto& [key, setting] : *assignments) take(key, setting);
  }
  for (const auto& [name, value] : parameters)
    if (name != "options" && !take(name, value)) parts.of_connection.emplace_back(name, value);
  for (auto& [key, value] : settings) parts.settings.push_back({key, set_config_text(key, value)});
  return parts;
}

std::optional<std::string> startup_value(const Parameters& parameters, std::string_view key) {
  std::optional<std::string> found;
  for (const auto& [name, value] : parameters) {
    if (name != "options") continue;
    for (const auto& [one, setting] : assignments_in(value).value_or(std::vector<Assignment>{}))
      if (lower(one) == key) found = setting;
  }
  for (const auto& [name, value] : parameters)
    if (lower(name) == key) found = value;
  return found;
}

}  // namespace pgweir::session
