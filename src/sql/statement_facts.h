// What the text of a statement tells, and nothing else: no catalog, no session, no topology.
// Produced by `Classifier` (classifier.h), cached by statement shape, immutable once made.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgweir::sql {

enum class StatementKind : std::uint8_t {
  empty,        ///< only white space, comments or semicolons
  query,        ///< SELECT, VALUES, TABLE, and EXPLAIN of one
  write,        ///< INSERT, UPDATE, DELETE, MERGE, TRUNCATE, REFRESH, SELECT INTO, row locks, EXPLAIN of one...
  ddl,          ///< changes the catalog: CREATE, ALTER, DROP...; what has no kind of its own too
  maintenance,  ///< VACUUM, ANALYZE, LOCK, CLUSTER, REINDEX, NOTIFY, GRANT, COMMENT...: primary, no session effect
  begin,        ///< BEGIN, START TRANSACTION
  commit,       ///< COMMIT, END
  rollback,     ///< ROLLBACK, ABORT
  savepoint,
  rollback_to_savepoint,
  release_savepoint,
  two_phase,        ///< PREPARE TRANSACTION, COMMIT PREPARED, ROLLBACK PREPARED
  set,              ///< SET / RESET of a setting, SET ROLE, SET SESSION AUTHORIZATION (not LOCAL, not TRANSACTION)
  set_local,        ///< SET LOCAL
  set_transaction,  ///< SET TRANSACTION ...
  set_session_characteristics,
  set_constraints,
  show,  ///< SHOW anything that PostgreSQL answers
  discard,
  prepare,  ///< SQL-level PREPARE
  execute,
  deallocate,
  declare_cursor,
  fetch,  ///< FETCH, MOVE
  close_cursor,
  copy_in,
  copy_out,  ///< COPY ... TO STDOUT; to a file or program it is `write`
  listen,
  unlisten,
  load,
  call,
  do_block,
  show_pool,      ///< SHOW pool_*: answered by pgweir
  explain_route,  ///< EXPLAIN ROUTE <statement>: answered by pgweir
  unknown,        ///< could not be parsed, or is too long to parse: primary, effect on the session unknown
};

[[nodiscard]] std::string_view name_of(StatementKind kind);

/// A name as written; `schema` is empty when unqualified. Folded to lower case unless it was quoted.
struct QualifiedName {
  std::string schema;
  std::string name;
  friend bool operator==(const QualifiedName&, const QualifiedName&) = default;
};

/// Whether PostgreSQL gives every table a column of that name (catalog/heap.c): ctid, xmin and their kin.
[[nodiscard]] bool is_system_column(std::string_view name) noexcept;

enum class Isolation : std::uint8_t { read_uncommitted, read_committed, repeatable_read, serializable };

/// One statement of a query string.
struct StatementFacts {
  StatementKind kind = StatementKind::unknown;
  /// For query, prepare, declare_cursor, copy_out, EXPLAIN: no data-modifying part at any depth, no INTO, no row locks,
  /// no EXPLAIN ANALYZE of a write. (Functions, relations, types and operators below still have to be looked up.)
  bool reads_only = false;
  /// CREATE TEMP ..., SELECT INTO TEMP, DISCARD of temporaries is `discard`.
  bool creates_temporary = false;
  bool row_lock_or_into = false;     ///< FOR UPDATE/SHARE or SELECT INTO at any depth (kind is `write` then)
  bool explain = false;              ///< EXPLAIN of something; kind and the rest are those of what is explained
  bool with_hold = false;            ///< DECLARE ... WITH HOLD
  bool chain = false;                ///< COMMIT / ROLLBACK AND CHAIN
  bool discard_all = false;          ///< DISCARD ALL
  bool reset_all = false;            ///< RESET ALL
  bool to_default = false;           ///< RESET x, SET x TO DEFAULT
  bool from_current = false;         ///< SET x FROM CURRENT
  bool asks_for_setting = false;     ///< SHOW, current_setting()
  bool names_system_column = false;  ///< not behind a dot: those are `attributes`
  bool asks_for_sequence = false;    ///< currval(), lastval(): what nextval() has done in this session
  /// BEGIN, SET TRANSACTION, SET SESSION CHARACTERISTICS: what they say; absent when they do not say.
  std::optional<Isolation> isolation;
  std::optional<bool> read_only;
  std::optional<bool> deferrable;
  /// PREPARE, EXECUTE, DEALLOCATE (empty: ALL), savepoints, cursors, SET / RESET (the setting, lower case; "role" and
  /// "session_authorization" for those), LISTEN / UNLISTEN channel (empty: *), DISCARD ("all", "plans", "sequences",
  /// "temp"), LOAD's file. SHOW: the setting, lower case; `show_pool`: what follows SHOW ("pool_nodes").
  std::string name;
  /// SET of one of pgweir's own settings (pgweir.*): its value as a text.
  std::string own_value;
  /// CREATE TABLE ... AS EXECUTE: the prepared statement that runs.
  std::string executes;
  /// Where this statement stands in the query string, in bytes; without the semicolon.
  std::size_t offset = 0;
  std::size_t length = 0;
  /// PREPARE: where the statement to be prepared begins. EXPLAIN ROUTE: where the statement to be explained begins.
  std::size_t inner_offset = 0;
  /// What must be looked up in the catalog before a read may leave the primary. No duplicates.
  std::vector<QualifiedName> functions;
  std::vector<QualifiedName> relations;  ///< without the names of CTEs in whose scope they stand
  std::vector<QualifiedName> types;      ///< type names in casts and column definitions, those of pg_catalog too
  std::vector<QualifiedName> operators;  ///< all operators used, implied ones too (IN, BETWEEN, LIKE, USING...)
  /// Names after a dot that need not be columns: PostgreSQL reads `t.f` as `f(t)` when t has no column f.
  std::vector<std::string> attributes;
};

/// A whole query string (simple protocol: several statements; extended: one). Shared by all texts of the same shape, so
/// `offset`, `length` and `inner_offset` are only meaningful when `exact` is true.
struct QueryFacts {
  std::vector<StatementFacts> statements;  ///< never empty: an empty string has one `empty` statement
  /// True when the shape was taken over the whole text, constants included (all but plain
  /// SELECT/INSERT/UPDATE/DELETE...).
  bool exact = false;
  /// Why a statement is `unknown`; empty otherwise.
  std::string problem;
};

/// A hint in a leading comment: /* pgweir: primary */, /* pgweir: standby */, /* pgweir: node=pg2 */.
struct Hint {
  enum class Kind : std::uint8_t { none, primary, standby, node, invalid };
  Kind kind = Kind::none;
  std::string_view node;  ///< points into the text
};

}  // namespace pgweir::sql
