// The queries that tell which tables the standbys have where they have only some of them (topology: logical), and what
// makes rows of their results. PostgreSQL 12 to 18.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "routing/catalog_queries.h"
#include "routing/replication.h"

namespace pgweir::routing {

/// Run on the primary behind `catalog_queries()`.
[[nodiscard]] std::span<const CatalogQuery> replication_queries();

/// On the primary: publication, schema, table of those that are published with all of their rows, columns and changes.
[[nodiscard]] std::string_view published_tables_query();

/// On a standby: schema, table, publication of what its subscriptions in this database have copied. `subscription`: of
/// this one only; empty: of all.
[[nodiscard]] std::string subscribed_tables_query(std::string_view subscription);

/// Those that a standby has copied and that a publication it subscribes to still gives it whole. Rows of another form
/// are left out.
[[nodiscard]] std::vector<sql::QualifiedName> replicated_tables(const TextRows& subscribed, const TextRows& published);

/// `results` has one element per query; `nodes` is left for the caller. Fails as `rows_from` does.
[[nodiscard]] base::Result<ReplicationRows> replication_rows_from(std::span<const TextRows> results);

}  // namespace pgweir::routing
