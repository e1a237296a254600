// Quoting, comparing and taking apart; see settings_text.h.
#include "session/settings_text.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

namespace pgweir::session {

namespace {

using pool::SettingsPtr;
using pool::SettingText;

constexpr std::string_view kRole = "role";
constexpr std::string_view kAuthorization = "session_authorization";
constexpr std::string_view kEncoding = "client_encoding";

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

bool is_portable(std::string_view text) { return is_ascii(text) && text.find('\\') == std::string_view::npos; }

std::string statements_between(const SettingsPtr& from, const SettingsPtr& to) {
  std::string text;
  if (pool::same_settings(from, to)) return text;
  // Other settings are made by the user who logged in: under another role they might be refused.
  const bool other_identity = differs(from, to, kRole) || differs(from, to, kAuthorization);
  const bool has_identity = find(from, kRole) || find(from, kAuthorization);
  if (has_identity) {
    if (find(from, kAuthorization)) say(text, "RESET SESSION AUTHORIZATION");
    say(text, "RESET ROLE");
  }
  if (from)
    for (const SettingText& old : *from)
      if (!is_identity(old.key) && !find(to, old.key)) say(text, reset_text(old.key));
  if (!to) return text;
  // The encoding first: the texts of the others are to be read in it.
  if (const SettingText* encoding = find(to, kEncoding); encoding && differs(from, to, kEncoding))
    say(text, encoding->text);
  for (const SettingText& one : *to)
    if (!is_identity(one.key) && one.key != kEncoding && differs(from, to, one.key)) say(text, one.text);
  if (has_identity || other_identity)
    for (const std::string_view key : {kAuthorization, kRole})
      if (const SettingText* one = find(to, key)) say(text, one->text);
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

void add_custom_names(std::string_view bytes, std::size_t most, std::vector<std::string>& names) {
  constexpr std::size_t kLongest = 127;
  const auto is_part = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$' ||
           c == '.';
  };
  for (std::size_t begin = 0; begin < bytes.size() && names.size() < most;) {
    if (!is_part(bytes[begin])) {
      ++begin;
      continue;
    }
    std::size_t end = begin;
    while (end < bytes.size() && is_part(bytes[end])) ++end;
    const std::string_view word = bytes.substr(begin, end - begin);
    begin = end;
    const auto dot = word.find('.');
    const bool starts_well = !(word[0] >= '0' && word[0] <= '9') && word[0] != '$';
    if (dot == std::string_view::npos || dot == 0 || word.back() == '.' || word.size() > kLongest || !starts_well)
      continue;
    std::string name(word);
    for (char& c : name)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(std::move(name));
  }
}

namespace {

/// Settings that count only when a session begins (utils/misc/guc_tables.c: PGC_BACKEND, PGC_SU_BACKEND, and libraries
/// that are loaded then).
constexpr std::array<std::string_view, 8> kAtStartOnly{
    "ignore_system_indexes", "post_auth_delay",    "jit_debugging_support",   "jit_profiling_support",
    "log_connections",       "log_disconnections", "local_preload_libraries", "session_preload_libraries"};

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return result;
}

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

}  // namespace pgweir::session
