// Walks the YAML tree along the option table. A key is looked up, its value parsed by its codec, and whatever is wrong
// is noted with its line; the walk goes on, so that one start shows all problems.
#include "config/load.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "config/cross_checks.h"
#include "config/options.h"
#include "config/suggest.h"
#include "config/text_file.h"
#include "fmt/format.h"
#include "yaml-cpp/eventhandler.h"
#include "yaml-cpp/yaml.h"

namespace pgweir::config {
namespace {

std::string_view kind_of(const YAML::Node& value) {
  switch (value.Type()) {
    case YAML::NodeType::Map: return "a map";
    case YAML::NodeType::Sequence: return "a list";
    case YAML::NodeType::Null: return "no value";
    default: return "a single value";
  }
}

int line_of(const YAML::Node& node) { return node.Mark().is_null() ? 0 : node.Mark().line + 1; }

/// Remembers where the document at hand begins, and nothing else.
class DocumentStart final : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& mark) override { line = mark.line + 1; }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}
  int line = 0;
};

/// Not by YAML::LoadAll: behind what it cannot read (a comma at the beginning of a line) it finds documents without
/// end, until there is no memory.
std::optional<int> line_of_second_document(const std::string& text) {
  std::istringstream in(text);
  YAML::Parser parser(in);
  DocumentStart document;
  if (!parser.HandleNextDocument(document) || !parser.HandleNextDocument(document)) return std::nullopt;
  return document.line;
}

class Loader {
 public:
  explicit Loader(std::string file) : file_(std::move(file)) {}
  Checked<Settings> load(std::string_view text, const std::filesystem::path& directory);

 private:
  struct Entry {
    std::string key;
    YAML::Node value;
    int line = 0;
  };
  struct ListRules {
    std::string_view key, one, many;  ///< "nodes", "node", "nodes"
    std::size_t least, most;
  };

  void problem(int line, std::string key, std::string message);
  std::vector<Entry> entries(const YAML::Node& map, std::string_view path);
  void root(const YAML::Node& document);
  template <class Owner>
  void section(const Entry& entry, const std::string& path, const std::string& prefix, std::string_view section_name,
               std::span<const Option<Owner>> table, Owner& out);
  template <class Owner>
  void keys(const YAML::Node& map, const std::string& path, const std::string& prefix, std::string_view section_name,
            std::span<const Option<Owner>> table, Owner& out);
  template <class Owner>
  void list(const Entry& entry, const ListRules& rules, std::span<const Option<Owner>> table, std::vector<Owner>& out);
  template <class Owner>
  Owner element(const YAML::Node& element, const ListRules& rules, std::span<const Option<Owner>> table,
                const std::string& path);
  template <class Owner>
  void value(const Option<Owner>& option, Owner& owner, const Entry& entry, const std::string& path);
  void unknown(const Entry& entry, std::string_view path, std::string_view section,
               const std::vector<std::string_view>& level);
  void inherit_tls();
  void cross_checks();
  [[nodiscard]] bool has_problem(std::string_view key) const;

  std::string file_;
  Settings settings_;
  Problems problems_;
  std::map<std::string, int, std::less<>> lines_;  // full key -> line
};

bool is_plain_list(const YAML::Node& value) {
  return value.IsSequence() && std::all_of(value.begin(), value.end(), [](const auto& one) { return one.IsScalar(); });
}

std::string joined(std::string_view path, std::string_view key) {
  return path.empty() ? std::string(key) : fmt::format("{}.{}", path, key);
}

void Loader::problem(int line, std::string key, std::string message) {
  problems_.push_back({file_, line, std::move(key), std::move(message)});
}

// The entries of a map; a key that stands there twice, or is no text, is a problem and left out.
std::vector<Loader::Entry> Loader::entries(const YAML::Node& map, std::string_view path) {
  std::vector<Entry> out;
  for (const auto& pair : map) {
    const int line = line_of(pair.first);
    if (!pair.first.IsScalar()) {
      problem(line, std::string(path),
              fmt::format("found {} in the place of a key; a key is a word", kind_of(pair.first)));
      continue;
    }
    std::string full = joined(path, pair.first.Scalar());
    if (const auto [first, added] = lines_.emplace(full, line); !added) {
      problem(line, std::move(full), fmt::format("stands here again; it was already given in line {}", first->second));
      continue;
    }
    out.push_back({pair.first.Scalar(), pair.second, line});
  }
  return out;
}

void Loader::unknown(const Entry& entry, std::string_view path, std::string_view section,
                     const std::vector<std::string_view>& level) {
  problem(entry.line, joined(path, entry.key),
          fmt::format("unknown key {}{}; allowed here: {}", in_quotes(entry.key), suggestion(entry.key, section, level),
                      comma_list(level)));
}

