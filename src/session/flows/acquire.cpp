// Getting the server connection for an exchange: an idle one, a new one, or the first that somebody gives back. A read
// that may run on several nodes waits for all of them at once, so that it does not stand behind a slow one while
// another is free.
#include <algorithm>
#include <utility>
#include <vector>

#include "session/session.h"

namespace pgweir::session {

namespace sqlstate = base::sqlstate;

routing::Choice Session::choose_reader() {
  const routing::Wanted wanted = freshness_wanted();
  work_->plan.any_reader = false;
  // What only prepares has no weight: it goes where the last read went.
  if (!work_->plan.executes && last_read_node_ && last_read_node_ != work_->plan.avoid &&
      worker_.still_good_reader(*last_read_node_, wanted))
    return {last_read_node_, routing::Reason::read};
  const bool stays = worker_.settings().routing.balance == config::Balance::session;
  if (stays && session_reader_ && session_reader_ != work_->plan.avoid &&
      worker_.still_good_reader(*session_reader_, wanted))
    return {session_reader_, routing::Reason::read};
  const routing::Choice choice = avoid_failing(worker_.pick_reader(wanted));
  work_->plan.any_reader = choice.reason == routing::Reason::read;
  if (work_->plan.any_reader) session_reader_ = choice.node;
  if (choice.reason != routing::Reason::not_fresh) primary_reads_since_ = {};
  return choice;
}

void Session::dispatch_to(base::NodeId node, routing::Reason reason) {
  work_->plan.reason = reason;
  if (send_on_idle(node) || open_for_exchange(node)) return;
  std::vector<base::NodeId> nodes{node};
  if (work_->plan.any_reader) {
    worker_.add_readers(nodes, freshness_wanted());
    for (const base::NodeId other : nodes)
      if (!(other == node) && (send_on_idle(other) || open_for_exchange(other))) return;
  }
  if (is_known(work_->exchange)) return answer_known();
  // Who holds a connection never waits for a second one: otherwise two sessions could wait for each other.
  const auto primary = worker_.topology().primary;
  if (primary && !(*primary == node) && work_->leases.server(*primary)) return dispatch_to_primary(*primary);
  release_leases();
  for (const base::NodeId one : nodes)
    work_->tickets.push_back(
        {one, worker_.pools().acquire(account_->pool_key(one), *startup_class_, lease_taker(one))});
  work_->wait = Wait::lease;
}

/// No reader has a connection for it.
void Session::dispatch_to_primary(base::NodeId primary) {
  work_->plan.any_reader = false;
  dispatch_to(primary, routing::Reason::standby_busy);
}

/// True when the exchange has been sent on a connection that the session has or that was idle, or on its way there
/// something else has become of it.
bool Session::send_on_idle(base::NodeId node) {
  if (pool::ServerConnection* server = work_->leases.server(node);
      server && work_->telling == Telling::other_connection && server->out_of_step)
    lose_server(*server);
  if (pool::ServerConnection* server = work_->leases.server(node)) {
    send_exchange(*server);
    return true;
  }
  auto& pools = worker_.pools();
  auto& pool = account_->pool(pools, node);
  pool::Lease lease;
  if (asks_for_sequence()) lease = pools.try_acquire_from(pool, *startup_class_, id_);
  if (!lease) lease = pools.try_acquire(pool, *startup_class_, carried_.settings());
  if (!lease) return false;
  send_on(std::move(lease));
  return true;
}

/// True when a connection is being opened for it.
bool Session::open_for_exchange(base::NodeId node) {
  const auto ticket = worker_.pools().acquire_now(account_->pool_key(node), *startup_class_, lease_taker(node));
  if (!ticket) return false;
  work_->tickets.push_back({node, *ticket});
  work_->wait = Wait::lease;
  return true;
}

std::function<void(base::Result<pool::Lease>)> Session::lease_taker(base::NodeId node) {
  return [this, node](base::Result<pool::Lease> lease) {
    std::erase_if(work_->tickets, [&](const Ticket& one) { return one.node == node; });
    // Another node may still have one.
    if (!lease && !work_->tickets.empty()) return;
    cancel_tickets();
    work_->wait = Wait::none;
    on_lease(node, std::move(lease));
    resume_client();
    end_if_server_waits(client_.unread_bytes());
    work_.give_back_if_over();
  };
}

void Session::cancel_tickets() {
  for (const Ticket& one : std::exchange(work_->tickets, {})) worker_.pools().cancel(one.ticket);
}

void Session::on_lease(base::NodeId node, base::Result<pool::Lease> lease) {
  if (lease) return send_on(std::move(*lease));
  const bool away = is_away(lease.error());
  const bool reads = work_->plan.decided && work_->plan.node_class == routing::NodeClass::standby;
  if (away && reads) {
    work_->plan.avoid = node;
    if (++work_->plan.failures <= worker_.topology().nodes.size()) return dispatch();
  }
  const auto primary = worker_.topology().primary;
  const bool elsewhere =
      work_->plan.node_class == routing::NodeClass::node || (reads && worker_.settings().routing.fallback_to_primary);
  if (elsewhere && primary && !(*primary == node)) return dispatch_to_primary(*primary);
  if (away) return hold_after_failure(lease.error());
  fail_exchange(lease.error());
}

/// Another reader than the one that has just failed, if there is any. None: it has to wait.
routing::Choice Session::avoid_failing(routing::Choice choice) {
  const auto& routing = worker_.settings().routing;
  if (choice.reason == routing::Reason::no_standby && !routing.fallback_to_primary) choice.node.reset();
  if (!choice.node || choice.node != work_->plan.avoid) return choice;
  std::vector<base::NodeId> others{*choice.node};
  worker_.add_readers(others, freshness_wanted());
  if (others.size() > 1) return {others[1], routing::Reason::read};
  const auto primary = worker_.topology().primary;
  if (primary && primary != work_->plan.avoid && routing.fallback_to_primary)
    return {primary, routing::Reason::no_standby};
  return choice;
}

/// On a connection that the session has just got: another one is asked for if this one does not suit.
void Session::send_on(pool::Lease lease) {
  pool::ServerConnection& server = adopt_lease(std::move(lease));
  if (suits(server)) return send_exchange(server);
  const base::NodeId node = server.node();
  lose_server(server);
  dispatch_to(node, work_->plan.reason);
}

pool::ServerConnection& Session::adopt_lease(pool::Lease lease) {
  pool::ServerConnection& server = work_->leases.add(std::move(lease));
  server.lease_to(static_cast<pool::ServerUser&>(*this));
  if (work_->plan.any_reader) session_reader_ = server.node();
  return server;
}

/// The server could not be reached, or says that it is starting up or shutting down.
bool Session::is_away(const base::Error& error) {
  return error.sqlstate == sqlstate::connection_failure || error.sqlstate.view().starts_with("57P");
}

std::string Session::nodes_text() const {
  std::string text;
  for (const auto& node : worker_.topology().nodes) {
    if (!text.empty()) text += "; ";
    text += "node \"" + node.name + "\" (" + node.host + ":" + std::to_string(node.port) + ") is " +
            std::string(routing::name_of(node.status)) + (node.reason.empty() ? "" : ": " + node.reason);
  }
  return text + ".";
}

base::Error Session::no_primary() const {
  const std::string& why = worker_.topology().no_primary_reason;
  return {sqlstate::cannot_connect_now, "no primary server is available",
          (why.empty() ? "" : why + "; ") + nodes_text(), "Try again; SHOW pool_nodes shows the state of the nodes."};
}

base::Error Session::nobody_for_reads() const {
  if (!worker_.topology().primary) return no_primary();
  return {sqlstate::cannot_connect_now, "no standby server is available for reads", nodes_text(),
          "Reads do not run on the primary, by routing.fallback_to_primary; SHOW pool_nodes shows the state of the "
          "nodes."};
}

base::Error Session::writes_paused() const {
  return {sqlstate::cannot_connect_now, "a switchover to another primary is under way", nodes_text(),
          "Try again; SHOW pool_nodes shows the state of the nodes."};
}

}  // namespace pgweir::session
