// What goes wrong on the servers' side: their errors, on their way to the client or not; what they refuse of pgweir's
// own; connections that end.
#include <algorithm>
#include <utility>

#include "base/log.h"
#include "session/session.h"
#include "wire/messages/backend.h"

namespace pgweir::session {

namespace sqlstate = base::sqlstate;

/// True when the client gets it.
bool Session::on_error_reply(pool::ServerConnection& server, const wire::Frame& frame, const ReplyQueue::Taken& taken,
                             Action action) {
  // Its books say what the server has just refused.
  if (work_->queue.front_is(Purpose::settings) && !work_->chosen) server.out_of_step = true;
  if (work_->queue.front_is(Purpose::prepare))
    if (const auto& change = work_->queue.front().change) server.carried.prepared.remove(change->name);
  if (work_->on_probation() && should_retry(server.node(), frame)) {
    writer(server).undo_dropped();
    start_retry(server);
    return false;
  }
  if (can_heal(frame, taken)) {
    writer(server).undo_dropped();
    start_healing(server);
    return false;
  }
  on_error(server, frame, taken);
  if (state_ == State::finished || action != Action::forward || work_->second_try.swallows) return false;
  work_->second_try.kept = false;
  if (work_->on_probation()) end_probation();
  return forward_error(frame);
}

void Session::on_error(pool::ServerConnection& server, const wire::Frame& frame, const ReplyQueue::Taken& taken) {
  if (taken.action == Action::swallow && !work_->second_try.swallows && !on_swallowed_error(server, frame)) return;
  const bool forwarded = taken.action == Action::forward;
  work_->exchange_error = work_->exchange_error || forwarded;
  writer(server).undo_dropped();
  for (auto entry = work_->dropped.rbegin(); entry != work_->dropped.rend(); ++entry) {
    if (!entry->statement || entry->action == Action::swallow) continue;
    if (entry->what == Expect::parse) prepared_.withdraw(*entry->statement);
    if (entry->what == Expect::close) prepared_.define(entry->statement);
    if (!entry->deallocated) continue;
    for (const StatementPtr& statement : *entry->deallocated)
      if (!statement->withdrawn) prepared_.define(statement);
  }
}

/// True when the client gets it as it is.
bool Session::forward_error(const wire::Frame& frame) {
  if (!frame.complete()) return true;
  if (work_->queue.front_is_told()) return false;
  const auto& dropped = work_->dropped;
  if (forward_refusal(dropped.empty() ? work_->queue.front() : dropped.front(), frame)) return false;
  if (times_.is_cancelled()) {
    forward_cancelled(frame);
    return false;
  }
  const std::string words = own_words(frame);
  if (words.empty()) return true;
  client_.write(words);
  return false;
}

/// The error with the client's name for a statement where the server says its own; empty when it says none.
std::string Session::own_words(const wire::Frame& frame) const {
  if (!shares_servers() || !frame.complete()) return {};
  const auto begin = frame.body.find(SharedName::kPrefix);
  if (begin == std::string_view::npos) return {};
  const std::string_view name = frame.body.substr(begin, SharedName::kSize);
  for (const auto& entry : work_->dropped)
    if (entry.statement && entry.server_name_is(name))
      return wire::with_text_replaced(frame, name, entry.statement->name);
  return {};
}

/// Something that pgweir sent on the session's behalf was refused. True when the session goes on.
bool Session::on_swallowed_error(pool::ServerConnection& server, const wire::Frame& frame) {
  const auto fields = wire::decode_error(frame.body);
  const Purpose purpose = work_->queue.empty() ? Purpose::none : work_->queue.front().purpose;
  if (purpose == Purpose::audit) {
    work_->audit->fail();
    return true;
  }
  if (purpose == Purpose::listen) {
    listening_refused(server);
    return true;
  }
  // It has hit itself; it is said again.
  if (purpose == Purpose::timeout && fields && fields->sqlstate == "57014") return true;
  const bool nothing_behind = purpose == Purpose::settings && (work_->chosen || state_ == State::welcoming);
  if (nothing_behind && fields && makes_settings_again(server, fields->sqlstate)) {
    work_->settings_refused = true;
    // Given up when the exchange is sent again.
    server.out_of_step = work_->telling == Telling::other_connection;
    return true;
  }
  if (nothing_behind && fields) {
    work_->settings_error = base::Error{base::Sqlstate(fields->sqlstate), std::string(fields->message),
                                        std::string(fields->detail), std::string(fields->hint)};
    return true;
  }
  const bool parse_refused = !work_->dropped.empty() && (work_->dropped.front().what == Expect::parse ||
                                                         work_->dropped.front().what == Expect::execute);
  if (parse_refused || purpose == Purpose::prepare) {
    // The client's own message depends on it, and would fail in turn: it is told the reason.
    const bool before_query = !work_->queue.empty() && work_->queue.front().action == Action::swallow;
    if (!before_query || work_->queue.tell_error_of_next_query()) {
      work_->exchange_error = true;
      const std::string words = own_words(frame);
      client_.write(words.empty() ? wire::raw(frame) : std::string_view(words));
    }
    return true;
  }
  // What follows it must not be believed.
  server.out_of_step = true;
  terminate({sqlstate::connection_failure, "the session's state could not be made again on another server connection",
             fields ? std::string(fields->message) : std::string(), ""});
  return false;
}

/// Nothing of the client's exchange has been sent.
void Session::fail_exchange_for_settings() {
  base::Error error = std::move(*std::exchange(work_->settings_error, std::nullopt));
  if (state_ == State::welcoming) return terminate(error);
  if (!error.detail.empty()) error.detail += ' ';
  error.detail += "A setting of this session could not be made again on another server connection.";
  work_->wait = Wait::none;
  work_->telling = Telling::as_login;
  fail_exchange(error);
  settle();
  resume_client();
}

/// The server says what cannot be: neither this session nor another may use that connection any more.
void Session::out_of_step(pool::ServerConnection& server, std::string_view what) {
  server.out_of_step = true;
  terminate({sqlstate::protocol_violation, std::string(what), server.identity().endpoint.text(), ""});
}

}  // namespace pgweir::session