template <class Owner>
void Loader::value(const Option<Owner>& option, Owner& owner, const Entry& entry, const std::string& path) {
  const Codec<Owner>& codec = option.codec;
  if (codec.is_list && is_plain_list(entry.value)) {
    std::string text;
    for (const auto& one : entry.value) text += (text.empty() ? "" : ", ") + one.Scalar();
    if (const std::string reason = codec.parse(owner, text); !reason.empty())
      problem(entry.line, path, fmt::format("found a list: {}; allowed is {}", reason, codec.allowed));
    return;
  }
  if (!entry.value.IsScalar()) {
    problem(entry.line, path,
            fmt::format("found {}; allowed is {}{}", kind_of(entry.value), codec.allowed, codec.units));
    return;
  }
  const std::string& text = entry.value.Scalar();
  if (const std::string reason = codec.parse(owner, text); !reason.empty())
    problem(entry.line, path,
            fmt::format("found {}: {}; allowed is {}{}", in_quotes(text), reason, codec.allowed, codec.units));
}

void Loader::root(const YAML::Node& document) {
  if (!document.IsMap()) {
    problem(line_of(document), {}, fmt::format("found {}; a configuration is a map of keys", kind_of(document)));
    return;
  }
  std::vector<std::string_view> level;
  for (const Section& each : sections()) level.push_back(each.name);
  for (const Entry& entry : entries(document, {})) {
    const auto option =
        std::find_if(options().begin(), options().end(), [&](const auto& o) { return o.key == entry.key; });
    if (entry.key == kNodes)
      list(entry, {kNodes, "a node", "nodes", 1, kMaxNodes}, node_options(), settings_.nodes);
    else if (entry.key == kDatabases)
      list(entry, {kDatabases, "a database", "databases", 0, kMaxOverrides}, database_options(), settings_.databases);
    else if (entry.key == kUsers)
      list(entry, {kUsers, "a user", "users", 0, kMaxOverrides}, user_options(), settings_.users);
    else if (std::find(level.begin(), level.end(), entry.key) == level.end())
      unknown(entry, {}, {}, level);
    else if (option != options().end())
      value(*option, settings_, entry, entry.key);
    else
      section(entry, entry.key, entry.key + ".", entry.key, options(), settings_);
  }
  if (!lines_.contains(kNodes))
    problem(0, std::string(kNodes), "is required: a list of the PostgreSQL servers, at least one");
}

// The next part of every key in the table that begins with `prefix`, each once.
template <class Owner>
std::vector<std::string_view> level_of(std::span<const Option<Owner>> table, std::string_view prefix) {
  std::vector<std::string_view> level;
  for (const Option<Owner>& option : table) {
    if (!option.key.starts_with(prefix)) continue;
    const std::string_view next = section_of(option.key.substr(prefix.size()));
    if (std::find(level.begin(), level.end(), next) == level.end()) level.push_back(next);
  }
  return level;
}

// A map of options, or of maps of them: its value is at `path`, its keys begin with `prefix` in the table.
template <class Owner>
void Loader::section(const Entry& entry, const std::string& path, const std::string& prefix,
                     std::string_view section_name, std::span<const Option<Owner>> table, Owner& out) {
  const std::vector<std::string_view> level = level_of(table, prefix);
  if (!entry.value.IsMap()) {
    problem(entry.line, path,
            fmt::format("found {}; allowed is a map of the keys {}", kind_of(entry.value), comma_list(level)));
    return;
  }
  keys(entry.value, path, prefix, section_name, table, out);
}

template <class Owner>
void Loader::keys(const YAML::Node& map, const std::string& path, const std::string& prefix,
                  std::string_view section_name, std::span<const Option<Owner>> table, Owner& out) {
  const std::vector<std::string_view> level = level_of(table, prefix);
  for (const Entry& entry : entries(map, path)) {
    const std::string key = prefix + entry.key;
    const auto option = std::find_if(table.begin(), table.end(), [&](const auto& o) { return o.key == key; });
    if (option != table.end())
      value(*option, out, entry, joined(path, entry.key));
    else if (std::find(level.begin(), level.end(), entry.key) != level.end())
      section(entry, joined(path, entry.key), key + ".", section_name, table, out);
    else
      unknown(entry, path, section_name, level);
  }
}

template <class Owner>
void Loader::list(const Entry& entry, const ListRules& rules, std::span<const Option<Owner>> table,
                  std::vector<Owner>& out) {
  const YAML::Node& value = entry.value;
  if (!value.IsSequence() || value.size() < rules.least || value.size() > rules.most) {
    const std::string found =
        value.IsSequence() ? fmt::format("a list of {}", value.size()) : std::string(kind_of(value));
    problem(entry.line, std::string(rules.key),
            fmt::format("found {}; allowed is a list of {} to {} {}", found, rules.least, rules.most, rules.many));
    return;
  }
  for (std::size_t i = 0; i < value.size(); ++i)
    out.push_back(element(value[i], rules, table, fmt::format("{}[{}]", rules.key, i)));
}

