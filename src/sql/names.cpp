// The words for kinds of statements, as EXPLAIN ROUTE shows them.
#include <array>

#include "sql/statement_facts.h"

namespace pgweir::sql {
namespace {

constexpr std::array<std::string_view, static_cast<std::size_t>(StatementKind::unknown) + 1> kNames = {
    "empty",
    "query",
    "write",
    "ddl",
    "maintenance",
    "begin",
    "commit",
    "rollback",
    "savepoint",
    "rollback_to_savepoint",
    "release_savepoint",
    "two_phase",
    "set",
    "set_local",
    "set_transaction",
    "set_session_characteristics",
    "set_constraints",
    "show",
    "discard",
    "prepare",
    "execute",
    "deallocate",
    "declare_cursor",
    "fetch",
    "close_cursor",
    "copy_in",
    "copy_out",
    "listen",
    "unlisten",
    "load",
    "call",
    "do_block",
    "show_pool",
    "explain_route",
    "unknown"};

}  // namespace

std::string_view name_of(StatementKind kind) { return kNames[static_cast<std::size_t>(kind)]; }

}  // namespace pgweir::sql
