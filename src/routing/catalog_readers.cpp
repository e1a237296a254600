// See catalog_readers.h. What code of functions reads is told by bare names, as what it does to the session is
// (function_code.h): every word of a body that is a relation's name counts as one that it reads.
#include "routing/catalog_readers.h"

#include <algorithm>
#include <array>
#include <map>
#include <tuple>

namespace pgweir::routing {
namespace {

using base::NodeSet;
using sql::QualifiedName;

/// Extensions whose functions in C read no table: they work on what they are given.
constexpr std::array<std::string_view, 15> kPureExtensions = {
    "btree_gin", "btree_gist", "citext",  "cube",     "earthdistance", "fuzzystrmatch", "hstore", "intarray",
    "isn",       "ltree",      "pg_trgm", "pgcrypto", "seg",           "uuid-ossp",     "vector",
};

bool is_pure_extension(std::string_view name) {
  return std::find(kPureExtensions.begin(), kPureExtensions.end(), name) != kPureExtensions.end();
}

bool is_system_schema(std::string_view schema) {
  return schema == "pg_catalog" || schema == "information_schema" || schema == "pg_toast";
}

/// Who has which table.
class Tables {
 public:
  explicit Tables(const std::vector<ReplicationRows::Tables>& nodes) {
    for (const auto& one : nodes)
      for (const QualifiedName& table : one.tables) nodes_[{table.schema, table.name}].add(one.node);
  }
  [[nodiscard]] NodeSet with(std::string_view schema, std::string_view name) const {
    return of(schema, name) | of(schema, "*");
  }

