// The life cycle of a session: login, welcome, end; see session.h.
#include "session/session.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/assertion.h"
#include "base/log.h"
#include "base/secret_text.h"
#include "net/tls_stream.h"
#include "session/settings_text.h"
#include "wire/crypto.h"
#include "wire/messages/backend.h"

namespace pgweir::session {

namespace log = base::log;
namespace sqlstate = base::sqlstate;

namespace {
base::Result<auth::Interfaces> local_interfaces() {
  const auto found = net::interface_addresses();
  if (!found) return base::Failure(found.error());
  auth::Interfaces all;
  for (const net::InterfaceAddress& one : *found)
    all.push_back({auth::Address::from_network(one.address), auth::Address::from_network(one.mask)});
  return all;
}

// Before protocol 3.2 a key was one number.
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

Session::Session(Worker& worker, base::SessionId id, int fd, const net::PeerAddress& peer)
    : worker_(worker),
      id_(id),
      client_(worker.loop(), fd, static_cast<net::Connection::Handler&>(*this)),
      peer_(peer),
      prepared_(worker.statement_stock()),
      work_(worker.work_stock()) {
  // As PostgreSQL does on authentication_timeout: no message, the connection just ends.
  login_ = std::make_unique<Login>(worker_.auth(), peer_, newest_minor(worker_.topology()), worker_.loop(),
                                   [this] { finish("login_timeout"); });
  login_->timeout.start(worker_.settings().auth.login_timeout);
  const auto mode = worker_.settings().client_tls.mode;
  login_->flow.set_tls_rules({peer_.is_tcp() && worker_.tls().clients != nullptr, mode >= config::TlsMode::require,
                              mode == config::TlsMode::verify_full});
}

Session::~Session() = default;

void Session::start() {
  // The kernel tells of a TCP client when it has spoken; one on a Unix socket has only just connected.
  if (peer_.is_tcp()) client_.read_now();
}

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
  const std::size_t used = take_bytes(bytes);
  work_.give_back_if_over();
  return used;
}

std::size_t Session::take_bytes(std::string_view bytes) {
  switch (state_) {
    case State::starting: {
      if (begins_with_tls(bytes)) return 0;
      in_client_data_ = true;
      const std::size_t used = take_startup(bytes);
      in_client_data_ = false;
      const bool serves = state_ == State::serving || state_ == State::draining;
      if (!serves) return used;
      return used + (console_ ? take_console(bytes.substr(used)) : take_messages(bytes.substr(used)));
    }
    case State::welcoming:
      client_held_ = true;
      update_client_reading();
      return 0;
    case State::serving:
    case State::draining: return console_ ? take_console(bytes) : take_messages(bytes);
    case State::finished: break;
  }
  return bytes.size();
}

std::size_t Session::take_startup(std::string_view bytes) {
  std::size_t consumed = 0;
  do {
    const auto fresh = bytes.substr(consumed);
    const std::size_t taken = login_->flow.take(fresh, client_.output());
    // A password may be among them. They lie in a buffer of ours, which may be written to.
    base::wipe(const_cast<char*>(fresh.data()), taken);
    consumed += taken;
    if (login_->flow.has_message() && !place_) {
      auto place = worker_.process().clients.enter(worker_.settings().pool.max_clients);
      if (!place) {
        terminate(place.error());
        return bytes.size();
      }
      place_ = std::move(*place);
    }
  } while (answer_login_question());
  on_login_progress();
  return state_ == State::finished ? bytes.size() : consumed;
}

/// A client that does not ask first (libpq's sslnegotiation=direct): no start-up packet begins with this byte.
bool Session::begins_with_tls(std::string_view bytes) {
  constexpr char kHandshakeRecord = 0x16;
  if (client_.tls() != nullptr || bytes.front() != kHandshakeRecord || !login_->flow.at_beginning() ||
      !worker_.tls().clients || !peer_.is_tcp())
    return false;
  login_->is_direct = true;
  client_.start_tls(worker_.tls().clients->accept(), net::Connection::Early::is_tls);
  return true;
}

void Session::on_secured(net::Connection&) {
  if (login_->is_direct && !client_.tls()->speaks_postgresql()) {
    log_failed_handshake("received direct SSL connection request without ALPN protocol negotiation extension");
    return finish("login_failed");
  }
  const net::TlsFacts facts = client_.tls()->facts();
  log::debug("tls", {{"client", peer_.text()},
                     {"version", facts.version},
                     {"cipher", facts.cipher},
                     {"server_name", facts.server_name},
                     {"certificate", facts.distinguished_name}});
  login_->flow.set_tls({true, facts.peer_certificate_verified, facts.common_name, facts.distinguished_name,
                        facts.server_certificate_hash});
}

void Session::log_failed_handshake(std::string_view error) const {
  log::warning("tls_failed", {{"client", peer_.text()}, {"error", error}});
}

/// False when there is none, or its answer takes time: then `answer_login` is called.
bool Session::answer_login_question() {
  StartupFlow& flow = login_->flow;
  base::ByteQueue& out = client_.output();
  switch (flow.question()) {
    case StartupFlow::Question::none: return false;
    case StartupFlow::Question::interfaces: flow.answer_interfaces(local_interfaces(), out); break;
    case StartupFlow::Question::system_user: flow.answer_system_user(client_.peer_user(), out); break;
    case StartupFlow::Question::memberships: worker_.find_memberships(id_, flow.message().user); return false;
    case StartupFlow::Question::secret: return find_secret();
    case StartupFlow::Question::turn: return find_turn();
    case StartupFlow::Question::password_check: return check_password_elsewhere();
  }
  return true;
}

void Session::answer_login(const std::function<void(StartupFlow&, base::ByteQueue&)>& give) {
  if (state_ != State::starting) return;
  give(login_->flow, client_.output());
  while (answer_login_question()) {
  }
  on_login_progress();
  if (state_ == State::starting && !client_held_) client_.redeliver();
  work_.give_back_if_over();
}

void Session::on_login_progress() {
  const auto stage = login_->flow.stage();
  client_held_ = stage == StartupFlow::Stage::waiting;
  update_client_reading();
  switch (stage) {
    case StartupFlow::Stage::handshake:
      return client_.start_tls(worker_.tls().clients->accept(), net::Connection::Early::forbidden);
    case StartupFlow::Stage::authenticated: return on_authenticated();
    case StartupFlow::Stage::cancel:
      worker_.deliver_cancel(login_->flow.cancel_request());
      return finish("cancel_request");
    case StartupFlow::Stage::failed: log_failed_login(); return hold_failed_login();
    default: return;
  }
}

void Session::log_failed_login() const {
  const StartupFlow& flow = login_->flow;
  log::warning("login_failed", {{"client", peer_.text()},
                                {"user", flow.message().user},
                                {"database", flow.message().database},
                                {"sqlstate", flow.error().sqlstate.view()},
                                {"error", flow.error().message},
                                {"reason", flow.reason()},
                                {"line", flow.line() ? flow.line()->place() : std::string()}});
}

void Session::on_authenticated() {
  login_->timeout.stop();
  note_login();
  const auto& message = login_->flow.message();
  if (worker_.process().local_commands->is_console(message.database)) return enter_console();
  begin_as(message);
  if (const auto& problem = login_->beginning->problem) return terminate(*problem);
  auto& welcome = login_->beginning->welcome;
  if (!welcome) welcome = worker_.welcomes().find(login_->beginning->welcome_key, message.parameters);
  apply(Event::authenticated);
  const auto named = worker_.process().clients.name(place_, account_->database, account_->user, worker_.settings());
  if (!named) return terminate(named.error());
  if (worker_.draining()) return terminate({sqlstate::cannot_connect_now, "pgweir is shutting down"});
  if (const WelcomePtr known = welcome) return say_welcome(known);

  ask_for_welcome();
}

/// The first of its kind asks a server: it alone knows whether such a login is possible and what its parameters are.
void Session::ask_for_welcome() {
  const auto& topology = worker_.topology();
  std::optional<base::NodeId> node = topology.primary;
  for (const auto& one : topology.nodes)
    if (!node && one.status == routing::NodeStatus::up) node = one.id;
  if (!node) return hold(no_primary());
  auto& pools = worker_.pools();
  if (auto lease = pools.try_acquire(account_->pool(pools, *node), *startup_class_, carried_.settings()))
    return on_welcome_lease(std::move(lease));
  const auto take = [this](base::Result<pool::Lease> lease) {
    work_->tickets.clear();
    work_->wait = Wait::none;
    on_welcome_lease(std::move(lease));
    work_.give_back_if_over();
  };
  work_->tickets.push_back({*node, pools.acquire(account_->pool_key(*node), *startup_class_, take)});
  work_->wait = Wait::lease;
}

void Session::make_secret() {
  const std::string secret =
      wire::random_bytes(login_->flow.minor_version() >= kMinorWithLongSecrets ? kLongSecretBytes : kSecretBytes);
  secret_.size = static_cast<std::uint8_t>(secret.copy(secret_.bytes.data(), secret_.bytes.size()));
}

void Session::begin_as(const wire::StartupMessage& message) {
  make_secret();
  login_->beginning = worker_.beginning(message);
  const Beginning& beginning = *login_->beginning;
  account_ = beginning.account;
  mode_ = beginning.mode;
  startup_class_ = beginning.startup_class;
  began_with_ = beginning.consistency;
  if (beginning.settings) carried_.begin_with(beginning.settings);
}

void Session::on_welcome_lease(base::Result<pool::Lease> lease) {
  if (!lease && is_away(lease.error())) return hold_after_failure(lease.error());
  if (!lease) return terminate(lease.error());
  pool::ServerConnection& server = adopt_lease(std::move(*lease));
  work_->current = &server;
  if (pool::same_settings(server.carried.settings, carried_.settings())) return finish_welcome();
  // The server says whether they are right, and what is reported with them.
  writer(server).query(statements_between(server.carried.settings, carried_.settings()), Purpose::settings);
}

void Session::finish_welcome() {
  end_hold();
  auto welcome =
      std::make_shared<const Welcome>(std::make_shared<const Parameters>(work_->current->identity().parameters));
  // A standby says of itself that it is one.
  if (worker_.topology().primary == work_->current->node())
    worker_.welcomes().remember(login_->beginning->welcome_key, welcome);
  say_welcome(welcome);
}

void Session::say_welcome(const WelcomePtr& welcome) {
  told_ = welcome->parameters;
  told_hash_ = welcome->hash;
  unsafe_encoding_ = welcome->unsafe_encoding;
  login_.reset();
  read_rules();
  times_.ready(worker_.loop().now(), TimeLimits::Transaction::none, TimeLimits::Pipeline::empty);
  base::ByteQueue& out = client_.output();
  out.append(welcome->messages);
  wire::encode_backend_key_data(out, id_.value, secret_.view());
  wire::encode_ready_for_query(out, wire::TransactionStatus::idle);
  apply(Event::welcomed);
  WorkerCounters::count(worker_.mutable_counters().sessions);
  if (worker_.settings().log.connections) log_connected();
  client_held_ = false;
  update_client_reading();
  resume_client();
  settle();
  if (worker_.draining()) drain();
}

void Session::log_connected() const {
  const net::TlsFacts tls = client_.tls() != nullptr ? client_.tls()->facts() : net::TlsFacts{};
  log::info("connected", {{"session", id_.value},
                          {"client", peer_.text()},
                          {"user", account_->user},
                          {"database", account_->database},
                          {"tls", tls.version.empty() ? std::string_view("off") : std::string_view(tls.version)},
                          {"server_name", tls.server_name}});
}

/// A client that has closed its side in good order may still read: it gets what it has asked for, if that is soon
/// there.
void Session::on_end(net::Connection&, std::string_view error) {
  if (state_ == State::starting && client_.tls() != nullptr && !client_.tls()->established() && !error.empty())
    log_failed_handshake(error);
  const bool waits =
      work_->wait != Wait::none && (work_->wait != Wait::node || std::as_const(work_)->hold.for_freshness);
  const bool under_way = waits || (!work_->queue.empty() && work_->stage == Stage::none);
  const bool answer_is_due =
      error.empty() && state_ == State::serving && under_way && work_->stream_left == 0 && !work_->queue.copying_in();
  if (!answer_is_due) return finish(error.empty() ? "client closed" : error);
  gone_timer_ = std::make_unique<net::Timer>(worker_.loop(), [this] { finish("client closed"); });
  gone_timer_->start(kPatienceWithHalfClosed);
}

void Session::on_drained(net::Connection&) {
  // The client takes bytes again: whoever was stopped for it may go on.
  client_full_ = false;
  for (Held& one : work_->leases.all())
    if (!one.lease->connection().reading()) one.lease->connection().resume_reading();
  release_held_servers();
  if (listening_ && may_hear()) flush_notifications();
  resume_client();
  work_.give_back_if_over();
}

void Session::cancel(std::string_view secret) {
  if (!wire::equal_in_constant_time(secret, secret_.view())) return;
  if (console_) return cancel_console();
  if (state_ == State::starting || state_ == State::welcoming) return;
  if ((work_->wait == Wait::lease && !work_->tickets.empty()) || work_->wait == Wait::node) {
    cancel_tickets();
    work_->wait = Wait::none;
    fail_exchange({sqlstate::query_canceled, "canceling statement due to user request"});
    resume_client();
    return work_.give_back_if_over();
  }
  // What pgweir asks for itself is nothing that a client could cancel.
  if (work_->current && !work_->queue.empty() && !work_->queue.front_is(Purpose::audit) &&
      !work_->queue.front_is(Purpose::listen))
    cancel_on_server(*work_->current);
}

void Session::drain() {
  if (state_ == State::starting || state_ == State::welcoming)
    return terminate({sqlstate::cannot_connect_now, "pgweir is shutting down"});
  apply(Event::drain);
  // Nothing of it is on any server, and there may be none for long.
  if (work_->wait == Wait::node && !std::as_const(work_)->hold.for_freshness)
    return terminate({sqlstate::admin_shutdown, "terminating connection because pgweir is shutting down"});
  end_if_idle();
}

/// After each exchange: is somebody waiting for this session to have nothing under way?
void Session::end_if_idle() {
  if (listening_ && may_hear()) flush_notifications();
  // A transaction that is still open is undone, as PostgreSQL does it.
  if (gone_timer_ && work_->is_answered()) return finish("client closed");
  if (state_ == State::draining && work_->is_quiet() && !(console_ && console_->flow.wanted()))
    terminate({sqlstate::admin_shutdown, "terminating connection because pgweir is shutting down"});
}

/// For the data of a COPY, or for a Sync, from a client that has said its last word: it would wait for ever.
void Session::end_if_server_waits(std::string_view unread) {
  if (!gone_timer_) return;
  // Half a message stays half a message.
  wire::Frame next;
  const auto status = wire::read_frame(unread, next);
  if (status == wire::FrameStatus::invalid || (status == wire::FrameStatus::ok && next.complete())) return;
  const Work& work = *work_;
  const bool lacks_sync = work.stage != Stage::none && work.wait == Wait::none && work.queue.empty();
  if (lacks_sync || work.queue.copying_in() || work.queue.skipping()) finish("client closed");
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
  if (login_) login_->timeout.stop();
  if (login_ && login_->pause) login_->pause->stop();
  gone_timer_.reset();
  cancel_tickets();
  cancel_unheard_ticket();
  end_hold();
  give_up_leases();
  if (had_session && worker_.settings().log.connections)
    log::info("disconnected", {{"session", id_.value}, {"client", peer_.text()}, {"reason", why}});
  client_.close();
  place_.give_back();
  worker_.finished(*this);
}

/// What owes nothing is used again, reset if there may be more on it than its books say. What has been asked for in
/// full is run to its end. Half a message, or an exchange without its Sync, is what PostgreSQL too gives up with the
/// connection.
void Session::give_up_leases() {
  for (Held& one : work_->leases.all()) {
    pool::ServerConnection* server = one.lease.server();
    const bool is_current = server == work_->current;
    const bool half_sent =
        server == work_->stream_to || (is_current && (work_->stage == Stage::open || work_->queue.copying_in()));
    const bool clean = shares_servers() && !one.pins.any() && one.due == Audit::none &&
                       server->transaction == wire::TransactionStatus::idle;
    const bool over = half_sent || server->out_of_step || server->connection().ended();
    const bool answered = !is_current || work_->queue.empty();
    if (one.pins.has_lasting()) server->spoilt = true;
    if (over || (answered && server->spoilt))
      one.lease.close();
    else if (!answered)
      worker_.abandon(std::move(one.lease), std::move(work_->queue), server->reply_left);
    else if (clean)
      one.lease.release();
    else
      one.lease.give_back();
  }
  work_->queue.clear();
  work_->leases.all().clear();
  work_->current = nullptr;
  if (account_) publish_pins();
}

}  // namespace pgweir::session
