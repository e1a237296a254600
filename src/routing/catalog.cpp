// Building: every object starts with what its own row says; then unsafety (and user effects) flow from objects to those
// whose text uses them, until nothing changes. Cycles (a policy that reads its own table) need no special care that
// way. Code of functions is linked last, by bare names, so that only what may matter has to be remembered of it.
#include "routing/catalog.h"

#include <algorithm>
#include <numeric>
#include <tuple>
#include <unordered_map>

#include "routing/catalog_readers.h"
#include "routing/function_code.h"
#include "sql/classifier.h"

namespace pgweir::routing {
namespace {

constexpr std::string_view kBuiltInSchema = "pg_catalog";

}  // namespace

class CatalogBuilder {
 public:
  explicit CatalogBuilder(Catalog& catalog) : catalog_(catalog) {}

  void run(const CatalogRows& rows) {
    make_room(rows);
    for (const auto& row : rows.functions) add_function(row);
    for (const auto& row : rows.relations) add_relation(row);
    for (const auto& row : rows.types) add_type(row);
    for (const auto& row : rows.operators) {
      add(Kind::operator_, row, {!row.is_volatile, row.is_volatile && !row.built_in}, {});
    }
    sort();
    // From here on no object is added: their addresses stay.
    note_changing(rows);
    link_reaches(rows.reaches);
    link_views();
    link_code(rows.functions);
    settle();
    if (rows.replication) CatalogReaders(catalog_, dependents_).run(rows, *rows.replication);
  }

 private:
  using Kind = Catalog::Kind;
  using Object = Catalog::Object;

  struct Flags {
    bool safe = false, user_effects = false, fires = false;
  };

  /// Its safety depends on what its texts use.
  using Dependent = CatalogDependent;

  Object& object_of(const Dependent& dependent) { return objects_of(dependent.kind)[dependent.position]; }
  std::vector<Object>& objects_of(Kind kind) { return catalog_.objects_[static_cast<std::size_t>(kind)]; }

  /// All of it at once: texts and objects must not move later, and leave no holes in memory.
  void make_room(const CatalogRows& rows) {
    std::size_t size = 0;
    const auto count = [&](Kind kind, const auto& list) {
      objects_of(kind).reserve(list.size());
      for (const auto& row : list) {
        size += row.name.size();
        if (schemas_.emplace(row.schema, std::string_view{}).second) size += row.schema.size();
      }
    };
    count(Kind::function, rows.functions);
    count(Kind::relation, rows.relations);
    count(Kind::type, rows.types);
    count(Kind::operator_, rows.operators);
    catalog_.texts_.reserve(size);
    for (auto& [name, kept] : schemas_) kept = keep(name);
  }

  std::string_view keep(std::string_view text) {
    const std::size_t at = catalog_.texts_.size();
    catalog_.texts_ += text;
    return std::string_view(catalog_.texts_).substr(at);
  }

