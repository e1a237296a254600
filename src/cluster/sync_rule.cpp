// Reading synchronous_standby_names, and counting; see sync_rule.h.
#include "cluster/sync_rule.h"

#include <algorithm>
#include <charconv>

namespace pgweir::cluster {

namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same_name(std::string_view lowered, std::string_view any) {
  return std::equal(lowered.begin(), lowered.end(), any.begin(), any.end(),
                    [](char a, char b) { return a == lower(b); });
}

/// The grammar has names (plain or in double quotes), numbers, commas and parentheses.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) { skip_space(); }

  [[nodiscard]] bool at_end() const { return text_.empty(); }
  bool take(char c) {
    if (at_end() || text_.front() != c) return false;
    text_.remove_prefix(1);
    skip_space();
    return true;
  }
  /// A name in lower case, or nothing.
  std::string take_name() {
    std::string name;
    if (!at_end() && text_.front() == '"') {
      text_.remove_prefix(1);
      while (!at_end()) {
        const char c = text_.front();
        text_.remove_prefix(1);
        if (c == '"') {
          if (at_end() || text_.front() != '"') break;
          text_.remove_prefix(1);
        }
        name.push_back(lower(c));
      }
    } else {
      while (!at_end() && std::string_view(",() \t\r\n\"").find(text_.front()) == std::string_view::npos) {
        name.push_back(lower(text_.front()));
        text_.remove_prefix(1);
      }
    }
    skip_space();
    return name;
  }

 private:
  void skip_space() {
    while (!at_end() && std::string_view(" \t\r\n\f\v").find(text_.front()) != std::string_view::npos)
      text_.remove_prefix(1);
  }
  std::string_view text_;
};

bool to_number(const std::string& text, unsigned& number) {
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
}

bool read_names(Reader& reader, SyncRule& rule) {
  do {
    std::string name = reader.take_name();
    if (name.empty()) return false;
    if (name == "*")
      rule.everyone = true;
    else
      rule.names.push_back(std::move(name));
  } while (reader.take(','));
  return true;
}

bool read(std::string_view text, SyncRule& rule) {
  Reader reader(text);
  if (reader.at_end()) return true;
  Reader bare = reader;
  const std::string first = reader.take_name();
  const bool keyword = first == "any" || first == "first";
  const std::string count = keyword ? reader.take_name() : first;
  if (to_number(count, rule.count) && reader.take('('))
    return read_names(reader, rule) && reader.take(')') && reader.at_end();
  rule.count = 1;
  return read_names(bare, rule) && bare.at_end();
}

}  // namespace

bool SyncRule::lists(std::string_view application_name) const {
  return everyone || std::any_of(names.begin(), names.end(),
                                 [&](const std::string& name) { return same_name(name, application_name); });
}

SyncRule parse_synchronous_standby_names(std::string_view text) {
  SyncRule rule;
  if (read(text, rule)) return rule;
  return {1, true, {}};
}

SyncSight sight_of(const SyncRule& rule, std::span<const SyncWitness> nodes, std::span<const std::string> strangers,
                   std::string_view own_name) {
  SyncSight sight;
  if (rule.asynchronous()) return sight;
  for (const SyncWitness& node : nodes) {
    if (!node.application_name.empty() && !rule.lists(node.application_name)) continue;
    ++sight.listed;
    if (!node.seen) ++sight.unseen;
  }
  for (const std::string& stranger : strangers)
    if (rule.lists(stranger)) ++sight.listed, ++sight.unseen;
  // Somebody else may have been there under a name that belongs to nobody who is known.
  for (const std::string& name : rule.names) {
    const bool known =
        same_name(name, own_name) ||
        std::any_of(nodes.begin(), nodes.end(), [&](const auto& n) { return same_name(name, n.application_name); }) ||
        std::any_of(strangers.begin(), strangers.end(), [&](const auto& s) { return same_name(name, s); });
    if (!known) ++sight.listed, ++sight.unseen;
  }
  sight.enough = sight.unseen < rule.count;
  return sight;
}

}  // namespace pgweir::cluster
