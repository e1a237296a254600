// The life cycle of a session: login, welcome, end; see session.h.
#include "session/session.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/assertion.h"
#include "base/log.h"
#include "session/settings_text.h"
#include "wire/crypto.h"
#include "wire/messages/backend.h"

namespace pgweir::session {

namespace log = base::log;
namespace sqlstate = base::sqlstate;

namespace {
// backend/utils/init/globals.c, MAX_CANCEL_KEY_LENGTH; before protocol 3.2 a key was one number.
constexpr std::size_t kSecretBytes = 4, kLongSecretBytes = 32;
constexpr std::uint16_t kMinorWithLongSecrets = 2;
constexpr int kFirstServerWithLongSecrets = 180000;
constexpr std::chrono::seconds kPatienceWithHalfClosed{5};
// A client hears what the servers would say themselves: the versions of the primary; of any node until there is one.
std::uint16_t newest_minor(const routing::Topology& topology) {
  int version = 0;
  for (const auto& node : topology.nodes) version = std::max(version, node.server_version);
  if (topology.primary) version = topology.node(*topology.primary).server_version;
  return version >= kFirstServerWithLongSecrets ? kMinorWithLongSecrets : std::uint16_t{0};
}
}  // namespace

Session::Session(Worker& worker, base::SessionId id, int fd)
    : worker_(worker),
      id_(id),
      client_(worker.loop(), fd, static_cast<net::Connection::Handler&>(*this)),
      peer_(client_.peer_name()),
      startup_(std::make_unique<StartupFlow>(worker.auth(), newest_minor(worker.topology()))) {
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
  secret_ = wire::random_bytes(startup_->minor_version() >= kMinorWithLongSecrets ? kLongSecretBytes : kSecretBytes);
  account_ = &worker_.account(message.database, message.user);
  const bool replication = pool::asks_for_replication(message.replication);
  mode_ = replication ? config::PoolMode::session : worker_.pool_rules(account_->database, account_->user).mode;
  welcome_key_ = worker_.welcome_key(*account_, message.parameters, message.replication);
  if (shares_servers()) {
    StartupParts parts = split_startup(message.parameters);
    startup_class_ = pool::StartupClass(std::move(parts.of_connection), {});
    if (!parts.settings.empty())
      carried_.begin_with(std::make_shared<const std::vector<pool::SettingText>>(std::move(parts.settings)));
  } else {
    startup_class_ = pool::StartupClass(message.parameters, message.replication);
  }
  auto known = worker_.welcome(welcome_key_, message.parameters);
  startup_.reset();
  apply(Event::authenticated);
  const auto named = worker_.process().clients.name(place_, account_->database, account_->user, worker_.settings());
  if (!named) return terminate(named.error());
  if (worker_.draining()) return terminate({sqlstate::cannot_connect_now, "pgweir is shutting down"});
  if (known) return say_welcome(std::move(known));

  // The first of its kind asks a server: it alone knows whether such a login is possible and what its parameters are.
  const auto& topology = worker_.topology();
  std::optional<base::NodeId> node = topology.primary;
  for (const auto& one : topology.nodes)
    if (!node && one.status == routing::NodeStatus::up) node = one.id;
  if (!node) return terminate(no_primary());
  auto& pools = worker_.pools();
  if (auto lease = pools.try_acquire(account_->pool(pools, *node), startup_class_, carried_.settings()))
    return on_welcome_lease(std::move(lease));
  ticket_ = pools.acquire(account_->pool_key(*node), startup_class_, [this](base::Result<pool::Lease> lease) {
    ticket_.reset();
    on_welcome_lease(std::move(lease));
  });
}

void Session::on_welcome_lease(base::Result<pool::Lease> lease) {
  if (!lease) return terminate(lease.error());
  pool::ServerConnection& server = adopt_lease(std::move(*lease));
  current_ = &server;
  if (pool::same_settings(server.carried.settings, carried_.settings())) return finish_welcome();
  // The server says whether they are right, and what is reported with them.
  inject_query(server, statements_between(server.carried.settings, carried_.settings()), Purpose::settings);
}

void Session::finish_welcome() {
  auto parameters = std::make_shared<const Parameters>(current_->identity().parameters);
  worker_.remember_welcome(welcome_key_, parameters);
  say_welcome(std::move(parameters));
}

void Session::say_welcome(ParametersPtr parameters) {
  told_ = std::move(parameters);
  told_hash_ = pool::hash_of(*told_);
  welcome_key_ = {};
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
    log::info("connected",
              {{"session", id_.value}, {"client", peer_}, {"user", account_->user}, {"database", account_->database}});
  client_held_ = false;
  update_client_reading();
  resume_client();
  settle();
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
  for (Held& one : leases_)
    if (!one.lease->connection().reading()) one.lease->connection().resume_reading();
  release_held_servers();
  if (listening_ && may_hear()) flush_notifications();
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
  // What pgweir asks for itself is nothing that a client could cancel.
  if (current_ && !queue_.empty() && !queue_.front_is(Purpose::audit)) cancel_on_server(*current_);
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
  if (listening_ && may_hear()) flush_notifications();
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
  if (listening_) listening_->listener.forget(id_);
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

/// What owes nothing is used again, reset if there may be more on it than its books say. What has been asked for in
/// full is run to its end. Half a message, or an exchange without its Sync, is what PostgreSQL too gives up with the
/// connection.
void Session::give_up_leases() {
  for (Held& one : leases_) {
    pool::ServerConnection* server = one.lease.server();
    const bool is_current = server == current_;
    const bool half_sent = server == stream_to_ || (is_current && (stage_ == Stage::open || queue_.copying_in()));
    const bool clean = shares_servers() && !one.pins.any() && one.due == Audit::none &&
                       server->transaction == wire::TransactionStatus::idle;
    // Nothing takes a library away again.
    if (half_sent || one.pins.has(PinReason::library) || server->out_of_step || server->connection().ended())
      one.lease.close();
    else if (is_current && !queue_.empty())
      worker_.abandon(std::move(one.lease), std::move(queue_), server->reply_left);
    else if (clean)
      one.lease.release();
    else
      one.lease.give_back();
  }
  queue_.clear();
  leases_.clear();
  current_ = nullptr;
  if (account_) publish_pins();
}

}  // namespace pgweir::session
