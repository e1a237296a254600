// The words for what `decide` decides: shown by EXPLAIN ROUTE, in the log and as labels of counters.
#include <array>

#include "routing/route.h"

namespace pgweir::routing {
namespace {

constexpr std::array<ReasonRow, kReasonCount> kReasons = {{
    {Reason::read, "read", "it only reads, and everything it uses is known to be safe on a standby"},
    {Reason::write, "write", "it writes data"},
    {Reason::ddl, "ddl", "it changes the catalog"},
    {Reason::maintenance, "maintenance", "it is a maintenance command"},
    {Reason::open_transaction, "open_transaction", "a transaction is open, and it stays on its node"},
    {Reason::begin_read_only, "begin_read_only", "it is the first read of a read-only transaction"},
    {Reason::begin, "begin", "it is in a transaction that may write"},
    {Reason::session_setting, "session_setting", "it changes a setting of the session"},
    {Reason::session_command, "session_command", "it changes the state of the session"},
    {Reason::show, "show", "it shows a setting"},
    {Reason::prepared_read, "prepared_read", "it executes a prepared statement that only reads"},
    {Reason::prepared_write, "prepared_write", "it executes a prepared statement that may write"},
    {Reason::prepared_unknown, "prepared_unknown", "it executes a prepared statement that this session does not know"},
    {Reason::cursor, "cursor", "it is about a cursor outside of a read-only transaction"},
    {Reason::copy_in, "copy_in", "it copies data into the database"},
    {Reason::copy_out, "copy_out", "it copies data out, and only reads"},
    {Reason::two_phase, "two_phase", "it belongs to a two-phase commit"},
    {Reason::call_or_do, "call_or_do", "it runs a procedure or a code block, which may do anything"},
    {Reason::listen, "listen", "notifications arrive on the primary only"},
    {Reason::row_lock_or_into, "row_lock_or_into", "it locks rows or makes a table"},
    {Reason::volatile_function, "volatile_function", "it uses a volatile function, which may write"},
    {Reason::unknown_function, "unknown_function", "it uses a function that the catalog does not have (yet)"},
    {Reason::unsafe_relation, "unsafe_relation",
     "it uses a relation that cannot be read on a standby, or a view or policy that may write"},
    {Reason::unknown_relation, "unknown_relation", "it uses a relation that the catalog does not have (yet)"},
    {Reason::unsafe_type, "unsafe_type", "it uses a type that is unknown or runs volatile functions"},
    {Reason::unsafe_operator, "unsafe_operator", "it uses an operator that is unknown or runs a volatile function"},
    {Reason::catalog_not_loaded, "catalog_not_loaded", "the catalog of this database is not loaded yet"},
    {Reason::node_local, "node_local", "its answer belongs to one node or one session"},
    {Reason::learned_write, "learned_write", "a standby refused a statement of this shape before"},
    {Reason::not_replicated, "not_replicated",
     "it reads, or may read, what is not replicated to any one of the standbys"},
    {Reason::unparsed, "unparsed", "it could not be parsed, or is too long to be"},
    {Reason::hint_primary, "hint_primary", "a hint asks for the primary"},
    {Reason::hint_standby, "hint_standby", "a hint asks for a standby"},
    {Reason::hint_node, "hint_node", "a hint asks for this node"},
    {Reason::hint_invalid, "hint_invalid", "it has a hint that cannot be understood"},
    {Reason::reads_primary, "reads_primary", "reads of this session go to the primary"},
    {Reason::serializable, "serializable", "the session's transactions are SERIALIZABLE, which no standby takes"},
    {Reason::temporary_tables, "temporary_tables", "the session has temporary objects on its primary connection"},
    {Reason::unknown_session_state, "unknown_session_state", "the session may have state that cannot be carried over"},
    {Reason::unsafe_encoding, "unsafe_encoding",
     "with the session's encoding or string syntax its text cannot be read safely"},
    {Reason::replication_connection, "replication_connection", "it is a replication connection"},
    {Reason::flush_before_sync, "flush_before_sync", "the exchange had to begin before its end was known"},
    {Reason::too_large, "too_large", "the message is too large to be looked at"},
    {Reason::function_call, "function_call", "it is a function call message"},
    {Reason::not_fresh, "not_fresh", "no standby is fresh enough"},
    {Reason::no_standby, "no_standby", "no standby is up"},
    {Reason::standby_busy, "standby_busy", "no connection to a standby was free in time"},
    {Reason::local_command, "local_command", "it is answered by pgweir itself"},
    {Reason::empty, "empty", "it holds no statement"},
}};

constexpr bool in_order() {
  for (std::size_t i = 0; i < kReasons.size(); ++i) {
    if (static_cast<std::size_t>(kReasons[i].reason) != i) return false;
  }
  return true;
}
static_assert(in_order(), "kReasons has one row per Reason, in the order of the enum");

constexpr std::array<std::string_view, 5> kClassNames = {"primary", "standby", "node", "pgweir", "current"};

}  // namespace

std::span<const ReasonRow> reasons() { return kReasons; }
std::string_view name_of(Reason reason) { return kReasons[static_cast<std::size_t>(reason)].name; }
std::string_view name_of(NodeClass node_class) { return kClassNames[static_cast<std::size_t>(node_class)]; }

std::string_view name_of(Role role) {
  constexpr std::array<std::string_view, 3> kNames = {"unknown", "primary", "standby"};
  return kNames[static_cast<std::size_t>(role)];
}

std::string_view name_of(NodeStatus status) {
  constexpr std::array<std::string_view, 6> kNames = {"unknown",     "up",       "down",
                                                      "quarantined", "disabled", "catching_up"};
  return kNames[static_cast<std::size_t>(status)];
}

}  // namespace pgweir::routing
