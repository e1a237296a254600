// A generic walk over the messages of the tree by their descriptors, so that no node type can be forgotten: what is not
// named in `note` is simply passed through. Only names of CTEs need care, because of where they are in scope.
#include "sql/tree_names.h"

#include <algorithm>
#include <deque>
#include <tuple>

namespace pgweir::sql {
namespace {

bool is_temporary_schema(std::string_view schema) noexcept {
  return schema == "pg_temp" || schema.starts_with("pg_temp_");
}

/// The CTEs in scope, innermost first.
struct Scope {
  const Scope* outer;
  std::string_view name;
};

struct Place {
  const ProtobufCMessage* message;
  const Scope* scope;
};

struct NodeList {
  std::size_t count;
  PgQuery__Node** nodes;
};

class Walk {
 public:
  explicit Walk(StatementFacts& facts) : facts_(facts) {}

  TreeFindings run(const ProtobufCMessage& root) {
    pending_.push_back({&root, nullptr});
    while (!pending_.empty()) {
      const Place place = pending_.back();
      pending_.pop_back();
      note(*place.message, place.scope);
      descend(place);
    }
    tidy(facts_.functions);
    tidy(facts_.relations);
    tidy(facts_.types);
    tidy(facts_.operators);
    std::sort(facts_.attributes.begin(), facts_.attributes.end());
    facts_.attributes.erase(std::unique(facts_.attributes.begin(), facts_.attributes.end()), facts_.attributes.end());
    return findings_;
  }

 private:
  static void tidy(std::vector<QualifiedName>& names) {
    const auto key = [](const QualifiedName& name) { return std::tie(name.schema, name.name); };
    std::sort(names.begin(), names.end(), [&](const auto& a, const auto& b) { return key(a) < key(b); });
    names.erase(std::unique(names.begin(), names.end()), names.end());
    names.shrink_to_fit();
  }

  void descend(const Place& place) {
    const PgQuery__WithClause* with = with_clause_of(*place.message);
    const Scope* scope = with != nullptr ? push_ctes(*with, place.scope) : place.scope;
    for_each_child(*place.message, [&](const ProtobufCMessage& child) {
      if (with == nullptr || &child != &with->base) pending_.push_back({&child, scope});
    });
  }

  /// WITH: a CTE sees those before it (all of them, itself too, when RECURSIVE); the statement sees all.
  const Scope* push_ctes(const PgQuery__WithClause& with, const Scope* outer) {
    const Scope* all = outer;
    std::vector<const ProtobufCMessage*> queries;
    for (std::size_t i = 0; i < with.n_ctes; ++i) {
      const auto* cte = as<PgQuery__CommonTableExpr>(unwrap(with.ctes[i]), pg_query__common_table_expr__descriptor);
      if (cte == nullptr) continue;
      if (with.recursive == 0)
        pending_.push_back({&cte->base, all});
      else
        queries.push_back(&cte->base);
      scopes_.push_back({all, cte->ctename});
      all = &scopes_.back();
    }
    for (const ProtobufCMessage* query : queries) pending_.push_back({query, all});
    return all;
  }

  static const PgQuery__WithClause* with_clause_of(const ProtobufCMessage& message) noexcept {
    if (const auto* select = as<PgQuery__SelectStmt>(&message, pg_query__select_stmt__descriptor))
      return select->with_clause;
    if (const auto* insert = as<PgQuery__InsertStmt>(&message, pg_query__insert_stmt__descriptor))
      return insert->with_clause;
    if (const auto* update = as<PgQuery__UpdateStmt>(&message, pg_query__update_stmt__descriptor))
      return update->with_clause;
    if (const auto* del = as<PgQuery__DeleteStmt>(&message, pg_query__delete_stmt__descriptor)) return del->with_clause;
    if (const auto* merge = as<PgQuery__MergeStmt>(&message, pg_query__merge_stmt__descriptor))
      return merge->with_clause;
    return nullptr;
  }