  void sort() {
    for (std::size_t kind = 0; kind < Catalog::kKinds; ++kind) {
      auto& objects = catalog_.objects_[kind];
      std::vector<std::size_t> order(objects.size()), places(objects.size());
      std::iota(order.begin(), order.end(), std::size_t{0});
      std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        return std::tie(objects[a].name, a) < std::tie(objects[b].name, b);
      });
      std::vector<Object> sorted;
      sorted.reserve(objects.size());
      for (const std::size_t old : order) {
        places[old] = sorted.size();
        sorted.push_back(objects[old]);
      }
      objects = std::move(sorted);
      for (Dependent& one : dependents_)
        if (one.kind == static_cast<Kind>(kind)) one.position = places[one.position];
    }
  }

  /// Calls `visit(object)` for each object of the name; an empty schema: of any.
  template <class Visit>
  void for_each_of(Kind kind, std::string_view schema, std::string_view name, Visit&& visit) {
    const std::span<const Object> found = catalog_.of_name(kind, name);
    const auto first = static_cast<std::size_t>(found.data() - objects_of(kind).data());
    for (std::size_t i = first; i < first + found.size(); ++i)
      if (Object& object = objects_of(kind)[i]; schema.empty() || object.schema == schema) visit(object);
  }

  void flow(const bool& from, bool& to) {
    if (&from != &to && (from || may_change_.contains(&from))) flows_[&from].push_back(&to);
  }

  template <class Row>
  void add(Kind kind, const Row& row, Flags flags, sql::StatementFacts uses, bool is_view = false) {
    auto& objects = objects_of(kind);
    objects.push_back({keep(row.name), schemas_.at(row.schema), flags.safe, flags.user_effects, flags.fires});
    if (!uses.functions.empty() || !uses.relations.empty() || !uses.types.empty() || !uses.operators.empty() ||
        !uses.attributes.empty()) {
      dependents_.push_back({kind, objects.size() - 1, std::move(uses), is_view});
    }
  }

  /// Adds the names that `text` uses to `uses`; false when it is not a plain read.
  static bool read(const std::string& text, sql::StatementFacts& uses) {
    sql::QueryFacts facts = sql::facts_of(text, sql::ClassifierLimits{});
    if (facts.statements.size() != 1 || !facts.statements[0].reads_only) return false;
    const auto move_all = [](auto& from, auto& to) { to.insert(to.end(), from.begin(), from.end()); };
    sql::StatementFacts& found = facts.statements[0];
    move_all(found.functions, uses.functions);
    move_all(found.relations, uses.relations);
    move_all(found.types, uses.types);
    move_all(found.operators, uses.operators);
    move_all(found.attributes, uses.attributes);
    uses.names_system_column = uses.names_system_column || found.names_system_column;
    return true;
  }

  void add_function(const CatalogRows::Function& row) {
    const sql::QualifiedName name{row.schema, row.name};
    Flags flags{!row.is_volatile, row.is_volatile && !row.built_in && row.code.size() < row.volatile_users};
    if (is_node_local_function(name)) flags.safe = false;
    if (changes_session(name)) flags = {false, true};
    sql::StatementFacts uses;
    if (!row.expressions.empty() && !read("SELECT " + row.expressions, uses)) flags = {false, true};
    if (row.as_column) catalog_.column_functions_.insert(row.name);
    add(Kind::function, row, flags, std::move(uses));
  }

  void add_relation(const CatalogRows::Relation& row) {
    constexpr std::string_view kReadable = "rvmpt";  // tables, views, materialized views, partitioned tables, TOAST
    // The rule of pg_settings calls set_config().
    Flags flags{true, false, row.schema == kBuiltInSchema && row.name == "pg_settings"};
    if (kReadable.find(row.kind) == std::string_view::npos || row.persistence != 'p' || row.unsafe_part ||
        is_node_local_relation({row.schema, row.name})) {
      flags.safe = false;
    }
    sql::StatementFacts uses;
    bool understood = true;
    if (row.kind == 'v') understood = read(row.definition, uses);
    for (const std::string& policy : row.policies) understood = read("SELECT " + policy, uses) && understood;
    if (!understood) flags = {false, true, flags.fires};
    // What currval() or lastval() says there belongs to the session (session/flows/carry.cpp, hide_sequences).
    if (uses.asks_for_sequence) flags.user_effects = true;
    add(Kind::relation, row, flags, std::move(uses), row.kind == 'v');
  }

  void add_type(const CatalogRows::Type& row) {
    Flags flags{!row.is_volatile, row.is_volatile && row.schema != kBuiltInSchema};
    sql::StatementFacts uses;
    for (const std::string& check : row.checks) {
      if (!read("SELECT " + check, uses)) flags = {false, true};
    }
    add(Kind::type, row, flags, std::move(uses));
  }

  /// Flags that may become true must be known before anything is linked to them.
  void note_changing(const CatalogRows& rows) {
    for (const Dependent& dependent : dependents_) {
      may_change_.insert(&object_of(dependent).user_effects);
      if (dependent.is_view) may_change_.insert(&object_of(dependent).fires);
    }
    for (const auto& row : rows.functions) {
      if (row.code.empty()) continue;
      for_each_of(Kind::function, row.schema, row.name, [&](Object& one) { may_change_.insert(&one.user_effects); });
    }
    for (const auto& reach : rows.reaches) {
      if (reach.name.empty()) may_change_.insert(&unnamed_effects_);
      for_each_of(Kind::relation, reach.schema, reach.name, [&](Object& one) { may_change_.insert(&one.fires); });
    }
  }

  void link(const CatalogRows::Reach& reach, bool& to) {
    const bool is_function = reach.target == CatalogRows::Reach::Target::function;
    const Kind kind = is_function ? Kind::function : Kind::relation;
    for_each_of(kind, reach.target_schema, reach.target_name, [&](const Object& target) {
      flow(target.user_effects, to);
      flow(target.fires, to);
    });
  }

  void link_reaches(const std::vector<CatalogRows::Reach>& reaches) {
    for (const auto& reach : reaches) {
      if (reach.name.empty())
        link(reach, unnamed_effects_);
      else
        for_each_of(Kind::relation, reach.schema, reach.name, [&](Object& from) { link(reach, from.fires); });
    }
  }

  void link_views() {
    for (const Dependent& dependent : dependents_) {
      if (!dependent.is_view) continue;
      bool& fires = object_of(dependent).fires;
      for (const auto& name : dependent.uses.relations)
        for_each_of(Kind::relation, name.schema, name.name, [&](const Object& below) { flow(below.fires, fires); });
    }
  }

  void link_code(const CatalogRows::Code& code, bool& effects) {
    if (code.language == "c" && is_quiet_extension(code.extension)) return;
    CodeFacts facts;
    if (code.language == "sql") facts = read_code(code.body, CodeLanguage::sql);
    if (code.language == "plpgsql") facts = read_code(code.body, CodeLanguage::plpgsql);
    effects = effects || !facts.quiet;
    if (effects) return;
    flow(unnamed_effects_, effects);
    for (const std::string& name : facts.names) {
      for (const Kind kind : {Kind::function, Kind::relation, Kind::type}) {
        for_each_of(kind, {}, name, [&](const Object& used) {
          flow(used.user_effects, effects);
          if (facts.writes) flow(used.fires, effects);
        });
      }
      if (name.starts_with('_'))  // an array type's own name
        for_each_of(Kind::type, {}, std::string_view(name).substr(1),
                    [&](const Object& used) { flow(used.user_effects, effects); });
    }
    for (const std::string& name : facts.operators)
      for_each_of(Kind::operator_, {}, name, [&](const Object& used) { flow(used.user_effects, effects); });
  }

  void link_code(const std::vector<CatalogRows::Function>& functions) {
    for (const auto& row : functions) {
      for (const auto& code : row.code)
        for_each_of(Kind::function, row.schema, row.name, [&](Object& one) { link_code(code, one.user_effects); });
    }
  }

  void settle() {
    for (bool changed = true; changed;) {
      changed = false;
      for (const Dependent& dependent : dependents_) {
        Object& object = object_of(dependent);
        const bool safe = object.safe && all_safe(dependent.uses);
        const bool effects = object.user_effects || any_effects(dependent.uses);
        changed = changed || safe != object.safe || effects != object.user_effects;
        object.safe = safe;
        object.user_effects = effects;
      }
      changed = spread() || changed;
    }
  }

  /// Along the flows, from all that is true; whether anything became so.
  bool spread() {
    std::vector<const bool*> pending;
    for (const auto& [from, targets] : flows_)
      if (*from) pending.push_back(from);
    bool changed = false;
    while (!pending.empty()) {
      const auto found = flows_.find(pending.back());
      pending.pop_back();
      if (found == flows_.end()) continue;
      for (bool* to : found->second) {
        if (*to) continue;
        *to = changed = true;
        pending.push_back(to);
      }
    }
    return changed;
  }

  [[nodiscard]] bool all_safe(const sql::StatementFacts& uses) const {
    const auto safe = [](Safety safety) { return safety == Safety::safe; };
    for (const auto& name : uses.functions)
      if (!safe(catalog_.function(name))) return false;
    for (const auto& name : uses.relations)
      if (!safe(catalog_.relation(name))) return false;
    for (const auto& name : uses.types)
      if (!safe(catalog_.type(name))) return false;
    for (const auto& name : uses.operators)
      if (!safe(catalog_.operator_(name))) return false;
    for (const auto& name : uses.attributes)
      if (!safe(catalog_.attribute(name))) return false;
    return true;
  }

  /// What a session locks or binds is seen in its own statement, not in what that statement uses.
  [[nodiscard]] bool any_effects(const sql::StatementFacts& uses) const {
    for (const auto& name : uses.functions)
      if (catalog_.may_have_user_effects(name) || locks_session(name) || binds_connection(name)) return true;
    for (const auto& name : uses.relations)
      if (catalog_.relation_may_have_user_effects(name)) return true;
    for (const auto& name : uses.types)
      if (catalog_.type_may_have_user_effects(name)) return true;
    for (const auto& name : uses.operators)
      if (catalog_.operator_may_have_user_effects(name)) return true;
    for (const auto& name : uses.attributes)
      if (catalog_.attribute_may_have_user_effects(name)) return true;
    return false;
  }

  Catalog& catalog_;
  std::unordered_map<std::string_view, std::string_view> schemas_;  ///< the rows' text, and the catalog's
  std::vector<Dependent> dependents_;
  std::unordered_map<const bool*, std::vector<bool*>> flows_;  ///< what becomes true when another is
  std::unordered_set<const bool*> may_change_;                 ///< flags that are false and may become true
  bool unnamed_effects_ = false;  ///< of a function that any statement may run without naming it
};

