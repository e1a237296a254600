// What a statement's tree says at any depth: the names it uses, and whether any part of it writes.
#pragma once
#include "sql/parse_tree.h"
#include "sql/statement_facts.h"

namespace pgweir::sql {

/// What was found on the way.
struct TreeFindings {
  bool modifies = false;          ///< INSERT, UPDATE, DELETE, MERGE
  bool row_lock_or_into = false;  ///< FOR UPDATE/SHARE, INTO
  bool temporary = false;         ///< a relation made as TEMP, or pg_temp named
};

/// Adds the names used by `root` and everything below it to the vectors of `facts` (sorted, no duplicates).
/// Iterative: safe for trees of any depth.
[[nodiscard]] TreeFindings collect_names(const ProtobufCMessage& root, StatementFacts& facts);

/// The characters of a String node; empty for anything else.
[[nodiscard]] std::string_view string_of(const PgQuery__Node* node) noexcept;

}  // namespace pgweir::sql