template <class Owner>
Owner Loader::element(const YAML::Node& element, const ListRules& rules, std::span<const Option<Owner>> table,
                      const std::string& path) {
  Owner out;
  lines_.emplace(path, line_of(element));  // for what is said of it as a whole
  if (!element.IsMap()) {
    problem(line_of(element), path,
            fmt::format("found {}; {} is a map of the keys {}", kind_of(element), rules.one,
                        comma_list(level_of(table, {}))));
    return out;
  }
  keys(element, path, {}, rules.key, table, out);
  for (const Option<Owner>& option : table)
    if (option.presence == Presence::required && !lines_.contains(joined(path, option.key)))
      problem(line_of(element), joined(path, option.key), fmt::format("is required: {}", option.codec.allowed));
  return out;
}

// Whether `key`, or a key below it, has a problem already.
bool Loader::has_problem(std::string_view key) const {
  return std::any_of(problems_.begin(), problems_.end(), [&](const Problem& p) {
    return p.key == key || (p.key.starts_with(key) && p.key[key.size()] == '.');
  });
}

void Loader::cross_checks() {
  Problems found;
  for (Violation& violation : cross_check(settings_)) {
    if (has_problem(violation.key) || std::any_of(violation.depends_on.begin(), violation.depends_on.end(),
                                                  [&](const std::string& key) { return has_problem(key); }))
      continue;
    auto line = lines_.find(violation.key);
    if (line == lines_.end()) line = lines_.find(section_of(violation.key));
    found.push_back(
        {file_, line == lines_.end() ? 0 : line->second, std::move(violation.key), std::move(violation.message)});
  }
  problems_.insert(problems_.end(), found.begin(), found.end());
}

void Loader::inherit_tls() {
  for (NodeSettings& node : settings_.nodes) {
    ServerTls& holds = node.server_tls = settings_.server_tls;
    holds.mode = node.tls.mode.value_or(holds.mode);
    holds.ca_file = node.tls.ca_file.value_or(holds.ca_file);
    holds.crl_file = node.tls.crl_file.value_or(holds.crl_file);
    holds.cert_file = node.tls.cert_file.value_or(holds.cert_file);
    holds.key_file = node.tls.key_file.value_or(holds.key_file);
  }
}

Checked<Settings> Loader::load(std::string_view text, const std::filesystem::path& directory) {
  try {
    if (const auto line = line_of_second_document(std::string(text)))
      problem(*line, {}, "a second document begins here; one file is one configuration");
    const YAML::Node document = YAML::Load(std::string(text));
    root(document);
    inherit_tls();
    if (document.IsMap()) cross_checks();
  } catch (const YAML::Exception& e) {
    problem(e.mark.is_null() ? 0 : e.mark.line + 1, {}, fmt::format("is not valid YAML: {}", e.msg));
  }
  if (!problems_.empty()) {
    std::stable_sort(problems_.begin(), problems_.end(), [](const auto& a, const auto& b) { return a.line < b.line; });
    return tl::unexpected(std::move(problems_));
  }
  const auto resolve_tls = [&](auto& tls) {
    for (std::string* path : {&tls.ca_file, &tls.crl_file, &tls.cert_file, &tls.key_file})
      if (!path->empty()) *path = (directory / *path).lexically_normal().string();
  };
  resolve_tls(settings_.client_tls);
  resolve_tls(settings_.server_tls);
  for (NodeSettings& node : settings_.nodes) resolve_tls(node.server_tls);
  for (std::string* path : {&settings_.auth.hba_file, &settings_.auth.ident_file, &settings_.auth.users_file,
                            &settings_.auth.server_password_file, &settings_.auth.pam_directory, &settings_.log.file,
                            &settings_.failover.state_file})
    if (!path->empty()) *path = (directory / *path).lexically_normal().string();
  return std::move(settings_);
}

}  // namespace

Checked<Settings> load_text(std::string_view text, const std::string& file_name) {
  return Loader(file_name).load(text, std::filesystem::path(file_name).parent_path());
}

Checked<Settings> load_file(const std::string& path) {
  const auto text = read_text_file(path, FileAccess::anyone);
  if (!text) return tl::unexpected(Problems{{path, 0, {}, text.error().message}});
  // Absolute now: a later change of the working directory must not move the files that the settings name.
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(path, error);
  if (error) return tl::unexpected(Problems{{path, 0, {}, fmt::format("has no absolute path: {}", error.message())}});
  return Loader(path).load(*text, absolute.parent_path());
}

}  // namespace pgweir::config