CatalogPtr Catalog::build(std::uint64_t version, base::Time loaded_at, const CatalogRows& rows) {
  auto catalog = std::make_shared<Catalog>();
  catalog->version_ = version;
  catalog->loaded_at_ = loaded_at;
  catalog->custom_settings_ = rows.custom_settings;
  catalog->lasting_ = lasting_effects_of(rows);
  CatalogBuilder(*catalog).run(rows);
  return catalog;
}

std::span<const Catalog::Object> Catalog::of_name(Kind kind, std::string_view name) const {
  const auto& objects = objects_[static_cast<std::size_t>(kind)];
  // Not std::ranges::equal_range: clang 14 cannot read that of GCC 12's library.
  const auto begin = std::lower_bound(objects.begin(), objects.end(), name,
                                      [](const Object& one, std::string_view wanted) { return one.name < wanted; });
  const auto end = std::upper_bound(begin, objects.end(), name,
                                    [](std::string_view wanted, const Object& one) { return wanted < one.name; });
  return {begin, end};
}

Safety Catalog::safety(Kind kind, const sql::QualifiedName& name) const {
  Safety result = Safety::unknown;
  for (const Object& object : of_name(kind, name.name)) {
    if (!name.schema.empty() && name.schema != object.schema) continue;
    if (!object.safe) return Safety::unsafe;
    result = Safety::safe;
  }
  return result;
}

