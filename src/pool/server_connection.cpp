// The states of a server connection, in the order of its life; see server_connection.h.
#include "pool/server_connection.h"

#include <utility>

#include "base/assertion.h"
#include "net/loop.h"
#include "net/tls_stream.h"
#include "wire/frame.h"
#include "wire/messages/frontend.h"
#include "wire/messages/startup.h"

namespace pgweir::pool {

namespace {
constexpr std::string_view kReadOnly = "default_transaction_read_only";

std::uint64_t hash_of_one(std::string_view name, std::string_view value) {
  const std::hash<std::string_view> hash;
  // An odd multiplier keeps a value that moves from one name to another from cancelling out.
  return hash(name) * 0x9e3779b97f4a7c15ULL + hash(value) * (hash(name) | 1U);
}
}  // namespace

ServerConnection::ServerConnection(net::Loop& loop, ServerIdentity identity, OnFree on_free)
    : loop_(loop), identity_(std::move(identity)), on_free_(std::move(on_free)) {}

ServerConnection::~ServerConnection() = default;

void ServerConnection::open(std::string user, std::string database, ServerCredentials credentials,
                            base::Duration timeout, OnOpened on_opened) {
  on_opened_ = std::move(on_opened);
  user_ = std::move(user);
  database_ = std::move(database);
  login_.emplace(user_, std::move(credentials));
  const auto limit = std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count();
  timer_ = std::make_unique<net::Timer>(loop_, [this, limit] {
    finish_opening(base::Failure(
        base::Error{base::sqlstate::connection_failure, "the server did not complete the login in time", "",
                    "Opening a server connection may take " + std::to_string(limit) + " ms (pool.connect_timeout)."}));
  });
  timer_->start(timeout);
  timeout_ = timeout;
  if (identity_.tls.wish == ServerTls::Wish::never || identity_.tls.wish == ServerTls::Wish::if_refused ||
      identity_.endpoint.is_unix())
    negotiation_ = Negotiation::over;
  connect();
}

void ServerConnection::connect() {
  connector_ = std::make_unique<net::Connector>(loop_, identity_.endpoint, timeout_,
                                                [this](base::Result<int> fd) { on_connected(std::move(fd)); });
}

void ServerConnection::on_connected(base::Result<int> fd) {
  if (!fd) return finish_opening(base::Failure(fd.error()));
  connection_ = std::make_unique<net::Connection>(loop_, *fd, static_cast<net::Connection::Handler&>(*this));
  if (negotiation_ == Negotiation::over) return say_startup();
  wire::encode_ssl_request(connection_->output());
  negotiation_ = Negotiation::asked;
}

/// Everything behind the one byte is an error of net::Connection's when TLS begins, and no secret when it does not.
std::size_t ServerConnection::take_ssl_byte(std::string_view bytes) {
  const auto answer = take_ssl_answer(bytes.front(), identity_.tls);
  if (!answer) {
    finish_opening(base::Failure(answer.error()));
    return bytes.size();
  }
  if (*answer == SslAnswer::yes) {
    negotiation_ = Negotiation::handshake;
    connection_->start_tls(identity_.tls.context->connect(identity_.tls.expected), net::Connection::Early::forbidden);
  } else {
    negotiation_ = Negotiation::over;
    say_startup();
  }
  return 1;
}

void ServerConnection::on_secured(net::Connection&) {
  negotiation_ = Negotiation::over;
  identity_.encrypted = true;
  login_->bind_to(connection_->tls()->facts().server_certificate_hash);
  say_startup();
}

void ServerConnection::say_startup() {
  auto parameters = identity_.startup.parameters();
  if (identity_.read_only) parameters.emplace_back(kReadOnly, "on");  // of two values the last one counts
  wire::encode_startup(connection_->output(), user_, database_, parameters);
}

/// libpq's sslmode=allow: the server may take only encrypted connections, which it says before it asks for a password.
bool ServerConnection::tries_again_with_tls(const base::Error& error) {
  if (identity_.tls.wish != ServerTls::Wish::if_refused || identity_.encrypted || identity_.endpoint.is_unix() ||
      login_->authenticated() || error.sqlstate != base::sqlstate::invalid_authorization_specification)
    return false;
  identity_.tls.wish = ServerTls::Wish::always;
  login_.emplace(login_->again());
  negotiation_ = Negotiation::none;
  connection_.reset();
  connect();
  return true;
}

void ServerConnection::adopt(net::DetachedSocket socket, CarriedOnServer books) {
  carried = std::move(books);
  connection_ =
      std::make_unique<net::Connection>(loop_, std::move(socket), static_cast<net::Connection::Handler&>(*this));
  state_ = State::idle;
  idle_since = loop_.now();
}

net::DetachedSocket ServerConnection::give_away() {
  PGWEIR_ASSERT(state_ == State::idle);
  state_ = State::dead;
  return connection_->release();
}

void ServerConnection::lease_to(ServerUser& user) {
  PGWEIR_ASSERT(state_ == State::idle);
  state_ = State::leased;
  user_of_lease_ = &user;
  reply_left = 0;
}

void ServerConnection::release() {
  PGWEIR_ASSERT(state_ == State::leased && transaction == wire::TransactionStatus::idle);
  state_ = State::idle;
  user_of_lease_ = nullptr;
  idle_since = loop_.now();
  connection_->resume_reading();
}

void ServerConnection::reset(base::Duration timeout) {
  PGWEIR_ASSERT(state_ == State::leased);
  state_ = State::resetting;
  user_of_lease_ = nullptr;
  carried.clear();
  replies_to_reset_ = 0;
  reset_answered_ = false;
  if (transaction != wire::TransactionStatus::idle) {
    wire::encode_query(connection_->output(), "ROLLBACK");
    ++replies_to_reset_;
  }
  wire::encode_query(connection_->output(), "DISCARD ALL");
  ++replies_to_reset_;
  connection_->resume_reading();
  timer_ = std::make_unique<net::Timer>(loop_, [this] { die(); });
  timer_->start(timeout);
}

void ServerConnection::kill() {
  const bool was_dead = state_ == State::dead;
  user_of_lease_ = nullptr;
  on_opened_ = nullptr;
  if (!was_dead) die();
}

std::uint64_t hash_of(const std::vector<std::pair<std::string, std::string>>& parameters) {
  std::uint64_t sum = 0;
  for (const auto& [name, value] : parameters) sum += hash_of_one(name, value);
  return sum;
}

bool ServerConnection::is_hidden(std::string_view name) const { return identity_.read_only && name == kReadOnly; }

void ServerConnection::set_parameter(std::string_view name, std::string_view value) {
  if (is_hidden(name)) return;
  for (auto& [known, current] : identity_.parameters) {
    if (known != name) continue;
    if (current == value) return;
    identity_.parameters_hash += hash_of_one(name, value) - hash_of_one(name, current);
    current = value;
    return;
  }
  if (identity_.parameters.size() >= kMostParameters) return;
  identity_.parameters.emplace_back(name, value);
  identity_.parameters_hash += hash_of_one(name, value);
}

std::size_t ServerConnection::on_data(net::Connection&, std::string_view bytes) {
  if (state_ == State::leased) return user_of_lease_->on_server_data(*this, bytes);
  if (negotiation_ == Negotiation::asked) return take_ssl_byte(bytes);
  std::size_t consumed = 0;
  wire::Frame frame;
  while (state_ == State::opening || state_ == State::resetting || state_ == State::idle) {
    const auto status = wire::read_frame(bytes.substr(consumed), frame);
    if (status == wire::FrameStatus::invalid || frame.body_size > 1024 * 1024) {
      if (status != wire::FrameStatus::need_header) {
        if (state_ == State::opening)
          finish_opening(base::Failure(
              base::Error{base::sqlstate::protocol_violation, "the server does not speak PostgreSQL's protocol"}));
        else
          die();
        return bytes.size();
      }
    }
    if (status == wire::FrameStatus::need_header || !frame.complete()) break;
    consumed += frame.bytes_here();
    const bool go_on = state_ == State::opening     ? take_login_frame(frame)
                       : state_ == State::resetting ? take_reset_frame(frame)
                                                    : take_idle_frame(frame);
    if (!go_on) break;
    // A callback may have leased it: what follows belongs to the new user, and nothing should follow.
    if (state_ == State::leased) break;
  }
  return consumed;
}

bool ServerConnection::take_login_frame(const wire::Frame& frame) {
  auto step = login_->take(frame, connection_->output());
  if (!step) {
    if (tries_again_with_tls(step.error())) return false;
    finish_opening(base::Failure(step.error()));
    return false;
  }
  if (*step == ServerLogin::Step::wait) return true;
  identity_.parameters = std::move(login_->parameters());
  for (auto& [name, value] : identity_.parameters)
    if (is_hidden(name)) value = "off";
  identity_.parameters_hash = hash_of(identity_.parameters);
  identity_.process_id = login_->process_id();
  identity_.secret = login_->secret();
  finish_opening(true);
  return false;
}

bool ServerConnection::take_reset_frame(const wire::Frame& frame) {
  if (frame.type == wire::backend::kParameterStatus) {
    const auto status = wire::decode_parameter_status(frame.body);
    if (status) set_parameter(status->name, status->value);
  } else if (frame.type == wire::backend::kCommandComplete) {
    reset_answered_ = true;
  } else if (frame.type == wire::backend::kErrorResponse) {
    die();
    return false;
  } else if (frame.type == wire::backend::kReadyForQuery) {
    const auto status = wire::decode_ready_for_query(frame.body);
    // One too many would be taken for the end of the reset.
    const bool answered = std::exchange(reset_answered_, false);
    if (!answered || !status || (replies_to_reset_ == 1 && *status != wire::TransactionStatus::idle)) {
      die();
      return false;
    }
    if (--replies_to_reset_ > 0) return true;
    transaction = wire::TransactionStatus::idle;
    timer_.reset();
    state_ = State::idle;
    idle_since = loop_.now();
    on_free_(*this);
    return false;
  }
  return true;
}

bool ServerConnection::take_idle_frame(const wire::Frame& frame) {
  if (frame.type == wire::backend::kParameterStatus) {
    const auto status = wire::decode_parameter_status(frame.body);
    if (status) set_parameter(status->name, status->value);
    return true;
  }
  if (frame.type == wire::backend::kNoticeResponse) return true;
  // Nothing else may come unasked: FATAL on shutdown, or a server that is out of step.
  die();
  return false;
}

void ServerConnection::finish_opening(base::Result<bool> result) {
  timer_.reset();
  connector_.reset();
  login_.reset();
  const bool opened = result.has_value();
  state_ = opened ? State::idle : State::dead;
  idle_since = identity_.opened = loop_.now();
  if (!opened) connection_.reset();
  if (auto done = std::exchange(on_opened_, nullptr)) done(*this, std::move(result));
}

void ServerConnection::on_end(net::Connection&, std::string_view error) {
  if (state_ == State::opening && negotiation_ == Negotiation::handshake) {
    finish_opening(base::Failure(base::Error{base::sqlstate::connection_failure,
                                             "the TLS handshake with the server failed: " + std::string(error)}));
    return;
  }
  if (state_ == State::opening) {
    finish_opening(base::Failure(base::Error{
        base::sqlstate::connection_failure,
        "the server closed the connection during the login" + (error.empty() ? "" : ": " + std::string(error))}));
    return;
  }
  if (state_ == State::leased && user_of_lease_) {
    user_of_lease_->on_server_end(*this, error);
    return;
  }
  die();
}

void ServerConnection::on_drained(net::Connection&) {
  if (user_of_lease_) user_of_lease_->on_server_drained(*this);
}

void ServerConnection::die() {
  if (state_ == State::dead) return;
  state_ = State::dead;
  if (timer_) timer_->stop();
  if (connection_) connection_->close();
  on_free_(*this);
}

}  // namespace pgweir::pool
