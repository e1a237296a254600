// See replication_queries.h. Objects with an oid below 16384 came with PostgreSQL.
#include "routing/replication_queries.h"

#include <array>
#include <set>
#include <tuple>

#include "base/sqlstate.h"

namespace pgweir::routing {
namespace {

constexpr std::string_view kChildren =
    "SELECT pn.nspname, p.relname, cn.nspname, c.relname FROM pg_catalog.pg_inherits i"
    " JOIN pg_catalog.pg_class p ON p.oid = i.inhparent JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace"
    " JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid JOIN pg_catalog.pg_namespace cn ON cn.oid = c.relnamespace"
    " WHERE c.relkind IN ('r', 'p', 'f')";

// As the code of volatile functions is read (catalog_queries.cpp).
constexpr std::string_view kFunctions =
    "SELECT n.nspname, p.proname, l.lanname, x.extname, CASE WHEN l.lanname IN ('sql', 'plpgsql')"
    " AND octet_length(p.prosrc) <= 65536 AND sum(octet_length(p.prosrc)) OVER (ORDER BY p.oid) <= 16777216"
    " THEN regexp_replace(p.prosrc, '[^' || chr(1) || '-' || chr(127) || ']', chr(1), 'g') END "
    "FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace "
    "JOIN pg_catalog.pg_language l ON l.oid = p.prolang "
    "LEFT JOIN pg_catalog.pg_depend e ON e.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND e.objid = p.oid"
    " AND e.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND e.deptype = 'e' "
    "LEFT JOIN pg_catalog.pg_extension x ON x.oid = e.refobjid "
    "WHERE p.oid::int8 >= 16384 AND p.provolatile <> 'v'";

constexpr std::string_view kOperators =
    "SELECT n.nspname, o.oprname, pn.nspname, p.proname FROM pg_catalog.pg_operator o"
    " JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace JOIN pg_catalog.pg_proc p ON p.oid = o.oprcode"
    " JOIN pg_catalog.pg_namespace pn ON pn.oid = p.pronamespace WHERE o.oid::int8 >= 16384";

constexpr std::string_view kUnnamed =
    "SELECT DISTINCT n.nspname, p.proname FROM (SELECT castfunc AS f FROM pg_catalog.pg_cast"
    " UNION SELECT amproc FROM pg_catalog.pg_amproc"
    " UNION SELECT o.oprcode FROM pg_catalog.pg_amop a JOIN pg_catalog.pg_operator o ON o.oid = a.amopopr"
    " UNION SELECT rngcanonical FROM pg_catalog.pg_range UNION SELECT rngsubdiff FROM pg_catalog.pg_range) u"
    " JOIN pg_catalog.pg_proc p ON p.oid = u.f JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace"
    " JOIN pg_catalog.pg_language l ON l.oid = p.prolang"
    " WHERE p.oid::int8 >= 16384 AND l.lanname NOT IN ('c', 'internal')";

// Row filters and column lists came with PostgreSQL 15: asked for by name where the row may not have them.
constexpr std::string_view kPublished =
    "SELECT t.pubname, t.schemaname, t.tablename FROM pg_catalog.pg_publication_tables t"
    " JOIN pg_catalog.pg_publication p ON p.pubname = t.pubname"
    " JOIN pg_catalog.pg_namespace n ON n.nspname = t.schemaname"
    " JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename"
    " WHERE p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate"
    " AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_publication_rel r, LATERAL (SELECT pg_catalog.to_jsonb(r)) j(fields)"
    "  WHERE r.prpubid = p.oid AND r.prrelid = c.oid"
    "  AND (fields ->> 'prqual' IS NOT NULL OR fields ->> 'prattrs' IS NOT NULL)) ORDER BY 1, 2, 3";

// The oids of subscriptions are not for everybody before PostgreSQL 14, but this view shows them.
constexpr std::string_view kSubscribed =
    "SELECT DISTINCT n.nspname, c.relname, p.name FROM pg_catalog.pg_subscription s"
    " JOIN pg_catalog.pg_stat_subscription st ON st.subname = s.subname"
    " JOIN pg_catalog.pg_subscription_rel r ON r.srsubid = st.subid"
    " JOIN pg_catalog.pg_class c ON c.oid = r.srrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace,"
    " LATERAL unnest(s.subpublications) p(name)"
    " WHERE r.srsubstate = 'r' AND c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND s.subdbid ="
    " (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())";

enum Query : std::size_t { children, functions, operators, unnamed, query_count };

constexpr std::array<CatalogQuery, query_count> kQueries = {{
    {"children", kChildren, 4},
    {"functions", kFunctions, 5},
    {"operators", kOperators, 4},
    {"unnamed", kUnnamed, 2},
}};

std::string text(const std::optional<std::string>& field) { return field.value_or(std::string{}); }
sql::QualifiedName name(const TextRow& row, std::size_t schema) { return {text(row[schema]), text(row[schema + 1])}; }

std::string quoted(std::string_view value) {
  std::string out = "'";
  for (const char c : value) out += c == '\'' ? "''" : std::string(1, c);
  return out + "'";
}

}  // namespace

std::span<const CatalogQuery> replication_queries() { return kQueries; }
std::string_view published_tables_query() { return kPublished; }

std::string subscribed_tables_query(std::string_view subscription) {
  std::string query(kSubscribed);
  if (!subscription.empty()) query.append(" AND s.subname = ").append(quoted(subscription));
  return query + " ORDER BY 1, 2, 3";
}

std::vector<sql::QualifiedName> replicated_tables(const TextRows& subscribed, const TextRows& published) {
  using Key = std::tuple<std::string, std::string, std::string>;
  std::set<Key> given;
  for (const TextRow& row : published)
    if (row.size() == 3) given.emplace(text(row[0]), text(row[1]), text(row[2]));
  std::vector<sql::QualifiedName> tables;
  for (const TextRow& row : subscribed) {
    if (row.size() != 3 || !given.contains(Key(text(row[2]), text(row[0]), text(row[1])))) continue;
    if (sql::QualifiedName table = name(row, 0); tables.empty() || !(tables.back() == table))
      tables.push_back(std::move(table));
  }
  return tables;
}

base::Result<ReplicationRows> replication_rows_from(std::span<const TextRows> results) {
  if (results.size() != kQueries.size())
    return base::fail(base::sqlstate::internal_error, "replication: wrong number of results");
  for (std::size_t i = 0; i < kQueries.size(); ++i)
    for (const TextRow& row : results[i])
      if (row.size() != kQueries[i].columns)
        return base::fail(base::sqlstate::internal_error, "replication: wrong number of columns",
                          std::string(kQueries[i].name));
  ReplicationRows rows;
  for (const TextRow& row : results[children]) rows.children.push_back({name(row, 0), name(row, 2)});
  for (const TextRow& row : results[functions])
    rows.functions.push_back({name(row, 0), text(row[2]), text(row[3]), text(row[4])});
  for (const TextRow& row : results[operators]) rows.operators.push_back({name(row, 0), name(row, 2)});
  for (const TextRow& row : results[unnamed]) rows.unnamed.push_back(name(row, 0));
  return rows;
}

}  // namespace pgweir::routing
