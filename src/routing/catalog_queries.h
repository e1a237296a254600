// The queries that read a database's catalog for `Catalog`, and what makes rows of their results. PostgreSQL 12 to 18.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "routing/catalog.h"

namespace pgweir::routing {

/// Run in this order, each giving the rows of one span element of `rows_from`.
struct CatalogQuery {
  std::string_view name;
  std::string_view sql;
  std::size_t columns;
};
[[nodiscard]] std::span<const CatalogQuery> catalog_queries();

/// Before and after the queries: one snapshot, and a search_path with which PostgreSQL writes names in full in the
/// texts of views and expressions.
inline constexpr std::string_view kCatalogBegin =
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL search_path = pg_catalog; SET LOCAL jit = off";
inline constexpr std::string_view kCatalogEnd = "COMMIT";

/// One row, one column: a text that changes whenever a row of the catalog that the queries read has been written since.
/// Reads the row headers only. When it equals the one taken before the last load, that load is still good.
[[nodiscard]] std::string_view catalog_fingerprint_query();

/// One column, at most 1000 rows: what `Catalog::custom_settings` will hold, but for bodies of BEGIN ATOMIC. For a
/// session that cannot wait until a catalog is loaded: safe under any search_path, and waits for no lock.
[[nodiscard]] std::string_view custom_settings_query();

using TextRow = std::vector<std::optional<std::string>>;  ///< one row in text format; nullopt is NULL
using TextRows = std::vector<TextRow>;

/// `results` has one element per query. Fails when their number or a row's width is not what was asked for.
[[nodiscard]] base::Result<CatalogRows> rows_from(std::span<const TextRows> results);

}  // namespace pgweir::routing
