// The session's own state, as far as it can be carried to another server connection: settings, in the order in which
// they were made; and what cannot be carried, so that the session stays where it is. Pure.
//
// Settings follow PostgreSQL's transaction rules (utils/misc/guc.c): a change is undone when its transaction or
// savepoint is rolled back; SET LOCAL never outlives its transaction and is not kept at all.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "session/effects.h"
#include "wire/messages/backend.h"

namespace pgweir::session {

struct SettingChange {
  std::uint64_t sequence = 0;  ///< grows; a server connection remembers up to where it has followed
  std::string key;             ///< setting, lower case
  std::string text;            ///< the statement that makes the change
};

class CarriedState {
 public:
  /// A statement has succeeded; `tag` is the first word of its CommandComplete.
  void completed(const Effect& effect, std::string_view tag);
  /// ReadyForQuery: what was done outside a transaction block holds now, unless there was an error.
  void ready(wire::TransactionStatus status, bool had_error);

  [[nodiscard]] const std::vector<SettingChange>& settings() const { return settings_; }
  /// Sequence of the newest committed change; 0: none.
  [[nodiscard]] std::uint64_t newest() const { return sequence_; }

  /// Something may have changed the session in a way that cannot be seen from outside.
  void mark_unknown() { unknown_ = true; }
  [[nodiscard]] bool has_temporary() const { return has_temporary_; }
  [[nodiscard]] bool has_unknown() const { return unknown_; }
  /// State that is lost with the server connection: the client must then be told by closing its connection.
  [[nodiscard]] bool is_bound_to_server() const {
    return has_temporary_ || unknown_ || listens_ || holds_cursor_ || holds_lock_;
  }

 private:
  struct Level {
    std::string savepoint;  ///< empty: the transaction itself
    std::vector<SettingChange> changes;
  };
  void change_setting(SettingChange change);
  void commit_levels();
  void keep(SettingChange change);
  void discard_all();
  void roll_back_to(std::string_view savepoint);
  void release(std::string_view savepoint);

  std::vector<SettingChange> settings_;
  std::vector<Level> levels_;           ///< empty: no transaction block
  std::vector<SettingChange> outside_;  ///< of the exchange under way, outside a transaction block
  std::uint64_t sequence_ = 0;
  bool has_temporary_ = false;
  bool unknown_ = false;
  bool listens_ = false;
  bool holds_cursor_ = false;
  bool holds_lock_ = false;
};

}  // namespace pgweir::session
