// What the router must know of a database's catalog: which functions, relations, types and operators may not be used in
// a read that leaves the primary. An immutable value, loaded in the background by `cluster`, one per database.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/clock.h"
#include "base/node_set.h"
#include "routing/lasting_effects.h"
#include "routing/replication.h"
#include "sql/statement_facts.h"

namespace pgweir::routing {

enum class Safety : std::uint8_t { unknown, safe, unsafe };

/// Rows as the loader reads them (catalog_queries.h has the SQL and makes these from its results).
struct CatalogRows {
  /// The code of a volatile function that users wrote.
  struct Code {
    std::string language, extension;  ///< the extension that it belongs to; empty: none
    std::string body;                 ///< of sql and plpgsql; empty when unknown or too long
  };
  /// All functions of one name in one schema.
  struct Function {
    std::string schema, name;
    bool is_volatile = true;
    bool built_in = false;    ///< of pg_catalog
    bool as_column = false;   ///< volatile, and may be called as t.f
    std::string expressions;  ///< run at each call: defaults of arguments, checks of their domains; between commas
    std::size_t volatile_users = 1;  ///< how many of them are volatile, themselves or by their types, and not built in
    std::vector<Code> code{};        ///< of those that are volatile themselves
  };
  /// `definition`: a view's query; `policies`: expressions of row-level security, one string each.
  struct Relation {
    std::string schema, name;
    char kind = 'r';
    char persistence = 'p';
    bool unsafe_part = false;  ///< a partition or child is foreign or unlogged, or a column has an unsafe type
    std::string definition;
    std::vector<std::string> policies;
  };
  /// Writing to a relation runs a function that users wrote (triggers, defaults, checks, policies, rules), or writes to
  /// another relation. Without a relation: a function that statements run without naming it (casts, comparisons).
  struct Reach {
    enum class Target : std::uint8_t { function, relation };
    std::string schema, name;
    Target target = Target::function;
    std::string target_schema, target_name;
  };
  /// All types but arrays. `is_volatile`: its input or output functions, casts or support functions, or those of what
  /// it is made of. `checks`: those of the domains in it.
  struct Type {
    std::string schema, name;
    bool is_volatile = false;
    std::vector<std::string> checks;
  };
  struct Operator {
    std::string schema, name;
    bool is_volatile = true;
    bool built_in = false;
  };
  std::vector<Function> functions;
  std::vector<Relation> relations;
  std::vector<Type> types;
  std::vector<Operator> operators;
  std::vector<Reach> reaches;
  std::vector<std::string> custom_settings;      ///< as `Catalog::custom_settings`
  std::optional<ReplicationRows> replication{};  ///< none: every standby has everything
};

class Catalog;
using CatalogPtr = std::shared_ptr<const Catalog>;

/// Lookup ignores search_path on purpose: an unqualified name is safe only if every object of that name is safe.
class Catalog {
 public:
  /// Follows views, rules, policies, domain checks and functions' code through each other. Parses their texts: needs
  /// the parser's stack. `version` is unique per process and never 0; `loaded_at` is when the loading started.
  [[nodiscard]] static CatalogPtr build(std::uint64_t version, base::Time loaded_at, const CatalogRows& rows);

  enum class Kind : std::uint8_t { function, relation, type, operator_ };