 private:
  [[nodiscard]] NodeSet of(std::string_view schema, std::string_view name) const {
    const auto found = nodes_.find({schema, name});
    return found == nodes_.end() ? NodeSet{} : found->second;
  }
  std::map<std::pair<std::string_view, std::string_view>, NodeSet> nodes_;
};

}  // namespace

NodeSet& CatalogReaders::readers_of(Kind kind, std::size_t position) {
  return catalog_.readers_[static_cast<std::size_t>(kind)][position];
}

/// Calls `visit(position)` for each object of that schema and name; an empty schema: of any.
template <class Visit>
void CatalogReaders::for_each_of(Kind kind, const QualifiedName& name, Visit&& visit) const {
  const auto& all = catalog_.objects_[static_cast<std::size_t>(kind)];
  for (const Catalog::Object& object : catalog_.of_name(kind, name.name))
    if (name.schema.empty() || object.schema == name.schema) visit(static_cast<std::size_t>(&object - all.data()));
}

void CatalogReaders::run(const CatalogRows& rows, const ReplicationRows& replication) {
  for (std::size_t kind = 0; kind < Catalog::kKinds; ++kind)
    catalog_.readers_[kind].assign(catalog_.objects_[kind].size(), NodeSet::all());
  catalog_.is_partial_ = true;
  begin_relations(rows, replication);
  begin_functions(rows, replication);
  begin_operators(rows, replication);
  settle(replication);
}

void CatalogReaders::begin_relations(const CatalogRows& rows, const ReplicationRows& replication) {
  const Tables tables(replication.nodes);
  std::map<std::size_t, Family> families;
  for (const auto& row : rows.relations) {
    NodeSet own;
    if (row.kind == 'v' && !is_system_schema(row.schema)) own = NodeSet::all();
    if ((row.kind == 'r' || row.kind == 'p') && row.persistence == 'p' && !is_system_schema(row.schema))
      own = tables.with(row.schema, row.name);
    const bool partitioned = row.kind == 'p';
    for_each_of(Kind::relation, {row.schema, row.name}, [&](std::size_t position) {
      readers_of(Kind::relation, position) = partitioned ? NodeSet::all() : own;
      families[position] = {position, {}, own, partitioned};
    });
  }
  for (const auto& [parent, child] : replication.children)
    for_each_of(Kind::relation, parent, [&](std::size_t position) {
      for_each_of(Kind::relation, child, [&](std::size_t below) { families[position].children.push_back(below); });
    });
  for (auto& [position, family] : families)
    if (family.partitioned || !family.children.empty()) families_.push_back(std::move(family));
}

void CatalogReaders::begin_functions(const CatalogRows& rows, const ReplicationRows& replication) {
  for (const auto& row : rows.functions) {
    const QualifiedName name{row.schema, row.name};
    if (row.built_in && !reads_catalog(name) && !is_node_local_function(name)) continue;
    for_each_of(Kind::function, name, [&](std::size_t one) { readers_of(Kind::function, one) = {}; });
  }
  std::map<std::size_t, NodeSet> found;
  for (const auto& row : replication.functions)
    for_each_of(Kind::function, row.name, [&](std::size_t position) {
      NodeSet& nodes = found.try_emplace(position, NodeSet::all()).first->second;
      if (row.language == "c") {
        if (!is_pure_extension(row.extension)) nodes = {};
        return;
      }
      CodeFacts facts;
      if (row.language == "sql") facts = read_code(row.body, CodeLanguage::sql);
      if (row.language == "plpgsql") facts = read_code(row.body, CodeLanguage::plpgsql);
      if (!facts.quiet) nodes = {};
      codes_.push_back({position, std::move(facts)});
    });
  for (const auto& [position, nodes] : found) readers_of(Kind::function, position) = nodes;
}

void CatalogReaders::begin_operators(const CatalogRows& rows, const ReplicationRows& replication) {
  for (const auto& row : rows.operators)
    if (!row.built_in)
      for_each_of(Kind::operator_, {row.schema, row.name},
                  [&](std::size_t one) { readers_of(Kind::operator_, one) = {}; });
  for (const auto& row : replication.operators)
    for_each_of(Kind::operator_, row.name, [&](std::size_t one) {
      readers_of(Kind::operator_, one) = NodeSet::all();
      operators_.emplace_back(one, row.function);
    });
}

bool CatalogReaders::restrict(NodeSet& readers, NodeSet to) {
  const NodeSet before = std::exchange(readers, readers & to);
  return !(before == readers);
}

NodeSet CatalogReaders::of_code(const CodeFacts& facts) const {
  NodeSet nodes = NodeSet::all();
  const auto add = [&](Kind kind, const std::string& name) {
    for_each_of(kind, {"", name}, [&](std::size_t position) {
      nodes = nodes & catalog_.readers_[static_cast<std::size_t>(kind)][position];
    });
  };
  for (const std::string& name : facts.names) {
    if (sql::is_system_column(name) || is_catalog_type({"", name})) return {};
    for (const Kind kind : {Kind::function, Kind::relation, Kind::type}) add(kind, name);
    if (name.starts_with('_')) add(Kind::type, name.substr(1));  // an array type's own name
  }
  for (const std::string& name : facts.operators) add(Kind::operator_, name);
  return nodes;
}

NodeSet CatalogReaders::of_family(const Family& family) const {
  NodeSet below = NodeSet::all();
  for (const std::size_t child : family.children)
    below = below & catalog_.readers_[static_cast<std::size_t>(Kind::relation)][child];
  if (!family.partitioned) return family.own & below;
  return family.children.empty() ? family.own : family.own | below;
}

void CatalogReaders::settle(const ReplicationRows& replication) {
  for (bool changed = true; changed;) {
    changed = false;
    const auto take = [&](Kind kind, std::size_t position, NodeSet to) {
      changed = restrict(readers_of(kind, position), to) || changed;
    };
    for (const CatalogDependent& one : dependents_) take(one.kind, one.position, catalog_.readers(one.uses));
    for (const Code& one : codes_) take(Kind::function, one.position, of_code(one.facts));
    for (const Family& one : families_) take(Kind::relation, one.parent, of_family(one));
    for (const auto& [position, function] : operators_)
      take(Kind::operator_, position, catalog_.readers(Kind::function, function));
    for (const QualifiedName& function : replication.unnamed)
      changed = restrict(catalog_.unnamed_readers_, catalog_.readers(Kind::function, function)) || changed;
  }
}

NodeSet Catalog::readers(Kind kind, const QualifiedName& name) const {
  const auto& objects = objects_[static_cast<std::size_t>(kind)];
  bool known = false;
  NodeSet nodes = NodeSet::all();
  for (const Object& object : of_name(kind, name.name)) {
    if (!name.schema.empty() && name.schema != object.schema) continue;
    known = true;
    nodes = nodes & readers_[static_cast<std::size_t>(kind)][static_cast<std::size_t>(&object - objects.data())];
  }
  return known ? nodes : NodeSet{};
}

NodeSet Catalog::readers(const sql::StatementFacts& read) const {
  if (!is_partial_) return NodeSet::all();
  if (read.names_system_column) return {};
  NodeSet nodes = unnamed_readers_;
  for (const auto& name : read.functions) nodes = nodes & readers(Kind::function, name);
  for (const auto& name : read.relations) nodes = nodes & readers(Kind::relation, name);
  for (const auto& name : read.operators) nodes = nodes & readers(Kind::operator_, name);
  for (const auto& name : read.types) {
    const bool is_array = name.name.starts_with('_') && safety(Kind::type, name) == Safety::unknown;
    const QualifiedName element{name.schema, is_array ? name.name.substr(1) : name.name};
    nodes = is_catalog_type(element) ? NodeSet{} : nodes & readers(Kind::type, element);
  }
  // t.f may be f(t), of a function that users wrote.
  for (const std::string& name : read.attributes) {
    if (sql::is_system_column(name)) return {};
    for (const Object& object : of_name(Kind::function, name))
      if (object.schema != "pg_catalog") nodes = nodes & readers(Kind::function, {std::string(object.schema), name});
  }
  return nodes;
}

}  // namespace pgweir::routing
