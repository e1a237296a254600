// A server connection that listened for a session has been lost: the session listens again on another one, to the
// primary, and the client stays. What was notified in between is lost, and a client cannot know; so it is told, once it
// listens again. LISTEN is said in front of the first thing that the session says there, or alone while it is idle. The
// worker asks again and again (`Worker::look_for_listening`), because nothing else would wake up an idle client.
#include <utility>

#include "base/log.h"
#include "session/session.h"
#include "wire/messages/backend.h"

namespace pgweir::session {

namespace log = base::log;

/// Its connection is being given up.
void Session::note_unheard(Held& there) {
  if (there.channels.names().empty()) return;
  Channels all;
  all.replace(std::move(work_->unheard));
  all.add(there.channels.names());
  work_->unheard = all.names();
  there.channels.clear();
  worker_.look_for_listening(id_);
}

void Session::cancel_unheard_ticket() {
  if (std::as_const(work_)->unheard_ticket == pool::WorkerPools::kNobody) return;
  worker_.pools().cancel(std::exchange(work_->unheard_ticket, pool::WorkerPools::kNobody));
}

/// Outside of transactions, and not when something in flight may begin one.
bool Session::may_listen_again(const pool::ServerConnection& server) const {
  return worker_.topology().primary == server.node() && work_->transaction != Transaction::open &&
         server.transaction == wire::TransactionStatus::idle && !work_->queue.owes_client();
}

void Session::say_listen_again(pool::ServerConnection& server) {
  cancel_unheard_ticket();
  writer(server).query(listen_text(work_->unheard), Purpose::listen);
  work_->leases.find(server.node())->channels.add(std::exchange(work_->unheard, {}));
  pin(server, PinReason::listen);
}

bool Session::try_to_listen_again() {
  const Work& work = *std::as_const(work_).operator->();
  if (state_ == State::finished || work.unheard.empty()) return false;
  const auto& topology = worker_.topology();
  const bool may = topology.primary && !topology.writes_paused && work.is_quiet() && work.queue.expects_nothing() &&
                   !work.queue.skipping() && !gone_timer_;
  const bool asked = work.unheard_ticket != pool::WorkerPools::kNobody;
  if (!may || asked || worker_.loop().now() < work.unheard_until) return true;
  if (pool::ServerConnection* server = work.leases.server(*topology.primary)) {
    listen_again_alone(*server);
    return true;
  }
  auto& pools = worker_.pools();
  const auto key = account_->pool_key(*topology.primary);
  if (auto lease = pools.try_acquire(key, *startup_class_)) {
    on_listening_lease(std::move(lease));
    return true;
  }
  work_->unheard_ticket = pools.acquire(key, *startup_class_, [this](base::Result<pool::Lease> lease) {
    work_->unheard_ticket = pool::WorkerPools::kNobody;
    on_listening_lease(std::move(lease));
  });
  return true;
}

/// The client may have begun something in the meantime: then that connection listens, or it is tried again.
void Session::on_listening_lease(base::Result<pool::Lease> lease) {
  constexpr std::chrono::seconds kPause{1};
  if (!lease) {
    log::debug("not_listening_yet", {{"session", id_.value}, {"error", lease.error().message}});
    work_->unheard_until = worker_.loop().now() + kPause;
    return;
  }
  pool::ServerConnection* server = lease->server();
  if (!work_->is_quiet() || gone_timer_ || worker_.topology().primary != server->node()) return lease->release();
  if (pool::ServerConnection* other = work_->leases.server(server->node())) {
    lease->release();
    return listen_again_alone(*other);
  }
  work_->leases.add(std::move(*lease));
  server->lease_to(static_cast<pool::ServerUser&>(*this));
  listen_again_alone(*server);
}

/// With nothing behind it. What the client says next waits for the answer.
void Session::listen_again_alone(pool::ServerConnection& server) {
  work_->current = &server;
  times_.completed(worker_.loop().now());
  say_listen_again(server);
  work_->wait = Wait::quiet;
}

/// The server may be no primary any more, or cannot do it now.
void Session::listening_refused(pool::ServerConnection& server) {
  Held* there = work_->leases.find(server.node());
  there->pins.remove(PinReason::listen);
  note_unheard(*there);
  publish_pins();
  work_->unheard_until = worker_.loop().now() + std::chrono::seconds{1};
}

/// It listens again.
void Session::say_unheard() {
  log::info("listens_again", {{"session", id_.value}});
  wire::encode_error(client_.output(), wire::Severity::notice, lost_notifications());
}

base::Error Session::lost_notifications() {
  return {base::sqlstate::successful_completion,
          "notifications may have been lost while the server connection was replaced"};
}

}  // namespace pgweir::session
