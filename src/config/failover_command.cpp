// What the letters stand for; see failover_command.h.
#include "config/failover_command.h"

#include <algorithm>
#include <array>

#include "config/units.h"
#include "fmt/format.h"

namespace pgweir::config {

namespace {

using F = CommandFacts;

constexpr std::array kPlaceholders{
    Placeholder{'d', "node_id of the node", [](const F& f) -> const std::string& { return f.node.id; }},
    Placeholder{'h', "its host", [](const F& f) -> const std::string& { return f.node.host; }},
    Placeholder{'p', "its port", [](const F& f) -> const std::string& { return f.node.port; }},
    Placeholder{'D', "its data_directory", [](const F& f) -> const std::string& { return f.node.data_directory; }},
    Placeholder{'m', "node_id of the new primary", [](const F& f) -> const std::string& { return f.primary.id; }},
    Placeholder{'H', "its host", [](const F& f) -> const std::string& { return f.primary.host; }},
    Placeholder{'r', "its port", [](const F& f) -> const std::string& { return f.primary.port; }},
    Placeholder{'R', "its data_directory", [](const F& f) -> const std::string& { return f.primary.data_directory; }},
    Placeholder{'M', "node_id of the old primary", [](const F& f) -> const std::string& { return f.old_primary.id; }},
    Placeholder{'P', "node_id of the old primary", [](const F& f) -> const std::string& { return f.old_primary.id; }},
    Placeholder{'N', "its host", [](const F& f) -> const std::string& { return f.old_primary.host; }},
    Placeholder{'S', "its port", [](const F& f) -> const std::string& { return f.old_primary.port; }},
};

const Placeholder* find(char letter) {
  const auto found = std::find_if(kPlaceholders.begin(), kPlaceholders.end(),
                                  [letter](const Placeholder& one) { return one.letter == letter; });
  return found == kPlaceholders.end() ? nullptr : &*found;
}

}  // namespace

std::span<const Placeholder> placeholders() { return kPlaceholders; }

std::string expand(std::string_view command, const CommandFacts& facts) {
  std::string out;
  for (std::size_t i = 0; i < command.size(); ++i) {
    const char next = command[i] == '%' && i + 1 < command.size() ? command[i + 1] : '\0';
    const Placeholder* placeholder = find(next);
    if (placeholder)
      out += placeholder->value(facts);
    else
      out += command[i];
    if (placeholder || next == '%') ++i;
  }
  return out;
}

std::string wrong_placeholder(std::string_view command) {
  for (std::size_t i = command.find('%'); i != std::string_view::npos; i = command.find('%', i + 2)) {
    const std::string_view found = command.substr(i, 2);
    if (found.size() == 2 && (found[1] == '%' || find(found[1]))) continue;
    std::string letters;
    for (const Placeholder& one : kPlaceholders) letters += fmt::format("%{} ", one.letter);
    return fmt::format("found {}, which stands for nothing; what does is {}and %% for a %", in_quotes(found), letters);
  }
  return {};
}

}  // namespace pgweir::config