  [[nodiscard]] Safety function(const sql::QualifiedName& name) const { return safety(Kind::function, name); }
  /// Whether using this may change a session's state in a way that its text does not tell: for a function, one that
  /// users wrote (not of pg_catalog) and that is unknown, or volatile and its code does not prove the opposite
  /// (function_code.h), or one that runs or sets what it is given; for the others, one that calls such a function.
  [[nodiscard]] bool may_have_user_effects(const sql::QualifiedName& name) const {
    return effects(Kind::function, name);
  }
  [[nodiscard]] bool relation_may_have_user_effects(const sql::QualifiedName& name) const {
    return effects(Kind::relation, name);
  }
  /// The same for writing to it, which fires triggers and runs defaults, checks and the like.
  [[nodiscard]] bool write_may_have_user_effects(const sql::QualifiedName& relation) const;
  [[nodiscard]] bool operator_may_have_user_effects(const sql::QualifiedName& name) const {
    return effects(Kind::operator_, name);
  }
  [[nodiscard]] bool type_may_have_user_effects(const sql::QualifiedName& name) const {
    return effects(Kind::type, name);
  }
  /// The same for a name after a dot, which may be a function's.
  [[nodiscard]] bool attribute_may_have_user_effects(std::string_view name) const;
  /// What users' code, and code that it leads to, may do that no view shows afterwards.
  [[nodiscard]] const LastingByName& lasting() const noexcept { return lasting_; }
  [[nodiscard]] Safety relation(const sql::QualifiedName& name) const { return safety(Kind::relation, name); }
  [[nodiscard]] Safety type(const sql::QualifiedName& name) const;
  [[nodiscard]] Safety operator_(const sql::QualifiedName& name) const { return safety(Kind::operator_, name); }
  /// The standbys on which everything that a read uses is there, and says what it says on the primary.
  [[nodiscard]] base::NodeSet readers(const sql::StatementFacts& read) const;
  /// A name after a dot: unsafe if a volatile function could be meant.
  [[nodiscard]] Safety attribute(std::string_view name) const;
  /// Names of settings (a.b, in lower case, each once) that the code of users' functions may set: constants of that
  /// form in it. Those that are most likely set come first. PostgreSQL lists such settings nowhere.
  [[nodiscard]] const std::vector<std::string>& custom_settings() const noexcept { return custom_settings_; }
  [[nodiscard]] std::uint64_t version() const noexcept { return version_; }
  [[nodiscard]] base::Time loaded_at() const noexcept { return loaded_at_; }

 private:
  friend class CatalogBuilder;
  friend class CatalogReaders;
  static constexpr std::size_t kKinds = 4;

  /// One object. There are thousands, and they stay: so their texts lie side by side in `texts_`.
  struct Object {
    std::string_view name, schema;
    bool safe = false;
    bool user_effects = false;
    bool fires = false;  ///< of a relation: the same for writing to it
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>{}(text); }
  };

  /// Those of one name, whatever their schema.
  [[nodiscard]] std::span<const Object> of_name(Kind kind, std::string_view name) const;
  [[nodiscard]] Safety safety(Kind kind, const sql::QualifiedName& name) const;
  [[nodiscard]] bool effects(Kind kind, const sql::QualifiedName& name) const;
  [[nodiscard]] base::NodeSet readers(Kind kind, const sql::QualifiedName& name) const;

  std::uint64_t version_ = 0;
  base::Time loaded_at_{};
  std::string texts_;
  std::array<std::vector<Object>, kKinds> objects_;  ///< sorted by name
  std::vector<std::string> custom_settings_;
  /// By object as in `objects_`; without replication of parts: empty.
  std::array<std::vector<base::NodeSet>, kKinds> readers_;
  bool is_partial_ = false;  ///< `readers_` counts
  /// Of what any statement may run without naming it.
  base::NodeSet unnamed_readers_ = base::NodeSet::all();
  LastingByName lasting_;
  std::unordered_set<std::string, Hash, std::equal_to<>> column_functions_;
};

/// Built-in names that PostgreSQL calls stable or that are views, but whose answer belongs to one node or one session
/// (pg_stat_*, pg_locks, current_setting, txid_current...): they are read on the primary.
[[nodiscard]] bool is_node_local_function(const sql::QualifiedName& name);
[[nodiscard]] bool is_node_local_relation(const sql::QualifiedName& name);
/// Built-in functions and types whose answer depends on the catalog of the server, which replicas have of their own
/// (topology: logical): oids, sizes, definitions, privileges.
[[nodiscard]] bool reads_catalog(const sql::QualifiedName& function);
[[nodiscard]] bool is_catalog_type(const sql::QualifiedName& type);
/// Built-in functions that set or run what they are given (set_config, setseed, query_to_xml...).
[[nodiscard]] bool changes_session(const sql::QualifiedName& name);
/// Built-in functions that tie something to the session or transaction they run in (advisory locks, lo_open, ...): not
/// even a hint moves them to a standby.
[[nodiscard]] bool binds_session(const sql::QualifiedName& name);
/// Built-in functions that take or give back advisory locks that outlive a transaction.
[[nodiscard]] bool locks_session(const sql::QualifiedName& name);
/// Built-in functions that make something which ends with the connection and which no audit shows: a session's
/// replication origin, a temporary replication slot, a backup.
[[nodiscard]] bool binds_connection(const sql::QualifiedName& name);

}  // namespace pgweir::routing
