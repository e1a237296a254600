// Compares and takes over along the option table, so that no key can be forgotten.
#include "config/reload.h"

#include <algorithm>

#include "config/options.h"
#include "fmt/format.h"

namespace pgweir::config {
namespace {

std::vector<std::string> names_of(const std::vector<NodeSettings>& nodes) {
  std::vector<std::string> names;
  for (const NodeSettings& node : nodes) names.push_back(node.name);
  return names;
}

template <class Owner>
void compare(std::span<const Option<Owner>> table, const Owner& old_owner, const Owner& new_owner,
             std::string_view prefix, std::vector<Change>& out) {
  for (const Option<Owner>& option : table) {
    std::string old_value = option.codec.format(old_owner);
    std::string new_value = option.codec.format(new_owner);
    if (old_value != new_value)
      out.push_back({fmt::format("{}{}", prefix, option.key), std::move(old_value), std::move(new_value),
                     option.reload == Reload::yes});
  }
}

template <class Owner>
void take(std::span<const Option<Owner>> table, Owner& to, const Owner& from) {
  for (const Option<Owner>& option : table)
    if (option.reload == Reload::yes) option.codec.copy(to, from);
}

const NodeSettings* find_node(const std::vector<NodeSettings>& nodes, std::string_view name) {
  const auto found = std::find_if(nodes.begin(), nodes.end(), [&](const auto& node) { return node.name == name; });
  return found == nodes.end() ? nullptr : &*found;
}

}  // namespace

std::vector<Change> difference(const Settings& old_settings, const Settings& new_settings) {
  std::vector<Change> out;
  compare(options(), old_settings, new_settings, "", out);
  const auto old_names = names_of(old_settings.nodes);
  const auto new_names = names_of(new_settings.nodes);
  if (old_names != new_names) out.push_back({std::string(kNodes), comma_list(old_names), comma_list(new_names), false});
  for (const NodeSettings& node : old_settings.nodes)
    if (const NodeSettings* other = find_node(new_settings.nodes, node.name))
      compare(node_options(), node, *other, fmt::format("{}.{}.", kNodes, node.name), out);
  return out;
}

Settings take_reloadable(const Settings& running, const Settings& loaded) {
  Settings out = running;
  take(options(), out, loaded);
  for (NodeSettings& node : out.nodes)
    if (const NodeSettings* other = find_node(loaded.nodes, node.name)) take(node_options(), node, *other);
  return out;
}

}  // namespace pgweir::config
