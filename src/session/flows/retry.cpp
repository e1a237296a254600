// A read outside a transaction that a standby refuses, or that a standby takes with it when it goes, before the client
// has seen a byte of the answer, runs again on the primary. Until its answer has begun the exchange is on probation:
// the first messages are held back and the exchange is kept.
#include <algorithm>
#include <array>
#include <utility>

#include "base/log.h"
#include "session/session.h"
#include "wire/messages/backend.h"

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

void Session::begin_probation() {
  held_.clear();
  wait_for(Wait::retryable);
}

/// The answer has begun: what was held back goes out, and there is no way back.
void Session::end_probation() {
  client_.write(held_);
  held_.clear();
  exchange_.clear();
  wait_ = Wait::quiet;
}

bool Session::should_retry(const wire::Frame& error) {
  const auto fields = wire::decode_error(error.body);
  if (!fields || !worker_.topology().primary) return false;
  const base::Sqlstate state(fields->sqlstate);
  if (!may_differ_on_primary(state)) return false;
  if (state == base::sqlstate::read_only_sql_transaction && !retry_begins_)
    for (const auto& message : exchange_.messages())
      if (message.query) message.query->learned_write = true;
  return true;
}

/// `server`: what it still says is swallowed up to its ReadyForQuery; null when it is gone.
void Session::start_retry(pool::ServerConnection* server) {
  WorkerCounters::count(worker_.mutable_counters().reruns);
  if (worker_.settings().log.routing) log::info("rerun", {{"session", id_.value}, {"on", "primary"}});
  held_.clear();
  retrying_ = true;
  if (server && retry_begins_) {
    // Its transaction has failed with the statement: a new one begins elsewhere.
    lose_server(*server);
    queue_.clear();
  }
  if (queue_.empty()) finish_retry();
}

void Session::leave_node(base::NodeId node) {
  pool::ServerConnection* server = leased(node);
  if (!server) return;
  const bool in_use = server == current_ && (!queue_.empty() || stage_ == Stage::open);
  const bool in_transaction = transaction_ == Transaction::open && transaction_node_ == node;
  if (in_use && (on_probation() || retrying_)) {
    lose_server(*server);
    queue_.clear();
    if (retrying_) return finish_retry();
    return start_retry(nullptr);
  }
  // A primary that comes back keeps its sessions; whatever is lost shows when the connection ends.
  if (in_use || in_transaction || is_pinned(node)) return;
  lose_server(*server);
}

void Session::finish_retry() {
  retrying_ = false;
  wait_ = Wait::none;
  queue_.clear();
  query_index_ = 0;
  if (retry_begins_) transaction_ = Transaction::lazy;
  plan_.node_class = routing::NodeClass::primary;
  plan_.wrote = true;  // it may be a write after all
  stage_ = Stage::gathering;
  const auto primary = worker_.topology().primary;
  if (!primary)
    fail_exchange(no_primary());
  else
    dispatch_to(*primary, routing::Reason::learned_write);
  if (wait_ == Wait::none) resume_client();
}

}  // namespace pgweir::session
