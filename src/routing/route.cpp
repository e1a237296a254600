// The decision table. Two tables, both read from top to bottom: `kStatements` says for each kind of statement whether
// its text may be a read at all; `kTable` decides. The first row that applies wins; the last row always applies.
#include "routing/route.h"

#include <algorithm>
#include <array>

#include "routing/catalog_verdict.h"

namespace pgweir::routing {
namespace {

using sql::Hint;
using sql::StatementFacts;
using sql::StatementKind;
using Transaction = SessionFacts::Transaction;

// --- What the text of one statement says ---------------------------------------------------------

enum class Text : std::uint8_t { primary, read, prepared, cursor };

struct StatementRow {
  StatementKind kind;
  Text text;      ///< `read`: if the facts say reads_only; `prepared`: as what EXECUTE names
  Reason reason;  ///< when it is a read, or for Text::primary always
};

constexpr std::array kStatements = {
    StatementRow{StatementKind::empty, Text::primary, Reason::empty},
    StatementRow{StatementKind::query, Text::read, Reason::read},
    StatementRow{StatementKind::write, Text::primary, Reason::write},
    StatementRow{StatementKind::ddl, Text::primary, Reason::ddl},
    StatementRow{StatementKind::maintenance, Text::primary, Reason::maintenance},
    StatementRow{StatementKind::begin, Text::primary, Reason::begin},
    StatementRow{StatementKind::commit, Text::primary, Reason::session_command},
    StatementRow{StatementKind::rollback, Text::primary, Reason::session_command},
    StatementRow{StatementKind::savepoint, Text::primary, Reason::session_command},
    StatementRow{StatementKind::rollback_to_savepoint, Text::primary, Reason::session_command},
    StatementRow{StatementKind::release_savepoint, Text::primary, Reason::session_command},
    StatementRow{StatementKind::two_phase, Text::primary, Reason::two_phase},
    StatementRow{StatementKind::set, Text::primary, Reason::session_setting},
    StatementRow{StatementKind::set_local, Text::primary, Reason::session_setting},
    StatementRow{StatementKind::set_transaction, Text::primary, Reason::session_setting},
    StatementRow{StatementKind::set_session_characteristics, Text::primary, Reason::session_setting},
    StatementRow{StatementKind::set_constraints, Text::primary, Reason::session_setting},
    StatementRow{StatementKind::show, Text::primary, Reason::show},
    StatementRow{StatementKind::discard, Text::primary, Reason::session_command},
    StatementRow{StatementKind::prepare, Text::primary, Reason::session_command},
    StatementRow{StatementKind::execute, Text::prepared, Reason::prepared_read},
    StatementRow{StatementKind::deallocate, Text::primary, Reason::session_command},
    StatementRow{StatementKind::declare_cursor, Text::cursor, Reason::cursor},
    StatementRow{StatementKind::fetch, Text::primary, Reason::cursor},
    StatementRow{StatementKind::close_cursor, Text::primary, Reason::cursor},
    StatementRow{StatementKind::copy_in, Text::primary, Reason::copy_in},
    StatementRow{StatementKind::copy_out, Text::read, Reason::copy_out},
    StatementRow{StatementKind::listen, Text::primary, Reason::listen},
    StatementRow{StatementKind::unlisten, Text::primary, Reason::listen},
    StatementRow{StatementKind::load, Text::primary, Reason::session_command},
    StatementRow{StatementKind::call, Text::primary, Reason::call_or_do},
    StatementRow{StatementKind::do_block, Text::primary, Reason::call_or_do},
    StatementRow{StatementKind::show_pool, Text::primary, Reason::show},
    StatementRow{StatementKind::explain_route, Text::primary, Reason::local_command},
    StatementRow{StatementKind::unknown, Text::primary, Reason::unparsed},
};

constexpr bool one_row_per_kind() {
  for (std::size_t i = 0; i < kStatements.size(); ++i) {
    if (static_cast<std::size_t>(kStatements[i].kind) != i) return false;
  }
  return kStatements.size() == static_cast<std::size_t>(StatementKind::unknown) + 1;
}
static_assert(one_row_per_kind(), "kStatements has one row per StatementKind, in the order of the enum");

// --- One case to be decided ----------------------------------------------------------------------

struct Case {
  sql::CachedFacts& entry;
  const Hint& hint;
  const SessionFacts& session;
  const PreparedLookup& prepared;
  const Catalog* catalog;
  /// What the rows find out on their way.
  Reason found = Reason::read;
  std::string_view subject{};
  base::NodeSet nodes = base::NodeSet::all();