bool Catalog::effects(Kind kind, const sql::QualifiedName& name) const {
  bool known = false;
  for (const Object& object : of_name(kind, name.name)) {
    if (!name.schema.empty() && name.schema != object.schema) continue;
    known = true;
    if (object.user_effects) return true;
  }
  // An unknown relation, type or operator is most likely a new one of plain kind; an unknown function may do anything.
  return !known && kind == Kind::function;
}

bool Catalog::write_may_have_user_effects(const sql::QualifiedName& relation) const {
  const auto objects = of_name(Kind::relation, relation.name);
  return std::any_of(objects.begin(), objects.end(), [&](const Object& object) {
    return object.fires && (relation.schema.empty() || relation.schema == object.schema);
  });
}

Safety Catalog::type(const sql::QualifiedName& name) const {
  const Safety found = safety(Kind::type, name);
  // An array type is as safe as its elements; "_t" is the name of the array of "t".
  if (found != Safety::unknown || !name.name.starts_with('_')) return found;
  return safety(Kind::type, {name.schema, name.name.substr(1)});
}

bool Catalog::attribute_may_have_user_effects(std::string_view name) const {
  return column_functions_.contains(name) && may_have_user_effects({"", std::string(name)});
}

Safety Catalog::attribute(std::string_view name) const {
  return column_functions_.find(name) == column_functions_.end() ? Safety::safe : Safety::unsafe;
}

}  // namespace pgweir::routing
