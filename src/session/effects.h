// What it means for the session when a statement has completed, beyond its rows. Made when the statement is sent,
// applied in order when it has succeeded.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sql/statement_facts.h"

namespace pgweir::session {

struct Effect {
  sql::StatementKind kind = sql::StatementKind::unknown;
  std::string name{};            ///< setting, savepoint, prepared statement
  std::string text{};            ///< of settings changes and PREPARE: how to repeat it on another connection
  std::size_t inner_offset = 0;  ///< PREPARE: where the prepared statement begins in `text`
  bool chain = false;
  bool all = false;  ///< DISCARD ALL, RESET ALL
  bool creates_temporary = false;
  bool with_hold = false;
  bool changes_catalog = false;
  bool wrote = false;  ///< not provably a read
  bool unknown_state = false;
  bool takes_session_lock = false;  ///< pg_advisory_lock and its kin
};

/// One element per statement of the query string, in order.
using Effects = std::vector<Effect>;
using EffectsPtr = std::shared_ptr<const Effects>;

/// Null when the query has no effect worth remembering: plain reads, and writes outside of what is listed above.
/// `unknown_state`: whether the catalog says that it may change session state in an unknown way.
[[nodiscard]] EffectsPtr effects_of_query(const sql::QueryFacts& facts, std::string_view text, bool unknown_state);

}  // namespace pgweir::session
