// Compares and takes over along the option table, so that no key can be forgotten.
#include "config/reload.h"

#include <algorithm>
#include <iterator>

#include "config/options.h"
#include "fmt/format.h"

namespace pgweir::config {
namespace {

template <class Owner>
std::vector<std::string> names_of(const std::vector<Owner>& list) {
  std::vector<std::string> names;
  for (const Owner& one : list) names.push_back(one.name);
  return names;
}

/// Those in use.
std::vector<NodeSettings> present(const std::vector<NodeSettings>& nodes) {
  std::vector<NodeSettings> out;
  std::copy_if(nodes.begin(), nodes.end(), std::back_inserter(out),
               [](const NodeSettings& one) { return !one.removed; });
  return out;
}

bool has_same_names(std::vector<std::string> a, std::vector<std::string> b) {
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  return a == b;
}

/// Node ids are positions: a node cannot change its place. And the one address of a `single` is what it is.
bool nodes_may_change(const Settings& running, const std::vector<NodeSettings>& old_nodes,
                      const std::vector<NodeSettings>& new_nodes) {
  return running.topology == TopologyKind::streaming && !has_same_names(names_of(old_nodes), names_of(new_nodes));
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

template <class Owner>
const Owner* find(const std::vector<Owner>& list, std::string_view name) {
  const auto found = std::find_if(list.begin(), list.end(), [&](const auto& one) { return one.name == name; });
  return found == list.end() ? nullptr : &*found;
}

/// Elements that come and go, or change places, and then those that are on both sides.
template <class Owner>
void compare_lists(std::string_view key, std::span<const Option<Owner>> table, const std::vector<Owner>& old_list,
                   const std::vector<Owner>& new_list, Reload reload, std::vector<Change>& out) {
  const auto old_names = names_of(old_list);
  const auto new_names = names_of(new_list);
  if (old_names != new_names)
    out.push_back({std::string(key), comma_list(old_names), comma_list(new_names), reload == Reload::yes});
  for (const Owner& one : old_list)
    if (const Owner* other = find(new_list, one.name))
      compare(table, one, *other, fmt::format("{}.{}.", key, one.name), out);
}

}  // namespace

std::vector<Change> difference(const Settings& old_settings, const Settings& new_settings) {
  std::vector<Change> out;
  compare(options(), old_settings, new_settings, "", out);
  const auto old_nodes = present(old_settings.nodes);
  const auto new_nodes = present(new_settings.nodes);
  const Reload reload = nodes_may_change(old_settings, old_nodes, new_nodes) ? Reload::yes : Reload::restart;
  compare_lists(kNodes, node_options(), old_nodes, new_nodes, reload, out);
  compare_lists(kDatabases, database_options(), old_settings.databases, new_settings.databases, Reload::yes, out);
  compare_lists(kUsers, user_options(), old_settings.users, new_settings.users, Reload::yes, out);
  return out;
}

Settings take_reloadable(const Settings& running, const Settings& loaded) {
  Settings out = running;
  take(options(), out, loaded);
  const bool may_change = nodes_may_change(running, present(running.nodes), present(loaded.nodes));
  for (NodeSettings& node : out.nodes) {
    const NodeSettings* other = find(loaded.nodes, node.name);
    if (other) take(node_options(), node, *other);
    if (may_change) node.removed = other == nullptr;
  }
  for (const NodeSettings& node : loaded.nodes)
    if (may_change && !find(running.nodes, node.name) && out.nodes.size() < kMaxNodes) out.nodes.push_back(node);
  out.databases = loaded.databases;
  out.users = loaded.users;
  return out;
}

}  // namespace pgweir::config
