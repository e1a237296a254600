// Where an exchange runs: each of its statements is put to the routing table, the strictest answer wins.
#include <algorithm>

#include "routing/route.h"
#include "session/session.h"
#include "wire/messages/frontend.h"

namespace pgweir::session {

namespace {

using sql::StatementKind;

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

/// It reads, wherever it runs: what is not replicated is read on the primary.
bool is_proven_read(const routing::Route& route) {
  return route.node_class == routing::NodeClass::standby || route.reason == routing::Reason::not_replicated;
}

}  // namespace

routing::SessionFacts Session::facts() const {
  routing::SessionFacts facts;
  using Known = routing::SessionFacts::Transaction;
  facts.transaction = work_->transaction == Transaction::open   ? Known::open
                      : work_->transaction == Transaction::lazy ? Known::lazy_begin
                                                                : Known::none;
  facts.lazy_read_only = work_->lazy_facts.read_only.value_or(false);
  facts.lazy_serializable = work_->lazy_facts.isolation == sql::Isolation::serializable;
  facts.has_temporary = work_->leases.is_pinned_for(PinReason::temporary);
  facts.unknown_state = work_->audit_is_due() || work_->leases.is_pinned_for(PinReason::unknown);
  facts.serializable = carried_.is_serializable();
  facts.unsafe_encoding = unsafe_encoding_;
  facts.replication = startup_class_->replication();
  facts.partial_standbys = worker_.topology().independent_nodes;
  facts.reads = worker_.settings().routing.reads == config::Reads::primary ? routing::ReadsMode::primary
                                                                           : routing::ReadsMode::standbys;
  return facts;
}

const routing::Catalog* Session::catalog() const {
  // What a DDL statement of this transaction does is in no catalog yet.
  return work_->catalog_changed ? nullptr : account_->state->usable();
}

/// From when a DDL statement is taken from the client to the end of its transaction.
void Session::note_catalog_change(const EffectsPtr& effects) {
  if (effects && std::any_of(effects->begin(), effects->end(), [](const Effect& one) { return one.changes_catalog; }))
    work_->catalog_changed = true;
}

void Session::plan_statement(const sql::Classified& query) {
  const routing::SessionFacts session = facts();
  routing::Route route = routing::decide(query, session, prepared_, catalog());
  bool proven_read = is_proven_read(route);
  if (work_->transaction != Transaction::none && !proven_read) {
    routing::SessionFacts outside = session;
    outside.transaction = routing::SessionFacts::Transaction::none;
    proven_read = is_proven_read(routing::decide(query, outside, prepared_, catalog()));
  }
  for (const auto& statement : query.entry->facts.statements) {
    if (!proven_read && !changes_nothing(statement.kind)) work_->plan.wrote = true;
  }
  if (work_->plan.decided && work_->plan.node_class == routing::NodeClass::primary) return;
  if (route.node_class == routing::NodeClass::standby) {
    work_->plan.nodes = work_->plan.nodes & route.nodes;
    if (work_->plan.nodes.none()) return plan_primary(routing::Reason::not_replicated);
  }
  // Standby, a named node, primary: from the most lenient to the strictest.
  const bool stricter = !work_->plan.decided || route.node_class != routing::NodeClass::standby;
  if (!stricter) return;
  if (work_->plan.decided && work_->plan.node_class == routing::NodeClass::node &&
      route.node_class == routing::NodeClass::node && route.node != work_->plan.node) {
    plan_primary(routing::Reason::hint_invalid);
    return;
  }
  work_->plan.decided = true;
  work_->plan.node_class = route.node_class;
  work_->plan.reason = route.reason;
  work_->plan.node = route.node;
}

void Session::plan_primary(routing::Reason reason) {
  using enum routing::Reason;
  if (reason == prepared_unknown || reason == too_large || reason == function_call) work_->plan.wrote = true;
  if (work_->plan.decided &&
      (work_->plan.node_class == routing::NodeClass::primary || work_->plan.node_class == routing::NodeClass::current))
    return;
  work_->plan.decided = true;
  work_->plan.node_class =
      work_->transaction == Transaction::open ? routing::NodeClass::current : routing::NodeClass::primary;
  work_->plan.reason = reason;
}

/// Whether what is gathered leaves the database as it was. Where routing.reads keeps everything on the primary, the
/// plan does not tell.
bool Session::only_reads() const {
  if (!work_->plan.wrote) return true;
  routing::SessionFacts session = facts();
  if (session.reads != routing::ReadsMode::primary) return false;
  session.reads = routing::ReadsMode::standbys;
  session.transaction = routing::SessionFacts::Transaction::none;
  const auto reads = [&](const sql::Classified& query) {
    const auto& statements = query.entry->facts.statements;
    const auto harmless = [](const auto& one) { return changes_nothing(one.kind); };
    return std::all_of(statements.begin(), statements.end(), harmless) ||
           is_proven_read(routing::decide(query, session, prepared_, catalog()));
  };
  const auto& messages = work_->exchange.messages();
  return std::all_of(messages.begin(), messages.end(), [&](const GatheredMessage& message) {
    if (message.unknown_effects || message.type == wire::frontend::kFunctionCall) return false;
    if (message.statement) return reads(message.statement->query);
    return !message.query || reads({message.query, {}});
  });
}

/// Neither its text nor the catalog knows of anything that concerns the session.
bool Session::is_ordinary_here(const sql::Classified& query) const {
  if (!is_ordinary(*query.entry)) return false;
  const routing::SessionEffects found = routing::effects_of(*query.entry, catalog());
  return !found.unknown && !found.lasting.any();
}

EffectsPtr Session::effects_for(const sql::Classified& query, std::string_view text) const {
  routing::SessionEffects found = routing::effects_of(*query.entry, catalog());
  // EXECUTE does what it names.
  for (const auto& statement : query.entry->facts.statements) {
    const std::string& name = statement.kind == StatementKind::execute ? statement.name : statement.executes;
    if (name.empty()) continue;
    const StatementPtr named = prepared_.get(name);
    const auto of_named = named ? routing::effects_of(*named->query.entry, catalog()) : routing::SessionEffects{};
    found.unknown = found.unknown || !named || of_named.unknown;
    found.lasting.add(of_named.lasting);
    if (of_named.unknown) found.lasting.add(routing::lasting_effects_in(named->text));
  }
  return effects_of_query(query.entry->facts, text, found.unknown, &prepared_, found.lasting);
}

}  // namespace pgweir::session
