// The reference and the annotated sample, written from the option table. Nothing about a key is said here.
#include "config/render.h"

#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "config/options.h"
#include "config/units.h"
#include "fmt/format.h"

namespace pgweir::config {
namespace {

constexpr std::size_t kWidth = 100;

// `text` in lines of at most kWidth, each after `prefix`.
std::string wrapped(std::string_view text, std::string_view prefix) {
  std::string out;
  std::string line(prefix);
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(word.size() + 1, text.size()));
    if (line.size() > prefix.size() && line.size() + 1 + word.size() > kWidth) {
      out += line + "\n";
      line = prefix;
    }
    if (line.size() > prefix.size()) line += ' ';
    line += word;
  }
  return out + line + "\n";
}

std::string yaml_value(const std::string& value) { return value.empty() ? "\"\"" : value; }

template <class Owner>
std::string default_text(const Option<Owner>& option) {
  if (option.presence == Presence::required) return "Required";
  if (option.presence == Presence::inherited)
    return option.key.starts_with("tls.") ? "Default: as in `tls.server`" : "Default: as in `pool`";
  if (option.presence == Presence::absent) return "Default: none";
  const std::string value = option.codec.format(Owner{});
  return value.empty() ? "Default: empty" : fmt::format("Default: `{}`", value);
}

template <class Owner>
std::string markdown_of(const Option<Owner>& option, std::string_view prefix, std::size_t level) {
  return fmt::format("\n{} {}{}\n\n{}\n- {}\n- Allowed: {}\n- Changed by: {}\n", std::string(level, '#'), prefix,
                     option.key, wrapped(option.documentation, ""), default_text(option), option.codec.allowed,
                     option.reload == Reload::yes ? "reload" : "restart");
}

template <class Owner>
std::string sample_value(const Option<Owner>& option) {
  return option.sample.empty() ? yaml_value(option.codec.format(Owner{})) : std::string(option.sample);
}

std::string sample_nodes() {
  std::string out;
  for (const Option<NodeSettings>& option : node_options())
    out += wrapped(
        fmt::format("{}: {} ({}; {})", option.key, option.documentation, option.codec.allowed, default_text(option)),
        "# ");
  out += fmt::format("{}:\n", kNodes);
  for (int i = 1; i <= 2; ++i)
    out += fmt::format("  - {{ name: pg{0}, host: 10.0.0.1{0}, port: {1}, weight: {2} }}\n", i, NodeSettings{}.port,
                       NodeSettings{}.weight);
  return out;
}

std::string sample_overrides(std::string_view key, std::span<const Option<PoolOverride>> table) {
  std::vector<std::string_view> keys;
  for (const Option<PoolOverride>& option : table) keys.push_back(option.key);
  return wrapped(fmt::format("Keys: {}.", comma_list(keys)), "# ") +
         fmt::format("# {}:\n#   - {{ name: {}, pool_size: 5, max_clients: 100 }}\n{}: []\n", key, table.front().sample,
                     key);
}

template <class Owner>
std::string markdown_of(std::string_view list, std::span<const Option<Owner>> table) {
  std::string out;
  for (const Option<Owner>& option : table) out += markdown_of(option, fmt::format("{}[].", list), 3);
  return out;
}

std::string sample_option(const Option<Settings>& option, std::string_view indent) {
  const std::string prefix = std::string(indent) + "# ";
  return wrapped(option.documentation, prefix) +
         wrapped(fmt::format("({}; {})", option.codec.allowed,
                             option.reload == Reload::yes ? "reloadable" : "needs a restart"),
                 prefix) +
         fmt::format("{}{}: {}\n", indent, last_part(option.key), sample_value(option));
}

constexpr std::string_view kMarkdownHead = R"(# Configuration

<!-- Generated from the option table (src/config/options.cpp) by `./dev docs`. Do not edit. -->

pgweir reads one YAML file: `pgweir -c pgweir.yaml`. `pgweir --check -c pgweir.yaml` checks it, shows all problems with
their lines, and says what it understood. [config/pgweir.yaml](../config/pgweir.yaml) is a sample with every key.

An unknown key, a key given twice, a wrong type and a value out of range are errors; nothing is ignored.

- Durations are whole numbers with a unit: `us`, `ms`, `s`, `min`, `h`, `d` (`250ms`, `10s`, `5min`).
- Sizes are whole numbers with a unit: `B`, `kB` (1024 B), `MB`, `GB` (`64kB`, `8MB`).
- Only `0` needs no unit.
- Switches are `true`, `on`, `yes` or `false`, `off`, `no`.

On SIGHUP the file is read again. A file with problems changes nothing. Keys that need a restart keep their value, and
the log says which they are.
)";

constexpr std::string_view kSampleHead =
    R"(# pgweir's configuration: every key, with its default. What you do not need to change, leave out.
# Generated from the option table (src/config/options.cpp) by `./dev docs`; docs/config.md is the reference.
# Check a file with: pgweir --check -c pgweir.yaml
)";

}  // namespace

std::string render_markdown() {
  std::string out(kMarkdownHead);
  for (const Section& section : sections()) {
    const bool grouped = !section.documentation.empty();
    if (grouped) out += fmt::format("\n## {}\n\n{}", section.name, wrapped(section.documentation, ""));
    if (section.name == kNodes) out += markdown_of(kNodes, node_options());
    if (section.name == kDatabases) out += markdown_of(kDatabases, database_options());
    if (section.name == kUsers) out += markdown_of(kUsers, user_options());
    if (is_list(section.name)) continue;
    for (const Option<Settings>& option : options())
      if (section_of(option.key) == section.name) out += markdown_of(option, "", grouped ? 3 : 2);
  }
  return out;
}

std::string render_sample() {
  std::string out(kSampleHead);
  for (const Section& section : sections()) {
    out += "\n";
    const bool grouped = !section.documentation.empty();
    if (grouped) out += wrapped(section.documentation, "# ");
    if (section.name == kNodes) out += sample_nodes();
    if (section.name == kDatabases) out += sample_overrides(kDatabases, database_options());
    if (section.name == kUsers) out += sample_overrides(kUsers, user_options());
    if (is_list(section.name)) continue;
    if (grouped) out += fmt::format("{}:\n", section.name);
    std::string_view group;  // "client" of "tls.client.mode"
    for (const Option<Settings>& option : options()) {
      if (section_of(option.key) != section.name) continue;
      const std::string_view inner = grouped ? option.key.substr(section.name.size() + 1) : std::string_view();
      const std::string_view of = inner.find('.') == std::string_view::npos ? std::string_view() : section_of(inner);
      if (std::exchange(group, of) != of && !of.empty()) out += fmt::format("  {}:\n", of);
      out += sample_option(option, of.empty() ? (grouped ? "  " : "") : "    ");
    }
  }
  return out;
}

}  // namespace pgweir::config
