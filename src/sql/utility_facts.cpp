// One row per kind of statement: which kind it is, and a function for what else its tree says. What has no row changes
// the catalog or is new to us: `ddl`, which runs on the primary.
#include "sql/utility_facts.h"

#include <array>
#include <utility>

#include "sql/tokenizer.h"
#include "sql/tree_names.h"

namespace pgweir::sql {
namespace {

/// DECLARE ... WITH HOLD (CURSOR_OPT_HOLD in nodes/parsenodes.h).
constexpr int kCursorWithHold = 0x0020;

/// What the names of pgweir's own settings begin with.
constexpr std::string_view kOwnSettings = "pgweir.";

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = fold(c);
  return result;
}

/// Integer constants of the grammar: 1 for on.
bool is_on(const PgQuery__Node* node) {
  const auto* constant = as<PgQuery__AConst>(unwrap(node), pg_query__a__const__descriptor);
  if (constant == nullptr) return true;
  switch (constant->val_case) {
    case PG_QUERY__A__CONST__VAL_IVAL: return constant->ival->ival != 0;
    case PG_QUERY__A__CONST__VAL_BOOLVAL: return constant->boolval->boolval != 0;
    case PG_QUERY__A__CONST__VAL_SVAL: {
      const std::string word = lower(constant->sval->sval);
      return word != "off" && word != "false" && word != "no" && word != "0" && word != "f" && word != "n" &&
             word != "of";
    }
    default: return true;
  }
}

std::string_view constant_text(const PgQuery__Node* node) {
  const auto* constant = as<PgQuery__AConst>(unwrap(node), pg_query__a__const__descriptor);
  if (constant == nullptr || constant->val_case != PG_QUERY__A__CONST__VAL_SVAL) return {};
  return constant->sval->sval;
}

/// What SET makes of a value (backend/utils/misc/guc_funcs.c, flatten_set_variable_args).
std::string value_text(const PgQuery__Node* node) {
  const auto* constant = as<PgQuery__AConst>(unwrap(node), pg_query__a__const__descriptor);
  if (constant == nullptr) return {};
  switch (constant->val_case) {
    case PG_QUERY__A__CONST__VAL_SVAL: return constant->sval->sval;
    case PG_QUERY__A__CONST__VAL_IVAL: return std::to_string(constant->ival->ival);
    case PG_QUERY__A__CONST__VAL_FVAL: return constant->fval->fval;
    default: return {};
  }
}

std::optional<Isolation> isolation_of(std::string_view text) {
  const std::string name = lower(text);
  if (name == "serializable") return Isolation::serializable;
  if (name == "repeatable read") return Isolation::repeatable_read;
  if (name == "read committed") return Isolation::read_committed;
  if (name == "read uncommitted") return Isolation::read_uncommitted;
  return std::nullopt;
}

void transaction_modes(PgQuery__Node* const* options, std::size_t count, StatementFacts& facts) {
  for (std::size_t i = 0; i < count; ++i) {
    const auto* option = as<PgQuery__DefElem>(unwrap(options[i]), pg_query__def_elem__descriptor);
    if (option == nullptr) continue;
    const std::string_view name = option->defname;
    if (name == "transaction_isolation") facts.isolation = isolation_of(constant_text(option->arg));
    if (name == "transaction_read_only") facts.read_only = is_on(option->arg);
    if (name == "transaction_deferrable") facts.deferrable = is_on(option->arg);
  }
}

using Fill = void (*)(const ProtobufCMessage& message, const TreeFindings& found, StatementFacts& facts);

template <class T>
const T& to(const ProtobufCMessage& message) {
  return reinterpret_cast<const T&>(message);
}

void fill_select(const ProtobufCMessage&, const TreeFindings& found, StatementFacts& facts) {
  facts.reads_only = !found.modifies && !found.row_lock_or_into;
  facts.row_lock_or_into = found.row_lock_or_into && !found.modifies;
  facts.kind = facts.reads_only ? StatementKind::query : StatementKind::write;
  facts.creates_temporary = found.row_lock_or_into && found.temporary;
}

void fill_ddl(const ProtobufCMessage&, const TreeFindings& found, StatementFacts& facts) {
  facts.creates_temporary = found.temporary;
}

void fill_create_table_as(const ProtobufCMessage& message, const TreeFindings& found, StatementFacts& facts) {
  facts.creates_temporary = found.temporary;
  const auto* execute = as<PgQuery__ExecuteStmt>(unwrap(to<PgQuery__CreateTableAsStmt>(message).query),
                                                 pg_query__execute_stmt__descriptor);
  if (execute != nullptr) facts.executes = execute->name;
}

void fill_transaction(const ProtobufCMessage& message, const TreeFindings&, StatementFacts& facts) {
  const auto& statement = to<PgQuery__TransactionStmt>(message);
  constexpr std::array<std::pair<int, StatementKind>, 10> kKinds = {{
      {PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_BEGIN, StatementKind::begin},
      {PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_START, StatementKind::begin},
      {PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_COMMIT, StatementKind::commit},
      {PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_ROLLBACK, StatementKind::rollback},
      {PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_SAVEPOINT, StatementKind::savepoint},
      {PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_RELEASE, StatementKind::release_savepoint},
      {PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_ROLLBACK_TO, StatementKind::rollback_to_savepoint},
      {PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_PREPARE, StatementKind::two_phase},
      {PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_COMMIT_PREPARED, StatementKind::two_phase},
      {PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_ROLLBACK_PREPARED, StatementKind::two_phase},
  }};
  facts.kind = StatementKind::unknown;
  for (const auto& [code, kind] : kKinds) {
    if (code == static_cast<int>(statement.kind)) facts.kind = kind;
  }
  facts.name = statement.savepoint_name;
  facts.chain = statement.chain != 0;
  transaction_modes(statement.options, statement.n_options, facts);
}

/// SET transaction_read_only = ... and its kin speak of the open transaction, as SET TRANSACTION does.
bool sets_transaction(const PgQuery__VariableSetStmt& statement, StatementFacts& facts) {
  if (statement.kind != PG_QUERY__VARIABLE_SET_KIND__VAR_SET_VALUE) return false;
  const PgQuery__Node* value = statement.n_args > 0 ? statement.args[0] : nullptr;
  if (facts.name == "transaction_isolation")
    facts.isolation = isolation_of(constant_text(value));
  else if (facts.name == "transaction_read_only")
    facts.read_only = is_on(value);
  else if (facts.name != "transaction_deferrable")
    return false;
  return true;
}

void fill_set(const ProtobufCMessage& message, const TreeFindings& found, StatementFacts& facts) {
  const auto& statement = to<PgQuery__VariableSetStmt>(message);
  facts.name = lower(statement.name);
  if (statement.kind == PG_QUERY__VARIABLE_SET_KIND__VAR_SET_MULTI) {
    facts.kind = facts.name == "session characteristics" ? StatementKind::set_session_characteristics
                                                         : StatementKind::set_transaction;
    transaction_modes(statement.args, statement.n_args, facts);
    return;
  }
  facts.kind = statement.is_local != 0 ? StatementKind::set_local : StatementKind::set;
  if (sets_transaction(statement, facts)) facts.kind = StatementKind::set_transaction;
  facts.reset_all = statement.kind == PG_QUERY__VARIABLE_SET_KIND__VAR_RESET_ALL;
  facts.to_default = statement.kind == PG_QUERY__VARIABLE_SET_KIND__VAR_RESET ||
                     statement.kind == PG_QUERY__VARIABLE_SET_KIND__VAR_SET_DEFAULT;
  facts.from_current = statement.kind == PG_QUERY__VARIABLE_SET_KIND__VAR_SET_CURRENT;
  if (facts.name.starts_with(kOwnSettings) && statement.n_args > 0) facts.own_value = value_text(statement.args[0]);
  // With pg_temp in front of the path, a plain CREATE TABLE makes a temporary one.
  if (facts.name == "search_path") facts.creates_temporary = found.temporary;
}

void fill_show(const ProtobufCMessage& message, const TreeFindings&, StatementFacts& facts) {
  facts.name = lower(to<PgQuery__VariableShowStmt>(message).name);
  if (facts.name.starts_with("pool_") || facts.name == "pins") facts.kind = StatementKind::show_pool;
}

void fill_discard(const ProtobufCMessage& message, const TreeFindings&, StatementFacts& facts) {
  switch (to<PgQuery__DiscardStmt>(message).target) {
    case PG_QUERY__DISCARD_MODE__DISCARD_PLANS: facts.name = "plans"; break;
    case PG_QUERY__DISCARD_MODE__DISCARD_SEQUENCES: facts.name = "sequences"; break;
    case PG_QUERY__DISCARD_MODE__DISCARD_TEMP: facts.name = "temp"; break;
    default:
      facts.name = "all";
      facts.discard_all = true;
      break;
  }
}

void fill_prepare(const ProtobufCMessage& message, const TreeFindings& found, StatementFacts& facts) {
  const auto& statement = to<PgQuery__PrepareStmt>(message);
  facts.name = statement.name;
  const ProtobufCMessage* inner = unwrap(statement.query);
  facts.reads_only = inner != nullptr && inner->descriptor == &pg_query__select_stmt__descriptor && !found.modifies &&
                     !found.row_lock_or_into;
  facts.row_lock_or_into = found.row_lock_or_into && !found.modifies;
}

void fill_execute(const ProtobufCMessage& message, const TreeFindings&, StatementFacts& facts) {
  facts.name = to<PgQuery__ExecuteStmt>(message).name;
}

void fill_deallocate(const ProtobufCMessage& message, const TreeFindings&, StatementFacts& facts) {
  facts.name = to<PgQuery__DeallocateStmt>(message).name;
}

void fill_declare(const ProtobufCMessage& message, const TreeFindings& found, StatementFacts& facts) {
  const auto& statement = to<PgQuery__DeclareCursorStmt>(message);
  facts.name = statement.portalname;
  facts.with_hold = (statement.options & kCursorWithHold) != 0;
  facts.reads_only = !found.modifies && !found.row_lock_or_into;
  facts.row_lock_or_into = found.row_lock_or_into && !found.modifies;
}

void fill_fetch(const ProtobufCMessage& message, const TreeFindings&, StatementFacts& facts) {
  facts.name = to<PgQuery__FetchStmt>(message).portalname;
}

void fill_close(const ProtobufCMessage& message, const TreeFindings&, StatementFacts& facts) {
  facts.name = to<PgQuery__ClosePortalStmt>(message).portalname;
}

void fill_listen(const ProtobufCMessage& message, const TreeFindings&, StatementFacts& facts) {
  facts.name = to<PgQuery__ListenStmt>(message).conditionname;
}

void fill_unlisten(const ProtobufCMessage& message, const TreeFindings&, StatementFacts& facts) {
  facts.name = to<PgQuery__UnlistenStmt>(message).conditionname;
}

void fill_load(const ProtobufCMessage& message, const TreeFindings&, StatementFacts& facts) {
  facts.name = to<PgQuery__LoadStmt>(message).filename;
}

void fill_copy(const ProtobufCMessage& message, const TreeFindings& found, StatementFacts& facts) {
  const auto& statement = to<PgQuery__CopyStmt>(message);
  const bool client = statement.is_program == 0 && std::string_view(statement.filename).empty();
  facts.reads_only = client && statement.is_from == 0 && !found.modifies && !found.row_lock_or_into;
  facts.row_lock_or_into = found.row_lock_or_into && !found.modifies;
  if (!client)
    facts.kind = StatementKind::write;
  else
    facts.kind = statement.is_from != 0 ? StatementKind::copy_in : StatementKind::copy_out;
}

/// The facts are those of what is explained. Without ANALYZE nothing runs, but the planner may evaluate functions, and
/// a standby refuses to plan some writes: so what is a write stays one.
void fill_explain(const ProtobufCMessage& message, const TreeFindings& found, StatementFacts& facts) {
  const PgQuery__Node* query = to<PgQuery__ExplainStmt>(message).query;
  facts.explain = true;
  const ProtobufCMessage* inner = unwrap(query);
  if (inner == nullptr) {
    facts.kind = StatementKind::unknown;
  } else if (inner->descriptor == &pg_query__select_stmt__descriptor ||
             inner->descriptor == &pg_query__declare_cursor_stmt__descriptor) {
    fill_select(*inner, found, facts);
  } else if (const auto* execute = as<PgQuery__ExecuteStmt>(inner, pg_query__execute_stmt__descriptor)) {
    facts.kind = StatementKind::execute;
    facts.name = execute->name;
  } else {
    facts.kind = StatementKind::write;
    facts.creates_temporary = found.temporary;
  }
}

struct Row {
  PgQuery__Node__NodeCase node;
  StatementKind kind;
  Fill fill;
};

constexpr std::array kRows = {
    Row{PG_QUERY__NODE__NODE_SELECT_STMT, StatementKind::query, fill_select},
    Row{PG_QUERY__NODE__NODE_INSERT_STMT, StatementKind::write, nullptr},
    Row{PG_QUERY__NODE__NODE_UPDATE_STMT, StatementKind::write, nullptr},
    Row{PG_QUERY__NODE__NODE_DELETE_STMT, StatementKind::write, nullptr},
    Row{PG_QUERY__NODE__NODE_MERGE_STMT, StatementKind::write, nullptr},
    Row{PG_QUERY__NODE__NODE_CREATE_TABLE_AS_STMT, StatementKind::ddl, fill_create_table_as},
    Row{PG_QUERY__NODE__NODE_EXPLAIN_STMT, StatementKind::query, fill_explain},
    Row{PG_QUERY__NODE__NODE_COPY_STMT, StatementKind::copy_out, fill_copy},
    Row{PG_QUERY__NODE__NODE_TRANSACTION_STMT, StatementKind::begin, fill_transaction},
    Row{PG_QUERY__NODE__NODE_VARIABLE_SET_STMT, StatementKind::set, fill_set},
    Row{PG_QUERY__NODE__NODE_VARIABLE_SHOW_STMT, StatementKind::show, fill_show},
    Row{PG_QUERY__NODE__NODE_CONSTRAINTS_SET_STMT, StatementKind::set_constraints, nullptr},
    Row{PG_QUERY__NODE__NODE_DISCARD_STMT, StatementKind::discard, fill_discard},
    Row{PG_QUERY__NODE__NODE_PREPARE_STMT, StatementKind::prepare, fill_prepare},
    Row{PG_QUERY__NODE__NODE_EXECUTE_STMT, StatementKind::execute, fill_execute},
    Row{PG_QUERY__NODE__NODE_DEALLOCATE_STMT, StatementKind::deallocate, fill_deallocate},
    Row{PG_QUERY__NODE__NODE_DECLARE_CURSOR_STMT, StatementKind::declare_cursor, fill_declare},
    Row{PG_QUERY__NODE__NODE_FETCH_STMT, StatementKind::fetch, fill_fetch},
    Row{PG_QUERY__NODE__NODE_CLOSE_PORTAL_STMT, StatementKind::close_cursor, fill_close},
    Row{PG_QUERY__NODE__NODE_LISTEN_STMT, StatementKind::listen, fill_listen},
    Row{PG_QUERY__NODE__NODE_UNLISTEN_STMT, StatementKind::unlisten, fill_unlisten},
    Row{PG_QUERY__NODE__NODE_LOAD_STMT, StatementKind::load, fill_load},
    Row{PG_QUERY__NODE__NODE_CALL_STMT, StatementKind::call, nullptr},
    Row{PG_QUERY__NODE__NODE_DO_STMT, StatementKind::do_block, nullptr},
    Row{PG_QUERY__NODE__NODE_VACUUM_STMT, StatementKind::maintenance, nullptr},
    Row{PG_QUERY__NODE__NODE_CLUSTER_STMT, StatementKind::maintenance, nullptr},
    Row{PG_QUERY__NODE__NODE_REINDEX_STMT, StatementKind::maintenance, nullptr},
    Row{PG_QUERY__NODE__NODE_CHECK_POINT_STMT, StatementKind::maintenance, nullptr},
    Row{PG_QUERY__NODE__NODE_LOCK_STMT, StatementKind::maintenance, nullptr},
    Row{PG_QUERY__NODE__NODE_NOTIFY_STMT, StatementKind::maintenance, nullptr},
    // They change nothing that routing looks up, so what is known of the catalog stays good.
    Row{PG_QUERY__NODE__NODE_TRUNCATE_STMT, StatementKind::write, nullptr},
    Row{PG_QUERY__NODE__NODE_REFRESH_MAT_VIEW_STMT, StatementKind::write, nullptr},
    Row{PG_QUERY__NODE__NODE_COMMENT_STMT, StatementKind::maintenance, nullptr},
    Row{PG_QUERY__NODE__NODE_GRANT_STMT, StatementKind::maintenance, nullptr},
    Row{PG_QUERY__NODE__NODE_GRANT_ROLE_STMT, StatementKind::maintenance, nullptr},
};
constexpr Row kOther{PG_QUERY__NODE__NODE__NOT_SET, StatementKind::ddl, fill_ddl};

}  // namespace

StatementFacts facts_of_statement(const PgQuery__Node& statement) {
  StatementFacts facts;
  const ProtobufCMessage* message = unwrap(&statement);
  if (message == nullptr) return facts;
  const Row* row = &kOther;
  for (const Row& candidate : kRows) {
    if (candidate.node == statement.node_case) row = &candidate;
  }
  const TreeFindings found = collect_names(*message, facts);
  facts.kind = row->kind;
  if (row->fill != nullptr) row->fill(*message, found, facts);
  facts.asks_for_setting = facts.kind == StatementKind::show;
  for (const QualifiedName& function : facts.functions) {
    if (function.name == "current_setting") facts.asks_for_setting = true;
    if (function.name == "currval" || function.name == "lastval") facts.asks_for_sequence = true;
  }
  return facts;
}

}  // namespace pgweir::sql