  [[nodiscard]] const std::vector<StatementFacts>& statements() const { return entry.facts.statements; }
};

struct TextVerdict {
  bool read;
  Reason reason;
  std::string_view subject{};
};

TextVerdict judge_prepared(Case& c, const StatementFacts& statement) {
  const sql::CachedFactsPtr named = c.prepared.find(statement.name);
  if (!named) return {false, Reason::prepared_unknown, statement.name};
  const auto reads = [](const StatementFacts& inner) { return inner.reads_only; };
  const auto& inner = named->facts.statements;
  const CatalogVerdict verdict = catalog_verdict(*named, c.catalog);
  const bool read =
      !named->learned_write && std::all_of(inner.begin(), inner.end(), reads) && verdict.reason == Reason::read;
  c.nodes = c.nodes & verdict.nodes;
  return {read, read ? Reason::prepared_read : Reason::prepared_write, statement.name};
}

TextVerdict judge_text(Case& c, const StatementFacts& statement) {
  const StatementRow& row = kStatements[static_cast<std::size_t>(statement.kind)];
  const Reason not_read = statement.row_lock_or_into ? Reason::row_lock_or_into : Reason::write;
  switch (row.text) {
    case Text::read: return {statement.reads_only, statement.reads_only ? row.reason : not_read};
    case Text::prepared: return judge_prepared(c, statement);
    case Text::cursor: {
      const bool in_transaction = c.session.transaction == Transaction::lazy_begin;
      return {in_transaction && statement.reads_only && !statement.with_hold, row.reason, statement.name};
    }
    case Text::primary: break;
  }
  return {false, row.reason == Reason::write ? not_read : row.reason};
}

// --- The conditions ------------------------------------------------------------------------------

bool is_replication(Case& c) { return c.session.replication; }

bool is_ours(Case& c) {
  const StatementKind kind = c.statements().front().kind;
  return c.statements().size() == 1 && (kind == StatementKind::show_pool || kind == StatementKind::explain_route);
}

bool transaction_is_open(Case& c) { return c.session.transaction == Transaction::open; }
bool encoding_is_unsafe(Case& c) { return c.session.unsafe_encoding; }
bool was_refused(Case& c) { return c.entry.learned_write; }
bool hint_is_invalid(Case& c) { return c.hint.kind == Hint::Kind::invalid; }
bool hint_is_primary(Case& c) { return c.hint.kind == Hint::Kind::primary; }
bool is_serializable(Case& c) { return c.session.serializable; }
bool has_temporary(Case& c) { return c.session.has_temporary; }
bool state_is_unknown(Case& c) { return c.session.unknown_state; }

/// The strictest statement wins: the first that is no read.
bool text_is_no_read(Case& c) {
  for (const StatementFacts& statement : c.statements()) {
    const TextVerdict verdict = judge_text(c, statement);
    c.found = verdict.reason;
    c.subject = verdict.subject;
    if (!verdict.read) return true;
  }
  return false;
}

bool begin_may_write(Case& c) {
  return c.session.transaction == Transaction::lazy_begin && (!c.session.lazy_read_only || c.session.lazy_serializable);
}

/// A hint moves what the catalog would keep on the primary, but never what changes the session.
bool hint_may_move(const Case& c) { return !effects_of(c.entry, c.catalog).unknown && !binds_session(c.entry.facts); }
bool hint_names_node(Case& c) { return c.hint.kind == Hint::Kind::node && hint_may_move(c); }
bool hint_is_standby(Case& c) {
  if (c.hint.kind != Hint::Kind::standby || !hint_may_move(c)) return false;
  // Who asks for a standby for what none is known to have gets any.
  c.nodes = c.nodes & catalog_verdict(c.entry, c.catalog).nodes;
  if (c.nodes.none()) c.nodes = base::NodeSet::all();
  return true;
}

bool reads_go_to_primary(Case& c) { return c.session.reads == ReadsMode::primary; }

bool catalog_objects(Case& c) {
  const CatalogVerdict verdict = catalog_verdict(c.entry, c.catalog);
  c.nodes = c.nodes & verdict.nodes;
  if (verdict.reason == Reason::read) return false;
  c.found = verdict.reason;
  c.subject = verdict.subject;
  return true;
}

/// What a transaction reads later may not be where its first statement ran.
bool is_not_replicated(Case& c) {
  const bool begins = c.session.transaction == Transaction::lazy_begin;
  return c.nodes.none() || (begins && c.session.partial_standbys);
}

bool begins_transaction(Case& c) { return c.session.transaction == Transaction::lazy_begin; }
bool always(Case&) { return true; }

// --- The table -----------------------------------------------------------------------------------

/// The reason that the condition found.
constexpr std::optional<Reason> kFound = std::nullopt;

struct Row {
  bool (*applies)(Case&);
  NodeClass node_class;
  std::optional<Reason> reason;
};

constexpr std::array kTable = {
    Row{is_replication, NodeClass::primary, Reason::replication_connection},
    Row{is_ours, NodeClass::pgweir, Reason::local_command},
    Row{transaction_is_open, NodeClass::current, Reason::open_transaction},
    Row{encoding_is_unsafe, NodeClass::primary, Reason::unsafe_encoding},
    Row{was_refused, NodeClass::primary, Reason::learned_write},
    Row{text_is_no_read, NodeClass::primary, kFound},
    Row{hint_is_invalid, NodeClass::primary, Reason::hint_invalid},
    Row{hint_is_primary, NodeClass::primary, Reason::hint_primary},
    Row{is_serializable, NodeClass::primary, Reason::serializable},
    Row{has_temporary, NodeClass::primary, Reason::temporary_tables},
    Row{state_is_unknown, NodeClass::primary, Reason::unknown_session_state},
    Row{begin_may_write, NodeClass::primary, Reason::begin},
    Row{hint_names_node, NodeClass::node, Reason::hint_node},
    Row{hint_is_standby, NodeClass::standby, Reason::hint_standby},
    Row{reads_go_to_primary, NodeClass::primary, Reason::reads_primary},
    Row{catalog_objects, NodeClass::primary, kFound},
    Row{is_not_replicated, NodeClass::primary, Reason::not_replicated},
    Row{begins_transaction, NodeClass::standby, Reason::begin_read_only},
    Row{always, NodeClass::standby, kFound},
};

}  // namespace

Route decide(const sql::Classified& query, const SessionFacts& session, const PreparedLookup& prepared,
             const Catalog* catalog) {
  Case c{*query.entry, query.hint, session, prepared, catalog};
  const Row* row = kTable.data();
  while (!row->applies(c)) ++row;
  Route route{row->node_class, row->reason.value_or(c.found), {}, {}, c.nodes};
  if (!row->reason.has_value()) route.subject = c.subject;
  if (route.node_class == NodeClass::node) route.node = query.hint.node;
  return route;
}

}  // namespace pgweir::routing
