// What it means for the session when a statement has completed, beyond its rows. Made when the statement is sent,
// applied in order when it has succeeded.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "routing/route.h"
#include "sql/classifier.h"
#include "sql/statement_facts.h"

namespace pgweir::session {

/// One setting gets another value, or goes back to the one that the session began with.
struct SettingChange {
  std::string key;     ///< lower case; `kAllSettings` for RESET ALL, `kWholeSession` for DISCARD ALL
  std::string text;    ///< the statement that makes the change, for the session; empty: back to the beginning
  bool local = false;  ///< until the end of the transaction
};
inline constexpr std::string_view kAllSettings = "reset all";
inline constexpr std::string_view kWholeSession = "discard all";

struct Effect {
  sql::StatementKind kind = sql::StatementKind::unknown;
  std::string name{};                     ///< savepoint, prepared statement, DISCARD's object
  std::vector<SettingChange> settings{};  ///< SET, RESET and their kin
  std::string text{};                     ///< of PREPARE: how to repeat it on another connection
  std::size_t inner_offset = 0;           ///< PREPARE: where the prepared statement begins in `text`
  bool chain = false;
  bool all = false;  ///< DISCARD ALL
  bool creates_temporary = false;
  bool creates_in_path = false;  ///< may create something in the schema that search_path names
  bool with_hold = false;
  bool changes_catalog = false;
  bool takes_session_lock = false;  ///< pg_advisory_lock and its kin
  routing::LastingEffects lasting{};
  bool may_free = false;       ///< may end what pins the session: DROP, CLOSE, UNLISTEN, pg_advisory_unlock...
  bool unknown_state = false;  ///< may have changed the session in a way that its text does not tell
};

/// One element per statement of the query string, in order.
using Effects = std::vector<Effect>;
using EffectsPtr = std::shared_ptr<const Effects>;

/// Null when the query has no effect worth remembering: plain reads, and writes outside of what is listed above.
/// `unknown_state`: whether the catalog says that it may change session state in an unknown way. `prepared`: what
/// EXECUTE names; its effects are those of what it names.
/// `lasting`: what the catalog says of that.
[[nodiscard]] EffectsPtr effects_of_query(const sql::QueryFacts& facts, std::string_view text, bool unknown_state,
                                          const routing::PreparedLookup* prepared = nullptr,
                                          const routing::LastingEffects& lasting = {});

/// Most statements are: one alone that reads or writes rows, asks nothing of the session and does nothing to it, as far
/// as its text tells. If the catalog (`routing::effects_of`) knows of nothing either, there is nothing to be looked for
/// in it on its way. Remembered in `entry`.
[[nodiscard]] bool is_ordinary(sql::CachedFacts& entry);

}  // namespace pgweir::session
