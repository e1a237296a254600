// What the router must know of a database's catalog: which functions, relations, types and operators may not be used in
// a read that leaves the primary. An immutable value, loaded in the background by `cluster`, one per database.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "sql/statement_facts.h"

namespace pgweir::routing {

enum class Safety : std::uint8_t { unknown, safe, unsafe };

/// Rows as the loader reads them (catalog_queries.h has the SQL).
struct CatalogRows {
  struct Function { std::string schema, name; bool is_volatile = true; bool built_in = false; };
  /// `definition`: a view's query; `policies`: expressions of row-level security, one string each.
  struct Relation { std::string schema, name; char kind = 'r'; char persistence = 'p'; std::string definition; std::vector<std::string> policies; };
  /// Domains with volatile checks, types with volatile input functions or casts: unsafe; all others are not listed.
  struct Type { std::string schema, name; bool is_volatile = false; std::vector<std::string> checks; };
  struct Operator { std::string schema, name; bool is_volatile = true; };
  std::vector<Function> functions;
  std::vector<Relation> relations;
  std::vector<Type> types;
  std::vector<Operator> operators;
};

class Catalog;
using CatalogPtr = std::shared_ptr<const Catalog>;

/// Lookup ignores search_path on purpose: an unqualified name is safe only if every object of that name is safe.
class Catalog {
 public:
  /// Follows views, rules, policies and domain checks through each other. Parses their texts: needs the parser's stack.
  /// `version` is unique per process and never 0; `loaded_at` is when the loading started.
  [[nodiscard]] static CatalogPtr build(std::uint64_t version, base::Time loaded_at, const CatalogRows& rows);

  [[nodiscard]] Safety function(const sql::QualifiedName& name) const;
  /// Whether a function of this name may be one that users wrote (not of pg_catalog) and is volatile or unknown.
  [[nodiscard]] bool may_have_user_effects(const sql::QualifiedName& name) const;
  [[nodiscard]] Safety relation(const sql::QualifiedName& name) const;
  [[nodiscard]] Safety type(const sql::QualifiedName& name) const;
  [[nodiscard]] Safety operator_(const sql::QualifiedName& name) const;
  [[nodiscard]] std::uint64_t version() const noexcept { return version_; }
  [[nodiscard]] base::Time loaded_at() const noexcept { return loaded_at_; }

 private:
  std::uint64_t version_ = 0;
  base::Time loaded_at_{};
};

/// Built-in names that PostgreSQL calls stable or that are views, but whose answer belongs to one node or one session
/// (pg_stat_*, pg_locks, current_setting, txid_current...): they are read on the primary.
[[nodiscard]] bool is_node_local_function(const sql::QualifiedName& name);
[[nodiscard]] bool is_node_local_relation(const sql::QualifiedName& name);

}  // namespace pgweir::routing
