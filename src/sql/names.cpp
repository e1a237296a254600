// The words for kinds of statements, as EXPLAIN ROUTE shows them.
#include <algorithm>
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

bool is_system_column(std::string_view name) noexcept {
  constexpr std::array<std::string_view, 6> kColumns = {"cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"};
  return std::find(kColumns.begin(), kColumns.end(), name) != kColumns.end();
}

std::string_view name_of(StatementKind kind) { return kNames[static_cast<std::size_t>(kind)]; }

}  // namespace pgweir::sql
