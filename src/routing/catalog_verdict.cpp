// The catalog's word on each name a statement uses, and the two answers made of it: may it leave the primary, and may
// it change the session. Both are kept with the shape until the catalog changes.
#include "routing/catalog_verdict.h"

#include <algorithm>
#include <array>

namespace pgweir::routing {
namespace {

bool uses_nothing(const sql::StatementFacts& statement) {
  return statement.functions.empty() && statement.relations.empty() && statement.types.empty() &&
         statement.operators.empty() && statement.attributes.empty();
}

CatalogVerdict judge(const sql::StatementFacts& statement, const Catalog* catalog) {
  for (const auto& name : statement.functions)
    if (is_node_local_function(name)) return {Reason::node_local, name.name};
  for (const auto& name : statement.relations)
    if (is_node_local_relation(name)) return {Reason::node_local, name.name};
  if (uses_nothing(statement)) return {};
  if (catalog == nullptr) return {Reason::catalog_not_loaded, {}};
  for (const auto& name : statement.functions) {
    const Safety safety = catalog->function(name);
    if (safety == Safety::unsafe) return {Reason::volatile_function, name.name};
    if (safety == Safety::unknown) return {Reason::unknown_function, name.name};
  }
  for (const auto& name : statement.relations) {
    const Safety safety = catalog->relation(name);
    if (safety == Safety::unsafe) return {Reason::unsafe_relation, name.name};
    if (safety == Safety::unknown) return {Reason::unknown_relation, name.name};
  }
  for (const auto& name : statement.types)
    if (catalog->type(name) != Safety::safe) return {Reason::unsafe_type, name.name};
  for (const auto& name : statement.operators) {
    if (catalog->operator_(name) != Safety::safe) return {Reason::unsafe_operator, name.name};
  }
  for (const auto& name : statement.attributes) {
    if (catalog->attribute(name) != Safety::safe) return {Reason::volatile_function, name};
  }
  return {};
}

CatalogVerdict judge(const sql::QueryFacts& facts, const Catalog* catalog) {
  for (const sql::StatementFacts& statement : facts.statements) {
    const CatalogVerdict verdict = judge(statement, catalog);
    if (verdict.reason != Reason::read) return verdict;
  }
  return {};
}

base::NodeSet nodes_for(const sql::QueryFacts& facts, const Catalog& catalog) {
  base::NodeSet nodes = base::NodeSet::all();
  for (const sql::StatementFacts& statement : facts.statements) nodes = nodes & catalog.readers(statement);
  return nodes;
}

/// Built-in functions that most programs use, for the moments before the catalog is loaded: none has effects.
bool is_plain_built_in(const sql::QualifiedName& name) {
  constexpr std::array<std::string_view, 28> kNames = {"abs",
                                                       "array_agg",
                                                       "avg",
                                                       "ceil",
                                                       "coalesce",
                                                       "count",
                                                       "current_database",
                                                       "current_schema",
                                                       "current_setting",
                                                       "date_trunc",
                                                       "extract",
                                                       "floor",
                                                       "format_type",
                                                       "generate_series",
                                                       "json_agg",
                                                       "length",
                                                       "lower",
                                                       "max",
                                                       "min",
                                                       "now",
                                                       "pg_backend_pid",
                                                       "round",
                                                       "substring",
                                                       "sum",
                                                       "to_char",
                                                       "upper",
                                                       "version",
                                                       "nextval"};
  return (name.schema.empty() || name.schema == "pg_catalog") &&
         std::find(kNames.begin(), kNames.end(), name.name) != kNames.end();
}

bool unknown_effects(const sql::StatementFacts& statement, const Catalog* catalog) {
  using sql::StatementKind;
  if (statement.kind == StatementKind::unknown || statement.kind == StatementKind::do_block ||
      statement.kind == StatementKind::call) {
    return true;
  }
  // Its rule calls set_config.
  const auto is_settings = [](const sql::QualifiedName& name) { return name.name == "pg_settings"; };
  if (statement.kind == StatementKind::write &&
      std::any_of(statement.relations.begin(), statement.relations.end(), is_settings))
    return true;
  // Triggers.
  const bool writes = statement.kind == StatementKind::write || statement.kind == StatementKind::copy_in;
  if (catalog == nullptr) {
    // What a view calls is not known either.
    const auto is_built_in = [](const sql::QualifiedName& name) {
      return name.schema == "pg_catalog" || name.schema == "information_schema" ||
             (name.schema.empty() && name.name.starts_with("pg_"));
    };
    if (!std::all_of(statement.relations.begin(), statement.relations.end(), is_built_in)) return true;
    if (writes && !statement.relations.empty()) return true;
    return !std::all_of(statement.functions.begin(), statement.functions.end(), is_plain_built_in);
  }
  for (const auto& name : statement.functions)
    if (catalog->may_have_user_effects(name)) return true;
  for (const auto& name : statement.relations)
    if (catalog->relation_may_have_user_effects(name) || (writes && catalog->write_may_have_user_effects(name)))
      return true;
  for (const auto& name : statement.types)
    if (catalog->type_may_have_user_effects(name)) return true;
  for (const auto& name : statement.operators)
    if (catalog->operator_may_have_user_effects(name)) return true;
  for (const auto& name : statement.attributes)
    if (catalog->attribute_may_have_user_effects(name)) return true;
  return false;
}

/// Of the users' code that it leads to.
LastingEffects lasting_effects(const sql::StatementFacts& statement, const Catalog& catalog) {
  LastingEffects effects;
  if (statement.kind == sql::StatementKind::prepare) return effects;
  const LastingByName& lasting = catalog.lasting();
  for (const auto& name : statement.functions) effects.add(LastingByName::of(lasting.functions, name.name));
  for (const auto& name : statement.relations) effects.add(LastingByName::of(lasting.relations, name.name));
  return effects;
}

enum : std::uint8_t { kCreatesTemporary = 1, kUnknown = 2, kLibrary = 4, kSeed = 8, kServer = 16 };

}  // namespace

CatalogVerdict catalog_verdict(sql::CachedFacts& entry, const Catalog* catalog) {
  if (catalog == nullptr) return judge(entry.facts, nullptr);
  if (entry.verdict_version != catalog->version()) {
    const CatalogVerdict verdict = judge(entry.facts, catalog);
    entry.verdict = static_cast<std::uint8_t>(verdict.reason);
    entry.verdict_nodes = nodes_for(entry.facts, *catalog);
    entry.verdict_subject = verdict.subject;
    entry.verdict_version = catalog->version();
  }
  return {static_cast<Reason>(entry.verdict), entry.verdict_subject, entry.verdict_nodes};
}

bool binds_session(const sql::QueryFacts& facts) {
  return std::any_of(facts.statements.begin(), facts.statements.end(), [](const sql::StatementFacts& statement) {
    return std::any_of(statement.functions.begin(), statement.functions.end(),
                       [](const sql::QualifiedName& name) { return binds_session(name); });
  });
}

SessionEffects effects_of(const sql::QueryFacts& facts, const Catalog* catalog) {
  SessionEffects effects;
  for (const sql::StatementFacts& statement : facts.statements) {
    effects.creates_temporary = effects.creates_temporary || statement.creates_temporary;
    const bool unknown = unknown_effects(statement, catalog);
    effects.unknown = effects.unknown || unknown;
    effects.lasting.add(lasting_effects_of(statement));
    if (unknown && catalog != nullptr) effects.lasting.add(lasting_effects(statement, *catalog));
    if (statement.kind == sql::StatementKind::ddl) catalog = nullptr;  // it may be another one for those that follow
  }
  return effects;
}

SessionEffects effects_of(sql::CachedFacts& entry, const Catalog* catalog) {
  if (catalog == nullptr) return effects_of(entry.facts, nullptr);
  if (entry.effects_version != catalog->version()) {
    const SessionEffects effects = effects_of(entry.facts, catalog);
    entry.effects =
        static_cast<std::uint8_t>((effects.creates_temporary ? kCreatesTemporary : 0) |
                                  (effects.unknown ? kUnknown : 0) | (effects.lasting.library ? kLibrary : 0) |
                                  (effects.lasting.seed ? kSeed : 0) | (effects.lasting.server ? kServer : 0));
    entry.effects_version = catalog->version();
  }
  const auto has = [&](std::uint8_t bit) { return (entry.effects & bit) != 0; };
  return {has(kCreatesTemporary), has(kUnknown), {has(kLibrary), has(kSeed), has(kServer)}};
}

}  // namespace pgweir::routing
