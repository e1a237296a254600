// Listening for many clients on one connection; see shared_listener.h.
#include "session/shared_listener.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "session/channels.h"
#include "session/session.h"
#include "session/settings_text.h"
#include "session/worker.h"
#include "wire/messages/backend.h"
#include "wire/messages/frontend.h"

namespace pgweir::session {

namespace backend = wire::backend;
namespace log = base::log;
namespace sqlstate = base::sqlstate;

namespace {

/// More than any message that the commands here can cause; a payload is shorter than 8000 bytes (commands/async.c).
constexpr std::size_t kLargestMessage = 1024 * 1024;

/// What an earlier user has set on the connection is gone after DISCARD ALL. idle_session_timeout may come from the
/// role, and is not for a connection whose work is to wait; servers before version 14 have none.
std::string settings_text(std::string_view encoding) {
  return "SELECT pg_catalog.set_config(name, CASE name WHEN 'client_encoding' THEN " + to_literal(encoding) +
         " WHEN 'application_name' THEN 'pgweir listener' ELSE '0' END, false) FROM pg_catalog.pg_settings"
         " WHERE name IN ('client_encoding', 'application_name', 'idle_session_timeout')";
}

}  // namespace

SharedListener::~SharedListener() {
  if (ticket_) worker_.pools().cancel(*ticket_);
}

void SharedListener::listen(base::SessionId session, const std::string& channel, std::string_view encoding) {
  if (encoding_.empty()) encoding_ = encoding;
  books_.ask(session, channel);
  send({.purpose = Command::Purpose::listen,
        .text = "LISTEN " + to_identifier(channel),
        .channel = channel,
        .session = session,
        .answer = Answer::expected});
}

void SharedListener::unlisten(base::SessionId session, const std::string& channel, Answer answer) {
  std::string text;
  for (const std::string& one : books_.leave(session, channel)) text += "UNLISTEN " + to_identifier(one) + ";";
  // Others may still listen: then this is an empty query, for the sake of its answer.
  send({.purpose = Command::Purpose::unlisten, .text = std::move(text), .session = session, .answer = answer});
}

void SharedListener::forget(base::SessionId session, const std::string& channel) {
  std::string text;
  for (const std::string& one : books_.forget(session, channel)) text += "UNLISTEN " + to_identifier(one) + ";";
  if (!lease_) std::erase_if(commands_, [&](const Command& one) { return one.session == session; });
  for (Command& one : commands_)
    if (one.session == session) one.answer = Answer::none;
  if (lease_ && !books_.empty() && !text.empty()) send({.text = std::move(text)});
  give_back_if_unused();
}

void SharedListener::on_topology(const std::vector<base::NodeId>& lost) {
  const auto primary = worker_.topology().primary;
  not_before_ = {};
  if (!lease_) return;
  if (primary && !(*primary == lease_->node()))
    lose("the primary is another server now");
  else if (std::find(lost.begin(), lost.end(), lease_->node()) != lost.end())
    lose("the monitor has found the server down");
}

bool SharedListener::try_to_listen_again() {
  if (lease_ || books_.empty()) return false;
  const auto& topology = worker_.topology();
  if (!ticket_ && topology.primary && !topology.writes_paused && worker_.loop().now() >= not_before_) acquire();
  return true;
}

void SharedListener::look_again(base::Duration pause) {
  not_before_ = worker_.loop().now() + pause;
  worker_.look_for_listening();
}

void SharedListener::send(Command command) {
  commands_.push_back(std::move(command));
  if (lease_)
    wire::encode_query(lease_->connection().output(), commands_.back().text);
  else if (!ticket_)
    acquire();
}

void SharedListener::acquire() {
  const auto primary = worker_.topology().primary;
  if (!primary) return refuse_all({sqlstate::cannot_connect_now, "no primary server is available"});
  auto& pools = worker_.pools();
  const pool::StartupClass plain({}, {});
  if (auto lease = pools.try_acquire(account_.pool_key(*primary), plain)) return on_lease(std::move(lease));
  ticket_ = pools.acquire(account_.pool_key(*primary), plain, [this](base::Result<pool::Lease> lease) {
    ticket_.reset();
    on_lease(std::move(lease));
  });
}

void SharedListener::on_lease(base::Result<pool::Lease> lease) {
  if (!lease) return refuse_all(lease.error());
  if (worker_.topology().primary != (*lease)->node())
    return refuse_all({sqlstate::cannot_connect_now, "the primary is another server now"});
  lease_ = std::move(*lease);
  lease_->lease_to(static_cast<pool::ServerUser&>(*this));
  lease_->carried.clear();
  if (const auto channels = books_.channels(); !channels.empty())
    commands_.push_front({.purpose = Command::Purpose::again, .text = listen_text(channels)});
  commands_.push_front({.purpose = Command::Purpose::prepare, .text = settings_text(encoding_)});
  commands_.push_front({.purpose = Command::Purpose::prepare, .text = "DISCARD ALL"});
  for (const Command& one : commands_) wire::encode_query(lease_->connection().output(), one.text);
}

/// No connection is to be had, or it is lost: those who asked get an error, those who listen are to do so again.
void SharedListener::refuse_all(const base::Error& error) {
  constexpr std::chrono::seconds kPause{1};
  const auto commands = std::exchange(commands_, {});
  // Those listen on connections of their own by now.
  for (const Command& one : commands)
    if (one.purpose == Command::Purpose::unlisten && one.answer == Answer::none) books_.left(one.session);
  books_.lose();
  const bool has_begun = std::none_of(commands.begin(), commands.end(), [](const Command& one) {
    return one.purpose == Command::Purpose::prepare || one.purpose == Command::Purpose::again;
  });
  const bool was_listening = lease_ && has_begun;
  lease_.close();
  look_again(was_listening ? base::Duration::zero() : kPause);
  for (const Command& one : commands)
    if (Session* session = one.answer == Answer::expected ? worker_.session(one.session) : nullptr)
      session->on_listened(base::Failure(error));
  give_back_if_unused();
}

std::size_t SharedListener::on_server_data(pool::ServerConnection& server, std::string_view bytes) {
  std::size_t used = 0;
  wire::Frame frame;
  // What is handed out may end a session, and with the last one the lease; then the rest is for the reset.
  while (lease_.server() == &server) {
    const auto status = wire::read_frame(bytes.substr(used), frame);
    if (status == wire::FrameStatus::need_header) break;
    if (status == wire::FrameStatus::invalid || frame.body_size > kLargestMessage) {
      lose("invalid message from the server");
      break;
    }
    if (!frame.complete()) break;
    used += frame.bytes_here();
    if (!take(frame)) lose(std::string("unexpected message '") + frame.type + "' from the server");
  }
  return used;
}

bool SharedListener::take(const wire::Frame& frame) {
  switch (frame.type) {
    case backend::kNotification: hand_out(frame); return true;
    case backend::kNoticeResponse: return true;
    case backend::kParameterStatus: {
      const auto status = wire::decode_parameter_status(frame.body);
      if (status) lease_->set_parameter(status->name, status->value);
      return status.has_value();
    }
    default: break;
  }
  if (commands_.empty()) return frame.type == backend::kErrorResponse;  // FATAL: the end comes behind it
  Command& command = commands_.front();
  switch (frame.type) {
    case backend::kCommandComplete:
      if (command.purpose == Command::Purpose::listen) books_.confirm(command.session, command.channel);
      return true;
    case backend::kErrorResponse: {
      const auto fields = wire::decode_error(frame.body);
      if (!fields) return false;
      command.error = base::Error{base::Sqlstate(fields->sqlstate), std::string(fields->message),
                                  std::string(fields->detail), std::string(fields->hint)};
      return true;
    }
    case backend::kRowDescription:
    case backend::kDataRow:
    case backend::kEmptyQuery: return true;
    case backend::kReadyForQuery: finish_command(); return true;
    default: return false;
  }
}

void SharedListener::hand_out(const wire::Frame& notification) {
  wire::BodyReader body(notification.body);
  body.uint32();
  const std::string_view channel = body.c_string();
  for (const base::SessionId id : books_.listeners(channel))
    if (Session* session = worker_.session(id)) session->deliver_notification(wire::raw(notification));
}

void SharedListener::finish_command() {
  const Command command = std::move(commands_.front());
  commands_.pop_front();
  Session* session = command.answer == Answer::expected ? worker_.session(command.session) : nullptr;
  switch (command.purpose) {
    case Command::Purpose::prepare:
      if (command.error) return lose(command.error->message);
      return;
    case Command::Purpose::again:
      if (command.error) return lose(command.error->message);
      tell_lost();
      break;
    case Command::Purpose::listen:
      if (command.error && books_.refuse(command.session, command.channel) && !books_.empty())
        send({.text = "UNLISTEN " + to_identifier(command.channel)});
      if (session)
        session->on_listened(command.error ? base::Result<std::string_view>(base::Failure(*command.error))
                                           : base::Result<std::string_view>("LISTEN"));
      break;
    case Command::Purpose::unlisten:
      // What the server still sends would go nowhere, and the session would think that it listens no more.
      if (command.error) return lose(command.error->message);
      books_.left(command.session);
      if (session) session->on_listened(std::string_view("UNLISTEN"));
      break;
    case Command::Purpose::tidy: break;
  }
  give_back_if_unused();
}

void SharedListener::give_back_if_unused() {
  if (!books_.empty() || (lease_ && !commands_.empty())) return;
  if (ticket_) worker_.pools().cancel(*std::exchange(ticket_, std::nullopt));
  commands_.clear();
  encoding_.clear();
  if (lease_) lease_.give_back();
}

void SharedListener::on_server_end(pool::ServerConnection& server, std::string_view error) {
  worker_.process().suspect(server.node());
  lose(error.empty() ? "closed by the server" : std::string(error));
}

void SharedListener::lose(const std::string& why) {
  const std::string name = worker_.topology().node(lease_->node()).name;
  log::warning("listening_connection_lost",
               {{"node", name}, {"database", account_.database}, {"user", account_.user}, {"error", why}});
  refuse_all({sqlstate::connection_failure, "the connection to server \"" + name + "\" was lost", why});
}

/// Whoever listened may have missed something.
void SharedListener::tell_lost() {
  for (const base::SessionId id : books_.listeners())
    if (Session* session = worker_.session(id)) session->notifications_lost();
}

}  // namespace pgweir::session
