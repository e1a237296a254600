// Where an exchange runs: each of its statements is put to the routing table, the strictest answer wins.
#include "routing/route.h"
#include "session/session.h"

namespace pgweir::session {

namespace {

using sql::StatementKind;

constexpr std::size_t kMostUnexplained = 64;

/// Whether a statement leaves the database as it was, whatever it does to the session.
bool changes_nothing(StatementKind kind) {
  switch (kind) {
    case StatementKind::empty:
    case StatementKind::begin:
    case StatementKind::commit:
    case StatementKind::rollback:
    case StatementKind::savepoint:
    case StatementKind::rollback_to_savepoint:
    case StatementKind::release_savepoint:
    case StatementKind::set:
    case StatementKind::set_local:
    case StatementKind::set_transaction:
    case StatementKind::set_session_characteristics:
    case StatementKind::set_constraints:
    case StatementKind::show:
    case StatementKind::discard:
    case StatementKind::prepare:
    case StatementKind::deallocate:
    case StatementKind::close_cursor:
    case StatementKind::listen:
    case StatementKind::unlisten: return true;
    default: return false;
  }
}

}  // namespace

routing::SessionFacts Session::facts() const {
  routing::SessionFacts facts;
  using Known = routing::SessionFacts::Transaction;
  facts.transaction = transaction_ == Transaction::open   ? Known::open
                      : transaction_ == Transaction::lazy ? Known::lazy_begin
                                                          : Known::none;
  facts.lazy_read_only = lazy_facts_.read_only.value_or(false);
  facts.lazy_serializable = lazy_facts_.isolation == sql::Isolation::serializable;
  facts.has_temporary = carried_.has_temporary();
  facts.unknown_state = carried_.has_unknown() || !unexplained_.empty();
  facts.unsafe_encoding = unsafe_encoding_;
  facts.replication = startup_class_.replication();
  facts.reads = worker_.settings().routing.reads == config::Reads::primary ? routing::ReadsMode::primary
                                                                           : routing::ReadsMode::standbys;
  return facts;
}

const routing::Catalog* Session::catalog() const { return database_state_->usable(); }

void Session::plan_statement(const sql::Classified& query) {
  if (!unexplained_.empty()) explain_effects();
  const routing::SessionFacts session = facts();
  routing::Route route = routing::decide(query, session, prepared_, catalog());
  bool proven_read = route.node_class == routing::NodeClass::standby;
  if (transaction_ != Transaction::none && !proven_read) {
    routing::SessionFacts outside = session;
    outside.transaction = routing::SessionFacts::Transaction::none;
    proven_read = routing::decide(query, outside, prepared_, catalog()).node_class == routing::NodeClass::standby;
  }
  for (const auto& statement : query.entry->facts.statements) {
    if (!proven_read && !changes_nothing(statement.kind)) plan_.wrote = true;
  }
  if (plan_.decided && plan_.node_class == routing::NodeClass::primary) return;
  // Standby, a named node, primary: from the most lenient to the strictest.
  const bool stricter = !plan_.decided || route.node_class != routing::NodeClass::standby;
  if (!stricter) return;
  if (plan_.decided && plan_.node_class == routing::NodeClass::node && route.node_class == routing::NodeClass::node &&
      route.node != plan_.node) {
    plan_primary(routing::Reason::hint_invalid);
    return;
  }
  plan_.decided = true;
  plan_.node_class = route.node_class;
  plan_.reason = route.reason;
  plan_.node = route.node;
}

void Session::plan_primary(routing::Reason reason) {
  using enum routing::Reason;
  if (reason == prepared_unknown || reason == too_large || reason == function_call) plan_.wrote = true;
  if (plan_.decided &&
      (plan_.node_class == routing::NodeClass::primary || plan_.node_class == routing::NodeClass::current))
    return;
  plan_.decided = true;
  plan_.node_class = transaction_ == Transaction::open ? routing::NodeClass::current : routing::NodeClass::primary;
  plan_.reason = reason;
}

EffectsPtr Session::effects_for(const sql::Classified& query, std::string_view text) {
  bool unknown = routing::effects_of(*query.entry, catalog()).unknown;
  if (unknown && !catalog() && unexplained_.size() < kMostUnexplained) {
    unexplained_.push_back(query.entry);
    unknown = false;
  }
  return effects_of_query(query.entry->facts, text, unknown);
}

/// What runs on the primary may change the session in ways that cannot be seen.
void Session::mark_unknown() {
  if (!carried_.is_bound_to_server()) bound_node_ = worker_.topology().primary.value_or(bound_node_);
  carried_.mark_unknown();
}

/// The catalog may be there by now: what ran without it either changed nothing, or ties the session to its server.
void Session::explain_effects() {
  if (!catalog()) return;
  for (const auto& entry : unexplained_)
    if (routing::effects_of(*entry, catalog()).unknown) mark_unknown();
  unexplained_.clear();
}

}  // namespace pgweir::session
