// A read outside a transaction that a standby refuses before the client has seen a byte of the answer runs again on the
// primary; one that a standby takes with it when it goes runs again elsewhere (flows/lost.cpp). Until its answer has
// begun the exchange is on probation: the first messages are held back and the exchange is kept.
#include <algorithm>
#include <array>
#include <utility>

#include "base/log.h"
#include "session/session.h"
#include "wire/messages/backend.h"
#include "wire/messages/frontend.h"

namespace pgweir::session {

namespace log = base::log;

namespace {

/// Errors that a standby may have and the primary not: it may not write (25006, 0A000), recovery got in the way (40001,
/// 40P01, 57P01..03, 58), its catalog is behind, or the object is temporary and lives on the primary (42xxx, 3F000,
/// 26000).
bool may_differ_on_primary(const base::Sqlstate& state) {
  static constexpr std::array<std::string_view, 8> kClasses{"0A", "25", "26", "3F", "40", "42", "58", "XX"};
  if (state.view().starts_with("57P")) return true;
  return std::find(kClasses.begin(), kClasses.end(), state.error_class()) != kClasses.end();
}

}  // namespace

/// "cached plan must not change result type" (utils/cache/plancache.c): a table has changed since the statement was
/// prepared. It can be prepared again if the client is told what the rows look like now, and has not seen any.
bool Session::can_heal(const wire::Frame& error, const ReplyQueue::Taken& taken) const {
  if (!work_->second_try.healable || work_->queue.size() > 1 || work_->stage != Stage::none) return false;
  const auto fields = wire::decode_error(error.body);
  if (!fields || fields->sqlstate != base::sqlstate::feature_not_supported.view() ||
      fields->message != "cached plan must not change result type")
    return false;
  const auto& messages = work_->exchange.messages();
  if (taken.what == Expect::query)
    return messages.size() == 1 && messages[0].query && messages[0].query->facts.statements.size() == 1 &&
           messages[0].query->facts.statements[0].kind == sql::StatementKind::execute;
  return std::any_of(messages.begin(), messages.end(),
                     [](const GatheredMessage& one) { return one.type == wire::frontend::kDescribe; });
}

void Session::start_healing(pool::ServerConnection& server) {
  work_->second_try.healing = server.node();
  work_->second_try.healable = false;
  work_->second_try.swallows = true;
  work_->wait = Wait::retryable;
}

void Session::begin_probation() {
  work_->second_try.held_back.clear();
  work_->wait = Wait::retryable;
}

/// The answer has begun: what was held back goes out, and there is no way back.
void Session::end_probation() {
  client_.write(work_->second_try.held_back);
  work_->second_try.held_back.clear();
  work_->exchange.clear();
  work_->wait = Wait::quiet;
}

bool Session::should_retry(base::NodeId refused_by, const wire::Frame& error) {
  const auto fields = wire::decode_error(error.body);
  if (!fields) return false;
  const base::Sqlstate state(fields->sqlstate);
  // Only what is a write after all is worth waiting for a primary, or what only the primary may have.
  const bool own_catalog = worker_.topology().independent_nodes;
  if (!worker_.topology().primary && !own_catalog && state != base::sqlstate::read_only_sql_transaction) return false;
  if (!may_differ_on_primary(state)) return false;
  // A view, a function or a privilege is not there: it is not tried there again while the catalog is the same.
  if (own_catalog && state.error_class() == "42")
    for (const auto& message : work_->exchange.messages())
      if (message.query) message.query->verdict_nodes.remove(refused_by);
  if (state == base::sqlstate::read_only_sql_transaction && !work_->second_try.begins)
    for (const auto& message : work_->exchange.messages())
      if (message.query) message.query->learned_write = true;
  return true;
}

/// What the server still says is swallowed up to its ReadyForQuery.
void Session::start_retry(pool::ServerConnection& server) {
  WorkerCounters::count(worker_.mutable_counters().reruns);
  if (worker_.settings().log.routing) log::info("rerun", {{"session", id_.value}, {"on", "primary"}});
  work_->second_try.held_back.clear();
  work_->second_try.swallows = true;
  if (work_->second_try.begins) {
    // Its transaction has failed with the statement: a new one begins elsewhere.
    lose_server(server);
    work_->queue.clear();
  }
  if (work_->queue.empty()) finish_retry();
}

void Session::finish_retry() {
  work_->second_try.swallows = false;
  work_->wait = Wait::none;
  work_->queue.clear();
  work_->query_index = 0;
  work_->stage = Stage::gathering;
  if (const auto node = std::exchange(work_->second_try.healing, std::nullopt)) {
    pool::ServerConnection* server = work_->leases.server(*node);
    if (!server) return run_again_elsewhere(*node);
    for (const GatheredMessage& message : work_->exchange.messages()) writer(*server).forget(message);
    work_->second_try.healed = true;
    dispatch_to(*node, work_->plan.reason);
    if (work_->wait == Wait::none) resume_client();
    return;
  }
  if (work_->second_try.begins) work_->transaction = Transaction::lazy;
  work_->plan.node_class = routing::NodeClass::primary;
  work_->plan.wrote = true;  // it may be a write after all
  work_->plan.reason = routing::Reason::learned_write;
  dispatch();
  if (work_->wait == Wait::none) resume_client();
}

}  // namespace pgweir::session
