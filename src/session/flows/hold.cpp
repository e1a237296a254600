// Waiting for a node that is away: an exchange that needs it is kept, and dispatched anew when the nodes have changed.
// Nothing of it has been sent. Bounded by failover.hold_timeout; the client's next messages stay in its socket. The
// worker knows who waits (`Worker::hold`), because nothing else would wake them up.
#include <utility>

#include "base/log.h"
#include "session/session.h"

namespace pgweir::session {

namespace log = base::log;
namespace sqlstate = base::sqlstate;

namespace {

std::string milliseconds(base::Duration time) {
  return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(time).count());
}

/// The monitor has found out by then whether a node is there.
base::Duration patience_with_failures(const config::Monitor& monitor) {
  return monitor.timeout * monitor.retries + monitor.interval;
}

}  // namespace

/// `reason`: what the client is told if it waits in vain. The exchange is gathered, or the client is being welcomed.
void Session::hold(base::Error reason) {
  if (gone_timer_) return finish("client closed");  // it gets what is soon there, and this is not
  Hold& hold = work_->hold;
  const base::Duration limit = worker_.settings().failover.hold_timeout;
  if (limit == base::Duration::zero()) return fail_hold(std::move(reason));
  hold.reason = std::move(reason);
  work_->wait = Wait::node;
  if (hold.place != 0 && !hold.for_freshness) return;
  hold.for_freshness = false;
  hold.since = worker_.loop().now();
  if (hold.place == 0) hold.place = worker_.hold(id_);
  log::debug("held", {{"session", id_.value}, {"reason", hold.reason.message}});
  // What it does not need while it waits.
  if (state_ != State::welcoming && shares_servers() && work_->queue.empty() && work_->transaction != Transaction::open)
    release_leases();
}

/// For a standby to be fresh enough; the primary would do.
void Session::hold_for_freshness() {
  Hold& hold = work_->hold;
  work_->wait = Wait::node;
  hold.for_freshness = true;
  hold.since = worker_.loop().now();
  hold.place = worker_.hold(id_);
}

/// A connection to a node that is said to be up cannot be opened, or is lost at once: either the monitor finds the node
/// away, or something else is wrong, of which the client has to hear.
void Session::hold_after_failure(base::Error reason) {
  const base::Time now = worker_.loop().now();
  base::Time& since = work_->hold.failing_since;
  if (since == base::Time{}) since = now;
  if (now - since >= patience_with_failures(worker_.settings().monitor)) return fail_hold(std::move(reason));
  hold(std::move(reason));
}

/// It goes on, or has ended.
void Session::end_hold() {
  Hold& hold = work_->hold;
  if (hold.place == 0) return;
  worker_.end_hold(hold.place);
  hold = {};
}

void Session::fail_hold(base::Error error) {
  end_hold();
  work_->hold = {};
  work_->wait = Wait::none;
  if (state_ == State::welcoming) return terminate(error);
  fail_exchange(error);
}

void Session::try_again() {
  if (std::as_const(work_)->wait != Wait::node || state_ == State::finished) return;
  work_->wait = Wait::none;
  if (state_ == State::welcoming) {
    ask_for_welcome();
  } else {
    work_->plan.avoid.reset();
    work_->plan.failures = 0;
    dispatch();
    settle();
    resume_client();
  }
  work_.give_back_if_over();
}

void Session::check_hold(base::Time now) {
  const Hold& hold = std::as_const(work_)->hold;
  if (hold.for_freshness) return try_again();
  // Of one that has said more than is taken while it waits nothing is read, so its end shows in no other way.
  if (client_held_ && client_.peer_has_ended()) return finish("client closed");
  const base::Duration limit = worker_.settings().failover.hold_timeout;
  if (std::as_const(work_)->wait != Wait::node || now - hold.since < limit) return;
  base::Error error = hold.reason;
  error.sqlstate = sqlstate::cannot_connect_now;
  if (!error.detail.empty()) error.detail += ' ';
  error.detail += "Waited for " + milliseconds(limit) + " ms (failover.hold_timeout).";
  fail_hold(std::move(error));
  settle();
  resume_client();
  work_.give_back_if_over();
}

/// A switchover is under way: what could write must not begin.
bool Session::waits_for_pause() const {
  const routing::NodeClass where = work_->plan.node_class;
  return worker_.topology().writes_paused && work_->transaction != Transaction::open &&
         (!work_->plan.decided || (where != routing::NodeClass::standby && where != routing::NodeClass::node));
}

bool Session::may_be_writing(base::NodeId node) const {
  const Work& work = *work_.operator->();
  if (work.transaction == Transaction::open && work.transaction_node == node) return true;
  const bool in_flight = work.current && work.current->node() == node && !work.queue.empty();
  const bool is_open = work.stage == Stage::open && work.current && work.current->node() == node;
  return (in_flight && work.wrote) || (is_open && !has_only_prepared());
}

/// What it says next belongs to an exchange that has prepared statements on the primary: it is not to write there now.
void Session::leave_for_pause() {
  if (work_->stage != Stage::open || !worker_.topology().writes_paused || work_->transaction == Transaction::open)
    return;
  if (has_only_prepared()) leave(*work_->current, "a switchover is under way");
}

void Session::on_topology(const std::vector<base::NodeId>& lost, std::optional<base::NodeId> demoted) {
  if (state_ == State::starting || state_ == State::finished) return;
  if (std::as_const(work_)->hold.place != 0) work_->hold.failing_since = {};
  for (const base::NodeId node : lost) forget_seen_on(node);
  for (const base::NodeId node : lost)
    if (pool::ServerConnection* server = std::as_const(work_)->leases.server(node))
      leave(*server, "the monitor has found the server down");
  // What ties the session to a server that is no primary any more is of no use; what is under way there may end.
  if (demoted && state_ != State::finished)
    if (pool::ServerConnection* server = std::as_const(work_)->leases.server(*demoted))
      if (!(server == work_->current && !work_->queue.empty()) && !may_be_writing(*demoted))
        leave(*server, "the server is not the primary any more");
  if (state_ == State::finished || std::as_const(work_)->wait != Wait::lease) return work_.give_back_if_over();
  const auto& topology = worker_.topology();
  const bool needs_primary = work_->plan.decided && work_->plan.node_class == routing::NodeClass::primary;
  bool in_vain = false;
  for (const Ticket& one : work_->tickets)
    in_vain = in_vain || topology.node(one.node).status != routing::NodeStatus::up ||
              (needs_primary && topology.primary != one.node);
  if (!in_vain) return;
  cancel_tickets();
  work_->wait = Wait::node;
  try_again();
}

}  // namespace pgweir::session
