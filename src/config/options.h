// The table of options: everything that is known about each key of the configuration file. Loading, checking,
// reloading, docs/config.md and config/pgweir.yaml all come from it, so a key is added by adding its row (and its
// member in settings.h).
#pragma once
#include <span>
#include <string_view>

#include "config/codec.h"
#include "config/settings.h"

namespace pgweir::config {

enum class Reload : std::uint8_t { yes, restart };
/// inherited: what is not given is taken from the section `pool`; of a node from `tls.server`. absent: what is not
/// given is nothing.
enum class Presence : std::uint8_t { optional, required, inherited, absent };

template <class Owner>
struct Option {
  /// Full path: "listen.port", "tls.client.mode"; for a key of a list's element from the element on: "port",
  /// "tls.mode".
  std::string_view key;
  Codec<Owner> codec;
  Reload reload = Reload::restart;
  std::string_view documentation;  ///< one paragraph, units and the meaning of special values included
  std::string_view sample{};       ///< shown in the sample where the default would not do; empty: the default
  Presence presence = Presence::optional;
};

/// A key of the top level, in the order of the documents: a map of options, a list, or an option by itself.
struct Section {
  std::string_view name;
  std::string_view documentation;  ///< empty for an option by itself
};

inline constexpr std::string_view kNodes = "nodes";
inline constexpr std::string_view kDatabases = "databases";
inline constexpr std::string_view kUsers = "users";
inline constexpr std::size_t kMaxNodes = 128;
inline constexpr std::size_t kMaxOverrides = 1'000;
/// Whether the key of the top level is a list of maps, with a table of its own.
[[nodiscard]] constexpr bool is_list(std::string_view section) {
  return section == kNodes || section == kDatabases || section == kUsers;
}

[[nodiscard]] std::span<const Section> sections();
/// In the order of `sections()`. All of these live as long as the process; any thread.
[[nodiscard]] std::span<const Option<Settings>> options();
[[nodiscard]] std::span<const Option<NodeSettings>> node_options();
/// Of the elements of `databases` and `users` (pool_options.cpp).
[[nodiscard]] std::span<const Option<PoolOverride>> database_options();
[[nodiscard]] std::span<const Option<PoolOverride>> user_options();

/// "listen" for "listen.port"; "workers" for "workers".
[[nodiscard]] constexpr std::string_view section_of(std::string_view key) { return key.substr(0, key.find('.')); }
/// "port" for "listen.port"; "workers" for "workers".
[[nodiscard]] constexpr std::string_view last_part(std::string_view key) {
  const std::size_t dot = key.rfind('.');
  return dot == std::string_view::npos ? key : key.substr(dot + 1);
}

}  // namespace pgweir::config