  void note(const ProtobufCMessage& message, const Scope* scope) {
    const ProtobufCMessageDescriptor* type = message.descriptor;
    if (const auto* column = as<PgQuery__ColumnRef>(&message, pg_query__column_ref__descriptor)) {
      if (column->n_fields > 1) attribute(column->fields[column->n_fields - 1]);
      if (column->n_fields > 0 && is_system_column(string_of(column->fields[column->n_fields - 1])))
        facts_.names_system_column = true;
    } else if (const auto* relation = as<PgQuery__RangeVar>(&message, pg_query__range_var__descriptor)) {
      range_var(*relation, scope);
    } else if (const auto* call = as<PgQuery__FuncCall>(&message, pg_query__func_call__descriptor)) {
      add(facts_.functions, {call->n_funcname, call->funcname});
    } else if (const auto* name = as<PgQuery__TypeName>(&message, pg_query__type_name__descriptor)) {
      add(facts_.types, {name->n_names, name->names});
    } else if (const auto* expression = as<PgQuery__AExpr>(&message, pg_query__a__expr__descriptor)) {
      operators(*expression);
    } else if (const auto* link = as<PgQuery__SubLink>(&message, pg_query__sub_link__descriptor)) {
      if (link->n_oper_name > 0)
        add(facts_.operators, {link->n_oper_name, link->oper_name});
      else if (link->testexpr != nullptr)
        facts_.operators.push_back({"", "="});  // x IN (SELECT ...)
    } else if (const auto* sort = as<PgQuery__SortBy>(&message, pg_query__sort_by__descriptor)) {
      if (sort->n_use_op > 0) add(facts_.operators, {sort->n_use_op, sort->use_op});
    } else if (const auto* join = as<PgQuery__JoinExpr>(&message, pg_query__join_expr__descriptor)) {
      if (join->is_natural != 0 || join->n_using_clause > 0) facts_.operators.push_back({"", "="});
    } else if (const auto* choice = as<PgQuery__CaseExpr>(&message, pg_query__case_expr__descriptor)) {
      if (choice->arg != nullptr) facts_.operators.push_back({"", "="});
    } else if (const auto* sample = as<PgQuery__RangeTableSample>(&message, pg_query__range_table_sample__descriptor)) {
      add(facts_.functions, {sample->n_method, sample->method});
    } else if (const auto* path = as<PgQuery__AIndirection>(&message, pg_query__a__indirection__descriptor)) {
      for (std::size_t i = 0; i < path->n_indirection; ++i) attribute(path->indirection[i]);
    } else if (const auto* text = as<PgQuery__String>(&message, pg_query__string__descriptor)) {
      if (is_temporary_schema(text->sval)) findings_.temporary = true;
    } else if (type == &pg_query__insert_stmt__descriptor || type == &pg_query__update_stmt__descriptor ||
               type == &pg_query__delete_stmt__descriptor || type == &pg_query__merge_stmt__descriptor) {
      findings_.modifies = true;
    } else if (type == &pg_query__into_clause__descriptor || type == &pg_query__locking_clause__descriptor) {
      findings_.row_lock_or_into = true;
    }
  }

  void range_var(const PgQuery__RangeVar& relation, const Scope* scope) {
    const std::string_view schema = relation.schemaname, name = relation.relname;
    if (std::string_view(relation.relpersistence) == "t" || is_temporary_schema(schema)) findings_.temporary = true;
    if (schema.empty()) {
      for (; scope != nullptr; scope = scope->outer) {
        if (scope->name == name) return;
      }
    }
    facts_.relations.push_back({std::string(schema), std::string(name)});
  }

  /// Forms that the grammar spells as keywords carry the operators that stand behind them.
  void operators(const PgQuery__AExpr& expression) {
    const auto implied = [this](std::string_view name) { facts_.operators.push_back({"", std::string(name)}); };
    switch (expression.kind) {
      case PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN:
      case PG_QUERY__A__EXPR__KIND__AEXPR_NOT_BETWEEN:
      case PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN_SYM:
      case PG_QUERY__A__EXPR__KIND__AEXPR_NOT_BETWEEN_SYM:
        for (const std::string_view name : {"<", "<=", ">", ">="}) implied(name);
        break;
      case PG_QUERY__A__EXPR__KIND__AEXPR_DISTINCT:
      case PG_QUERY__A__EXPR__KIND__AEXPR_NOT_DISTINCT:
      case PG_QUERY__A__EXPR__KIND__AEXPR_NULLIF: implied("="); break;
      default: add(facts_.operators, {expression.n_name, expression.name}); break;
    }
  }

  void attribute(const PgQuery__Node* node) {
    const std::string_view name = string_of(node);
    if (!name.empty()) facts_.attributes.emplace_back(name);
  }

  static void add(std::vector<QualifiedName>& names, NodeList parts) {
    if (parts.count == 0) return;
    const std::string_view name = string_of(parts.nodes[parts.count - 1]);
    const std::string_view schema = parts.count > 1 ? string_of(parts.nodes[parts.count - 2]) : std::string_view{};
    names.push_back({std::string(schema), std::string(name)});
  }

  StatementFacts& facts_;
  TreeFindings findings_;
  std::vector<Place> pending_;
  std::deque<Scope> scopes_;  ///< addresses must stay
};

}  // namespace

std::string_view string_of(const PgQuery__Node* node) noexcept {
  const auto* text = as<PgQuery__String>(unwrap(node), pg_query__string__descriptor);
  return text != nullptr ? std::string_view(text->sval) : std::string_view{};
}

TreeFindings collect_names(const ProtobufCMessage& root, StatementFacts& facts) { return Walk(facts).run(root); }

}  // namespace pgweir::sql
