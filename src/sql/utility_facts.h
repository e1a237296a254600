// Facts of one parsed statement, from its tree.
#pragma once
#include "sql/parse_tree.h"
#include "sql/statement_facts.h"

namespace pgweir::sql {

/// `statement` is what a RawStmt holds. Offsets are left to the caller.
[[nodiscard]] StatementFacts facts_of_statement(const PgQuery__Node& statement);

}  // namespace pgweir::sql
