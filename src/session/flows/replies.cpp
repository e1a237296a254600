// What the server answers, on its way to the client: runs of messages that only pass go out as one span; those that end
// something are looked at. Nothing is reordered, nothing is lost, nothing is told that the server did not say.
#include <algorithm>
#include <utility>

#include "base/byte_order.h"
#include "session/session.h"
#include "wire/messages/backend.h"

namespace pgweir::session {

namespace backend = wire::backend;

namespace {
/// The longest message that is looked into; data rows and the like are not.
constexpr std::size_t kLargestLookedAt = 1024 * 1024;
/// A row up to here is passed on when it is there as a whole: a client that is in the middle of a message when the
/// server goes cannot be told.
constexpr std::size_t kLargestRowHeld = 16 * 1024;

/// Passes without ending or changing anything while a statement's answer is under way.
bool only_passes(char type) { return type == backend::kDataRow || type == backend::kCopyData; }

/// Of the message that begins there; 0 when nothing of it has come.
char next_type(std::string_view bytes, std::size_t at) { return at < bytes.size() ? bytes[at] : '\0'; }

bool is_fatal(const wire::Frame& error) {
  const auto fields = wire::decode_error(error.body);
  return fields && (fields->severity == "FATAL" || fields->severity == "PANIC");
}

/// An immediate stop is told as a notice since PostgreSQL 14, and so is the crash of another process
/// (tcop/postgres.c, quickdie). The end of the connection follows, of which the client hears nothing by itself.
bool announces_end(const wire::Frame& notice) {
  const auto fields = wire::decode_error(notice.body);
  return fields && (fields->sqlstate == "57P01" || fields->sqlstate == "57P02");
}

/// Comes before the first row or the end of a statement's answer, and can be held back.
bool begins_only(char type) {
  return type == backend::kParseComplete || type == backend::kBindComplete || type == backend::kCloseComplete ||
         type == backend::kParameterDescription || type == backend::kRowDescription || type == backend::kNoData;
}

}  // namespace

std::size_t Session::on_server_data(pool::ServerConnection& server, std::string_view bytes) {
  const std::size_t used = take_replies(server, bytes);
  end_if_server_waits(client_.unread_bytes());
  work_.give_back_if_over();
  return used;
}

std::size_t Session::take_replies(pool::ServerConnection& server, std::string_view bytes) {
  // The span of messages, within the bytes at hand, that the client gets and has not got yet.
  struct {
    std::size_t begin = 0, end = 0;
  } run;
  const auto flush = [&] {
    if (run.end > run.begin) write_client(bytes.substr(run.begin, run.end - run.begin));
    run.begin = run.end;
  };
  if (client_is_mid_message_for_other(server)) {
    // The client is in the middle of a message from the current server: what others say waits until it is complete.
    server.connection().pause_reading();
    work_->servers_held = true;
    return 0;
  }
  if (server.reply_left > 0) {
    const std::size_t step = std::min(server.reply_left, bytes.size());
    server.reply_left -= step;
    run.end = step;
    if (!server.reply_forwarded) run.begin = step;
  }
  wire::Frame frame;
  while (state_ != State::finished) {
    const auto rest = bytes.substr(run.end);
    const auto status = wire::read_frame(rest, frame);
    if (status == wire::FrameStatus::need_header) break;
    if (status == wire::FrameStatus::invalid) {
      flush();
      out_of_step(server, "invalid message from the server");
      return bytes.size();
    }
    Work& work = *work_;
    const bool passing = only_passes(frame.type) && work.queue.front_has_rows() && &server == work.current &&
                         work.queue.front().purpose == Purpose::none;
    if (!frame.complete() && frame.body_size <= (passing ? kLargestRowHeld : kLargestLookedAt)) break;
    std::size_t before = run.end;
    if (passing && !work.on_probation() && !work.second_try.swallows && work.queue.front().action == Action::forward) {
      // Rows come in large numbers: nothing changes until the last of them.
      do {
        run.end += frame.bytes_here();
        server.reply_left = frame.bytes_left();
      } while (server.reply_left == 0 && only_passes(next_type(bytes, run.end)) &&
               wire::read_frame(bytes.substr(run.end), frame) == wire::FrameStatus::ok &&
               (frame.complete() || frame.body_size > kLargestRowHeld));
      server.reply_forwarded = true;
      continue;
    }
    std::optional<std::size_t> answered;
    if (work.queue.front_is_whole()) answered = find_whole_answer(server, rest, frame);
    if (answered) before = run.end += *answered;
    // What comes before this one must be out before it is handled.
    if (answered || !joins_run(server, frame.type)) flush();
    // From here on the session may have another `Work`, or none.
    const bool forward = answered ? complete_whole(server, frame) : take_reply(server, frame);
    if (state_ == State::finished || work_->leases.server(server.node()) != &server) return bytes.size();
    run.end = before + frame.bytes_here();
    if (!forward) run.begin = run.end;
    server.reply_left = frame.bytes_left();
    server.reply_forwarded = forward;
    if (work_->queue.answers_here()) {
      flush();
      emit_synthesised();
    }
    if (frame.type == backend::kReadyForQuery) {
      flush();
      after_ready();
      if (state_ == State::finished) return bytes.size();
      // Given back: what follows is its next user's.
      if (work_->leases.server(server.node()) != &server) return run.end;
    }
  }
  flush();
  if (server.reply_left == 0 && std::exchange(work_->servers_held, false)) release_held_servers();
  if (listening_ && may_hear()) flush_notifications();
  if (queue_full_ && work_->queue.size() < ReplyQueue::kMost / 2) {
    queue_full_ = false;
    worker_.loop().after_pass([&worker = worker_, id = id_] { worker.resume(id); });
  }
  return run.end;
}

/// A message that is handled without a word to the client: what comes before it need not be out yet.
bool Session::joins_run(const pool::ServerConnection& server, char type) const {
  const bool quiet = begins_only(type) || type == backend::kCommandComplete || type == backend::kEmptyQuery ||
                     type == backend::kPortalSuspended;
  return quiet && &server == work_->current && work_->wait != Wait::retryable && !work_->second_try.swallows &&
         work_->queue.accepts(type) && work_->queue.front().action == Action::forward;
}

/// The client has seen the beginning of a message, and the rest of it has not come yet.
bool Session::client_is_mid_message() const {
  return work_->current && work_->current->reply_left > 0 && work_->current->reply_forwarded;
}

bool Session::client_is_mid_message_for_other(const pool::ServerConnection& server) const {
  return work_->current != &server && client_is_mid_message();
}

void Session::release_held_servers() {
  worker_.loop().after_pass([&worker = worker_, id = id_] { worker.redeliver_servers(id); });
}

void Session::redeliver_servers() {
  std::vector<base::NodeId> nodes;
  for (const Held& one : work_->leases.all()) nodes.push_back(one.node);
  for (const base::NodeId node : nodes) {
    pool::ServerConnection* server = work_->leases.server(node);
    if (!server || server == work_->current || state_ == State::finished) continue;
    server->connection().resume_reading();
    server->connection().redeliver();
  }
}

/// Handles one message; true when the client gets it.
bool Session::take_reply(pool::ServerConnection& server, const wire::Frame& frame) {
  if (backend::is_asynchronous(frame.type)) return take_asynchronous(server, frame);
  if (frame.type == backend::kErrorResponse && frame.complete() && is_fatal(frame)) {
    on_last_words(server, frame);
    return false;
  }
  Work& work = *work_;
  if (work.queue.answers_here()) emit_synthesised();
  if (&server != work.current || work.queue.expects_nothing()) {
    // A server that shuts down, or ends an idle transaction, says so unasked; the end of the connection follows.
    if (frame.type == backend::kErrorResponse) {
      if (frame.complete()) work_->last_words = wire::raw(frame);
      return false;
    }
    out_of_step(server, "unexpected message from the server");
    return false;
  }
  work.dropped.clear();
  const Action action = work.queue.empty() ? Action::forward : work.queue.front().action;
  const auto taken = work.queue.take(frame.type, work.dropped, work.completed);
  switch (taken.kind) {
    case ReplyQueue::Taken::Kind::violation:
      out_of_step(server, std::string("unexpected message '") + frame.type + "' from the server");
      return false;
    case ReplyQueue::Taken::Kind::error: {
      const bool forward = on_error_reply(server, frame, taken, action);
      if (state_ != State::finished && work_->queue.skipping()) await_sync(server);
      return forward;
    }
    case ReplyQueue::Taken::Kind::complete:
      if (!on_complete(server, work.completed, frame)) return false;
      break;
    case ReplyQueue::Taken::Kind::part:
      if (work.queue.copying_in() || taken.syncs_eaten) take_more_for_copy();
      if (frame.type == backend::kCopyIn) pass_gathered_to_copy(server);
      // The Sync that closed the exchange was not one: another will come behind the COPY.
      if (taken.syncs_eaten) pass_gathered_behind_copy(server);
      on_part(server, frame);
      break;
  }
  if (action == Action::forward) work_->second_try.healable = work_->second_try.kept = false;
  if (state_ == State::finished) return false;
  if (work_->second_try.swallows || action != Action::forward) return false;
  if (work_->on_probation()) {
    if (begins_only(frame.type) && frame.complete()) {
      work_->second_try.held_back.append(wire::raw(frame));
      return false;
    }
    end_probation();
  }
  return true;
}

bool Session::take_asynchronous(pool::ServerConnection& server, const wire::Frame& frame) {
  const bool swallowed = work_->second_try.swallows || (&server == work_->current && !work_->queue.empty() &&
                                                        work_->queue.front().action == Action::swallow);
  if (frame.type == backend::kParameterStatus) {
    const auto status = wire::decode_parameter_status(frame.body);
    if (!status) return !swallowed;
    server.set_parameter(status->name, status->value);
    const bool answers = &server == work_->current && !work_->queue.empty();
    const bool speaks_for_session = answers || worker_.topology().primary == server.node();
    // What is being restored is told when it holds again.
    if (speaks_for_session && !swallowed && work_->resets.empty() && !server.is_hidden(status->name))
      tell_parameter(status->name, status->value);
    return false;
  }
  if (frame.type == backend::kNoticeResponse && frame.complete() && announces_end(frame)) {
    work_->last_words = wire::raw(frame);
    return false;
  }
  // Nobody else will hear a notification.
  if (swallowed && frame.type != backend::kNotification) return false;
  work_->second_try.kept = false;
  if (work_->on_probation()) end_probation();
  return frame.type != backend::kNotification || !pass_own_notification(server, frame);
}

/// A client knows its own notifications by the process id that it was given, which is pgweir's.
bool Session::pass_own_notification(const pool::ServerConnection& server, const wire::Frame& frame) {
  if (!frame.complete() || frame.body.size() < 4) return false;
  if (base::load_be32(frame.body.data()) != server.identity().process_id) return false;
  std::string changed(wire::raw(frame));
  base::store_be32(changed.data() + wire::kHeaderBytes, id_.value);
  write_client(changed);
  return true;
}

void Session::emit_synthesised() {
  std::string messages;
  while (work_->queue.take_synthesised(messages)) client_.write(messages);
  check_client_takes();
}

void Session::write_client(std::string_view bytes) {
  client_.write_through(bytes);
  check_client_takes();
}

/// A client that does not take its answers is not asked for more, nor are the servers.
void Session::check_client_takes() {
  const std::size_t mark = worker_.settings().limits.buffer_high_water;
  if (client_.unsent() <= mark) return;
  client_full_ = true;
  client_.notify_when_drained(mark);
  for (Held& one : work_->leases.all())
    if (one.lease->connection().reading()) one.lease->connection().pause_reading();
}

void Session::on_server_drained(pool::ServerConnection&) {
  server_full_ = false;
  update_client_reading();
  resume_client();
}

}  // namespace pgweir::session
