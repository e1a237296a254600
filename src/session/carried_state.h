// The settings of a session, which go with it from one server connection to the next. Pure.
//
// They follow PostgreSQL's transaction rules (utils/misc/guc.c): a change is undone when its transaction or savepoint
// is rolled back; SET LOCAL never outlives its transaction. RESET goes back to what the client said at start-up. What
// ties a session to one connection is in pins.h.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/settings.h"
#include "pool/carried_on_server.h"
#include "session/effects.h"
#include "wire/messages/backend.h"

namespace pgweir::session {

class CarriedState {
 public:
  /// `beginning`: what the client said at start-up and a connection of the pool does not have by itself; sorted by key.
  void begin_with(pool::SettingsPtr beginning);

  /// A statement has succeeded; `tag` is the first word of its CommandComplete.
  void completed(const Effect& effect, std::string_view tag);
  /// ReadyForQuery: what was done outside a transaction block holds now, unless there was an error.
  void ready(wire::TransactionStatus status, bool had_error);
  /// The truth about the settings, read back from a server outside a transaction; sorted by key.
  void replace(std::vector<pool::SettingText> settings);

  /// What holds now outside of the open transaction.
  [[nodiscard]] const pool::SettingsPtr& settings() const { return settings_; }
  [[nodiscard]] const pool::SettingsPtr& beginning() const { return beginning_; }
  /// Those of the open transaction included, SET LOCAL too.
  [[nodiscard]] pool::SettingsPtr effective() const;
  /// Numbers for the effective settings that may change what a statement's text means; equal for equal settings, 0 when
  /// there are none. `texts`: what counts when the text is parsed. `names`: search_path and role, which count each time
  /// that it runs (utils/cache/plancache.c, RevalidateCachedQuery).
  struct Meaning {
    std::uint64_t texts = 0, names = 0;
  };
  [[nodiscard]] Meaning meaning() const { return known().meaning; }
  /// What the effective settings ask for (consistency.h).
  [[nodiscard]] std::optional<config::Consistency> consistency() const { return known().consistency; }
  /// Whether the open transaction has changed settings: its end, or that of a savepoint, may change them again.
  [[nodiscard]] bool has_open_changes() const;
  /// Whether the open transaction has made settings of its own with SET LOCAL.
  [[nodiscard]] bool has_local() const;
  /// Whether what is created without a schema may become temporary: pg_temp is in the search_path that it has said.
  [[nodiscard]] bool creates_in_temporary() const;
  /// Whether its transactions are SERIALIZABLE unless they say otherwise.
  [[nodiscard]] bool is_serializable() const;
  /// Whether the session began with settings of its own, which a server's RESET does not know.
  [[nodiscard]] bool begins_with_settings() const { return beginning_ && !beginning_->empty(); }

 private:
  struct Level {
    std::string savepoint;  ///< empty: the transaction itself
    std::vector<SettingChange> changes;
  };
  using Map = std::vector<pool::SettingText>;

  void change(const std::vector<SettingChange>& changes);
  void apply(Map& map, const SettingChange& change) const;
  void restore(Map& map, std::string_view key) const;
  void keep(const std::vector<SettingChange>& changes);
  void drop(const std::vector<SettingChange>& changes);
  void drop_levels();
  void commit_levels();
  void roll_back_to(std::string_view savepoint);
  void release(std::string_view savepoint);
  void publish(Map map);

  pool::SettingsPtr beginning_;
  pool::SettingsPtr settings_;
  std::vector<Level> levels_;           ///< empty: no transaction block
  std::vector<SettingChange> outside_;  ///< of the exchange under way, outside a transaction block
  /// Of the effective settings.
  struct Known {
    Meaning meaning;
    std::optional<config::Consistency> consistency;
  };
  [[nodiscard]] const Known& known() const {
    if (!known_) known_ = learn();
    return *known_;
  }
  [[nodiscard]] Known learn() const;
  mutable std::optional<Known> known_ = Known{};
};

}  // namespace pgweir::session
