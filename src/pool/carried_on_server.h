// What a server connection has been told beyond what it had when it was new: settings, and prepared statements. Pure
// books, kept by the sessions that use the connection one after the other; they go with it from worker to worker.
#pragma once
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"

namespace pgweir::pool {

/// One setting and the statement that makes it so.
struct SettingText {
  std::string key;  ///< lower case
  std::string text;
  friend bool operator==(const SettingText&, const SettingText&) = default;
};

/// Sorted by key. Immutable and shared: between sessions, connections and threads. Null: as on a new connection.
using SettingsPtr = std::shared_ptr<const std::vector<SettingText>>;

[[nodiscard]] bool same_settings(const SettingsPtr& a, const SettingsPtr& b);

/// Names what is prepared: its text, its parameter types, and the settings that change what the text means.
struct StatementKey {
  std::uint64_t high = 0, low = 0;
  friend bool operator==(const StatementKey&, const StatementKey&) = default;
};

/// The prepared statements of one server connection by the names they have there; least recently used last.
class PreparedOnServer {
 public:
  PreparedOnServer() = default;
  PreparedOnServer(PreparedOnServer&&) = default;
  PreparedOnServer& operator=(PreparedOnServer&&) = default;

  struct Entry {
    std::string name;
    StatementKey key;
    std::size_t bytes = 0;  ///< an estimate of the server's memory
    base::Time prepared{};
  };

  /// Null when there is none of that name. Counts as a use.
  [[nodiscard]] const Entry* find(std::string_view name);
  /// There must be none of that name.
  void add(Entry entry);
  /// What was there, or nothing.
  std::optional<Entry> remove(std::string_view name);
  void clear();
  /// The one to give up when `budget` bytes are exceeded; null while they are not, or when only one is left.
  [[nodiscard]] const Entry* over(std::size_t budget) const;

  [[nodiscard]] std::size_t size() const { return index_.size(); }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  [[nodiscard]] const std::list<Entry>& entries() const { return entries_; }

  /// The unnamed statement, which is in no list; absent when there is none.
  std::optional<StatementKey> unnamed;

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  std::list<Entry> entries_;  ///< most recently used first
  std::unordered_map<std::string_view, std::list<Entry>::iterator, Hash, std::equal_to<>> index_;  ///< into entries_
  std::size_t bytes_ = 0;
};

struct CarriedOnServer {
  SettingsPtr settings;
  PreparedOnServer prepared;
  /// Who has last run something that was not provably a read: only that session may ask for currval().
  base::SessionId last_writer{};
  /// Settings with a dot in their names that somebody has made here: PostgreSQL knows them, empty, until the end of the
  /// connection. Sorted.
  std::vector<std::string> custom;

  /// Temporary tables may have been used here: temp_buffers cannot be changed any more.
  bool had_temporary = false;

  void add_custom(std::string_view name);
  [[nodiscard]] bool has_custom(std::string_view name) const;
  /// After DISCARD ALL.
  void clear() {
    settings.reset();
    prepared.clear();
    last_writer = {};
  }
};

}  // namespace pgweir::pool
