// The decision where an exchange runs. Pure: facts in, route out. The table itself is in route.cpp, to be read from top
// to bottom. The safe answer is always the primary; unknown means primary.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/node_set.h"
#include "routing/catalog.h"
#include "routing/topology.h"
#include "sql/classifier.h"

namespace pgweir::routing {

enum class NodeClass : std::uint8_t {
  primary,
  standby,  ///< any standby that is fresh enough, by weight; the primary's own weight counts too; else the primary
  node,     ///< one named node (hint)
  pgweir,   ///< answered here: SHOW pool_*, EXPLAIN ROUTE
  current,  ///< the node on which the open transaction runs
};

/// Why. One row each in `kReasons` (reasons.cpp): name as shown by EXPLAIN ROUTE, log and counters; one line of text.
enum class Reason : std::uint8_t {
  read,
  write,
  ddl,
  maintenance,
  open_transaction,
  begin_read_only,
  begin,
  session_setting,
  session_command,
  show,
  prepared_read,
  prepared_write,
  prepared_unknown,
  cursor,
  copy_in,
  copy_out,
  two_phase,
  call_or_do,
  listen,
  row_lock_or_into,
  volatile_function,
  unknown_function,
  unsafe_relation,
  unknown_relation,
  unsafe_type,
  unsafe_operator,
  catalog_not_loaded,
  node_local,
  learned_write,
  not_replicated,
  unparsed,
  hint_primary,
  hint_standby,
  hint_node,
  hint_invalid,
  reads_primary,
  serializable,
  temporary_tables,
  unknown_session_state,
  unsafe_encoding,
  replication_connection,
  flush_before_sync,
  too_large,
  function_call,
  not_fresh,
  no_standby,
  standby_busy,
  local_command,
  empty,
};
inline constexpr std::size_t kReasonCount = static_cast<std::size_t>(Reason::empty) + 1;

struct ReasonRow {
  Reason reason;
  std::string_view name;
  std::string_view text;
};
[[nodiscard]] std::span<const ReasonRow> reasons();
[[nodiscard]] std::string_view name_of(Reason reason);
[[nodiscard]] std::string_view name_of(NodeClass node_class);

enum class ReadsMode : std::uint8_t { standbys, primary };

/// What the session knows about itself.
struct SessionFacts {
  enum class Transaction : std::uint8_t { none, lazy_begin, open };
  Transaction transaction = Transaction::none;
  bool lazy_read_only = false;     ///< the lazy BEGIN says READ ONLY
  bool lazy_serializable = false;  ///< the lazy BEGIN says SERIALIZABLE
  bool serializable = false;       ///< its transactions are SERIALIZABLE by default: no standby takes those
  bool has_temporary = false;      ///< temporary objects exist on its primary connection
  bool unknown_state = false;      ///< DO, CALL, set_config, volatile user functions... may have changed session state
  bool unsafe_encoding = false;    ///< standard_conforming_strings off, or a client encoding the tokenizer cannot read
  bool replication = false;        ///< a replication connection
  bool partial_standbys = false;  ///< they have only some of the tables: what follows in a transaction may not be there
  ReadsMode reads = ReadsMode::standbys;
};

/// Facts of a prepared statement that EXECUTE names, looked up by the session; null when there is none.
class PreparedLookup {
 public:
  virtual ~PreparedLookup() = default;
  [[nodiscard]] virtual sql::CachedFactsPtr find(std::string_view name) const = 0;
};

struct Route {
  NodeClass node_class = NodeClass::primary;
  Reason reason = Reason::unparsed;
  std::string_view node;  ///< for NodeClass::node
  /// The name that was decisive ("public.f", ...), for EXPLAIN ROUTE and the log; may be empty. Points into the facts.
  std::string_view subject;
  /// NodeClass::standby: the standbys that have everything it reads. The primary always has.
  base::NodeSet nodes = base::NodeSet::all();
};

/// Thread: any; no state. `catalog` may be null (not loaded yet).
[[nodiscard]] Route decide(const sql::Classified& query, const SessionFacts& session, const PreparedLookup& prepared,
                           const Catalog* catalog);

/// What a statement of this query may do to the session beyond what can be carried to another server connection.
struct SessionEffects {
  bool creates_temporary = false;
  bool unknown = false;  ///< DO, CALL, set_config, volatile functions that users wrote, unparsed text
  LastingEffects lasting{};
};
[[nodiscard]] SessionEffects effects_of(const sql::QueryFacts& facts, const Catalog* catalog);
/// The same, remembered in the entry per catalog version: for the hot path.
[[nodiscard]] SessionEffects effects_of(sql::CachedFacts& entry, const Catalog* catalog);

/// What EXPLAIN ROUTE answers: one row of three columns.
struct Explanation {
  std::string node_class;  ///< "standby", "node pg2"...
  std::string reason;      ///< "volatile_function (f): it uses a volatile function, which may write"
  std::string facts;       ///< "query; functions: f, public.g; relations: t"
};
[[nodiscard]] Explanation explain(const Route& route, const sql::QueryFacts& facts);

}  // namespace pgweir::routing
