// The life cycle of a session: login, welcome, end; see session.h.
#include "session/session.h"

#include <array>
#include <utility>

#include "base/assertion.h"
#include "base/log.h"
#include "wire/crypto.h"
#include "wire/messages/backend.h"

namespace pgweir::session {

namespace log = base::log;
namespace sqlstate = base::sqlstate;

namespace {
constexpr std::size_t kSecretBytes = 4;
constexpr std::chrono::seconds kPatienceWithHalfClosed{5};
}  // namespace

Session::Session(Worker& worker, base::SessionId id, int fd)
    : worker_(worker),
      id_(id),
      secret_(wire::random_bytes(kSecretBytes)),
      client_(worker.loop(), fd, static_cast<net::Connection::Handler&>(*this)),
      peer_(client_.peer_name()),
      startup_(std::make_unique<StartupFlow>(worker.auth())) {
  login_timer_ = std::make_unique<net::Timer>(worker_.loop(), [this] {
    // As PostgreSQL does on authentication_timeout: no message, the connection just ends.
    finish("login_timeout");
  });
  login_timer_->start(worker_.settings().auth.login_timeout);
}

Session::~Session() = default;

void Session::apply(Event event) {
  static constexpr std::size_t kStates = 5, kEvents = 4;
  using enum State;
  // Rows: starting, welcoming, serving, draining, finished. Columns: authenticated, welcomed, drain, end.
  static constexpr std::array<std::array<State, kEvents>, kStates> kNext{{
      {welcoming, starting, starting, finished},
      {welcoming, serving, welcoming, finished},
      {serving, serving, draining, finished},
      {draining, draining, draining, finished},
      {finished, finished, finished, finished},
  }};
  state_ = kNext[static_cast<std::size_t>(state_)][static_cast<std::size_t>(event)];
}

std::size_t Session::on_data(net::Connection&, std::string_view bytes) {
  switch (state_) {
    case State::starting: {
      in_client_data_ = true;
      const std::size_t used = take_startup(bytes);
      in_client_data_ = false;
      const bool serves = state_ == State::serving || state_ == State::draining;
      return serves ? used + take_messages(bytes.substr(used)) : used;
    }
    case State::welcoming:
      client_held_ = true;
      update_client_reading();
      return 0;
    case State::serving:
    case State::draining: return take_messages(bytes);
    case State::finished: break;
  }
  return bytes.size();
}

std::size_t Session::take_startup(std::string_view bytes) {
  const std::size_t consumed = startup_->take(bytes, client_.output());
  if (startup_->has_message() && !place_) {
    auto place = worker_.process().clients.enter(worker_.settings().pool.max_clients);
    if (!place) {
      terminate(place.error());
      return bytes.size();
    }
    place_ = std::move(*place);
  }
  switch (startup_->stage()) {
    case StartupFlow::Stage::authenticated: on_authenticated(); break;
    case StartupFlow::Stage::cancel:
      worker_.deliver_cancel(startup_->cancel_request());
      finish("cancel_request");
      return bytes.size();
    case StartupFlow::Stage::failed:
      log::warning("login_failed", {{"client", peer_},
                                    {"user", startup_->message().user},
                                    {"database", startup_->message().database},
                                    {"sqlstate", startup_->error().sqlstate.view()},
                                    {"error", startup_->error().message}});
      finish("login_failed");
      return bytes.size();
    default: break;
  }
  return consumed;
}

void Session::on_authenticated() {
  login_timer_.reset();
  auto& message = startup_->message();
  user_ = message.user;
  database_ = message.database;
  startup_class_ = pool::StartupClass(message.parameters, message.replication);
  startup_.reset();
  apply(Event::authenticated);
  const auto named = worker_.process().clients.name(place_, database_, user_, worker_.settings());
  if (!named) return terminate(named.error());
  if (worker_.draining()) return terminate({sqlstate::cannot_connect_now, "pgweir is shutting down"});

  if (auto parameters = worker_.welcome(database_ + '\0' + user_ + '\0' + startup_class_.key())) {
    say_welcome(std::move(parameters));
    return;
  }
  // The first of its kind asks a server: it alone knows whether such a login is possible and what its parameters are.
  const auto& topology = worker_.topology();
  std::optional<base::NodeId> node = topology.primary;
  for (const auto& one : topology.nodes)
    if (!node && one.status == routing::NodeStatus::up) node = one.id;
  if (!node) return terminate(no_primary());
  if (auto lease = worker_.pools().try_acquire(pool_key(*node), startup_class_)) {
    on_welcome_lease(std::move(lease));
    return;
  }
  ticket_ = worker_.pools().acquire(pool_key(*node), startup_class_, [this](base::Result<pool::Lease> lease) {
    ticket_.reset();
    on_welcome_lease(std::move(lease));
  });
}

void Session::on_welcome_lease(base::Result<pool::Lease> lease) {
  if (!lease) return terminate(lease.error());
  pool::ServerConnection& server = *lease->server();
  server.lease_to(static_cast<pool::ServerUser&>(*this));
  leases_.emplace_back(server.node(), std::move(*lease));
  auto parameters = std::make_shared<const Parameters>(server.identity().parameters);
  worker_.remember_welcome(database_ + '\0' + user_ + '\0' + startup_class_.key(), parameters);
  say_welcome(std::move(parameters));
}

void Session::say_welcome(ParametersPtr parameters) {
  told_ = std::move(parameters);
  database_state_ = &worker_.database(database_);
  read_rules();
  times_.ready(worker_.loop().now(), TimeLimits::Transaction::none, TimeLimits::Pipeline::empty);
  base::ByteQueue& out = client_.output();
  for (const auto& [name, value] : *told_) wire::encode_parameter_status(out, name, value);
  unsafe_encoding_ = is_unsafe_encoding(*told_);
  wire::encode_backend_key_data(out, id_.value, secret_);
  wire::encode_ready_for_query(out, wire::TransactionStatus::idle);
  apply(Event::welcomed);
  WorkerCounters::count(worker_.mutable_counters().sessions);
  if (worker_.settings().log.connections)
    log::info("connected", {{"session", id_.value}, {"client", peer_}, {"user", user_}, {"database", database_}});
  client_held_ = false;
  update_client_reading();
  resume_client();
  if (worker_.draining()) drain();
}

/// A client that has closed its side in good order may still read: it gets what it has asked for, if that is soon
/// there.
void Session::on_end(net::Connection&, std::string_view error) {
  const bool under_way = wait_ != Wait::none || (!queue_.empty() && stage_ == Stage::none);
  const bool answer_is_due =
      error.empty() && state_ == State::serving && under_way && stream_left_ == 0 && !queue_.copying_in();
  if (!answer_is_due) return finish(error.empty() ? "client closed" : error);
  gone_timer_ = std::make_unique<net::Timer>(worker_.loop(), [this] { finish("client closed"); });
  gone_timer_->start(kPatienceWithHalfClosed);
}

void Session::on_drained(net::Connection&) {
  // The client takes bytes again: whoever was stopped for it may go on.
  client_full_ = false;
  for (auto& [node, lease] : leases_)
    if (!lease->connection().reading()) lease->connection().resume_reading();
  release_held_servers();
  resume_client();
}

void Session::cancel(std::string_view secret) {
  if (!wire::equal_in_constant_time(secret, secret_)) return;
  if (wait_ == Wait::lease && ticket_) {
    worker_.pools().cancel(*std::exchange(ticket_, std::nullopt));
    wait_ = Wait::none;
    fail_exchange({sqlstate::query_canceled, "canceling statement due to user request"});
    resume_client();
    return;
  }
  if (current_ && !queue_.empty()) cancel_on_server(*current_);
}

void Session::drain() {
  if (state_ == State::starting || state_ == State::welcoming)
    return terminate({sqlstate::cannot_connect_now, "pgweir is shutting down"});
  apply(Event::drain);
  end_if_idle();
}

bool Session::idle() const {
  return transaction_ == Transaction::none && queue_.empty() && stage_ == Stage::none && wait_ == Wait::none &&
         stream_left_ == 0;
}

/// After each exchange: is somebody waiting for this session to have nothing under way?
void Session::end_if_idle() {
  if (gone_timer_ && idle()) return finish("client closed");
  if (state_ == State::draining && idle())
    terminate({sqlstate::admin_shutdown, "terminating connection because pgweir is shutting down"});
}

void Session::terminate(const base::Error& error) {
  if (state_ == State::finished) return;
  wire::encode_error(client_.output(), wire::Severity::fatal, error);
  finish(error.message);
}

void Session::finish(std::string_view why) {
  if (state_ == State::finished) return;
  const bool had_session = state_ == State::serving || state_ == State::draining;
  apply(Event::end);
  login_timer_.reset();
  gone_timer_.reset();
  if (ticket_) worker_.pools().cancel(*std::exchange(ticket_, std::nullopt));
  give_up_leases();
  if (had_session && worker_.settings().log.connections)
    log::info("disconnected", {{"session", id_.value}, {"client", peer_}, {"reason", why}});
  client_.close();
  place_.give_back();
  worker_.finished(*this);
}

/// What owes nothing is reset and used again. What has been asked for in full is run to its end. Half a message, or an
/// exchange without its Sync, is what PostgreSQL too gives up with the connection.
void Session::give_up_leases() {
  for (auto& [node, lease] : leases_) {
    pool::ServerConnection* server = lease.server();
    const bool is_current = server == current_;
    const bool half_sent = server == stream_to_ || (is_current && (stage_ == Stage::open || queue_.copying_in()));
    if (half_sent || server->out_of_step || server->connection().ended())
      lease.close();
    else if (is_current && !queue_.empty())
      worker_.abandon(std::move(lease), std::move(queue_), server->reply_left);
    else
      lease.give_back();
  }
  queue_.clear();
  leases_.clear();
  current_ = nullptr;
}

}  // namespace pgweir::session
