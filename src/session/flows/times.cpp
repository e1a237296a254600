// What a session does when something has taken too long; the rules are in time_limits.h.
#include "base/log.h"
#include "session/session.h"
#include "wire/messages/backend.h"

namespace pgweir::session {

namespace log = base::log;

void Session::read_rules() {
  if (account_) rules_ = &worker_.pool_rules(account_->database, account_->user);
}

Doing Session::doing() const {
  const bool serves = state_ == State::serving || state_ == State::draining;
  if (!serves || work_->wait == Wait::lease || work_->wait == Wait::node) return Doing::other;
  if (!work_->queue.empty()) return Doing::running;
  if (work_->stage == Stage::open || work_->transaction != Transaction::none) return Doing::idle_in_transaction;
  return work_->is_quiet() ? Doing::idle : Doing::other;
}

void Session::check_times(base::Time now) {
  if (!rules_ || state_ == State::finished) return;
  // A stream of replication is no statement; PostgreSQL does not limit it either.
  if (startup_class_->replication() && !work_->queue.empty()) return;
  const Due due = times_.due(doing(), *rules_, now);
  if (due == Due::nothing) return;
  const base::Error error = error_for(due, *rules_);
  log::info("time_limit", {{"session", id_.value}, {"limit", error.hint}});
  // Nobody waits for the statement any more; what it leaves behind is taken care of when the leases are given up.
  if (!work_->queue.empty() && work_->current && due != Due::give_up_query) cancel_on_server(*work_->current);
  if (due == Due::cancel_query) return times_.cancelled(now);
  if (client_is_mid_message())
    finish(error.message);  // an error message would be taken for the rest of that one
  else
    terminate(error);
}

/// The client's next message waits until the request has arrived: it must not hit what comes next.
/// What makes the session's settings must not be hit instead of the statement behind it.
void Session::cancel_on_server(pool::ServerConnection& server) {
  if (work_->queue.front_is(Purpose::settings) && !work_->chosen && work_->queue.owes_client()) {
    work_->cancel_waits = true;
    return;
  }
  worker_.carry_cancel(server, [&worker = worker_, id = id_] { worker.resume(id); });
}

/// A statement that pgweir had cancelled: the server's own error, and why.
void Session::forward_cancelled(const wire::Frame& error) {
  const auto fields = wire::decode_error(error.body);
  const bool by_cancel = fields && fields->sqlstate == base::sqlstate::query_canceled.view();
  client_.write(wire::with_hint(error, by_cancel ? error_for(Due::cancel_query, *rules_).hint : std::string()));
}

}  // namespace pgweir::session
