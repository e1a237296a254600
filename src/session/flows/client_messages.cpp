// What the client says, message by message: looked at as far as routing and the reply queue need, then gathered into
// the exchange while it is open where that runs, or passed on. Never changes a byte that the client sent.
#include <algorithm>
#include <utility>

#include "session/session.h"
#include "wire/messages/backend.h"
#include "wire/messages/frontend.h"

namespace pgweir::session {

namespace frontend = wire::frontend;
namespace sqlstate = base::sqlstate;

std::size_t Session::take_messages(std::string_view bytes) {
  in_client_data_ = true;
  std::size_t used = 0;
  while (may_take_message()) {
    const std::size_t step = take_one(bytes.substr(used));
    if (step == 0) break;
    used += step;
  }
  in_client_data_ = false;
  end_if_server_waits(bytes.substr(used));
  if (state_ == State::finished) return bytes.size();
  const bool held = used < bytes.size() && !may_take_message();
  if (held != client_held_) {
    client_held_ = held;
    update_client_reading();
  }
  return used;
}

bool Session::may_take_message() const {
  const bool cancelling = work_->current && work_->current->cancels_in_flight > 0;
  return state_ != State::finished && work_->wait == Wait::none && !server_full_ && !client_full_ && !queue_full_ &&
         !cancelling;
}

std::size_t Session::take_one(std::string_view bytes) {
  if (bytes.empty()) return 0;
  if (work_->stream_left > 0) return take_stream(bytes);
  wire::Frame frame;
  switch (wire::read_frame(bytes, frame)) {
    case wire::FrameStatus::need_header: return 0;
    case wire::FrameStatus::invalid: violation("invalid message length"); return bytes.size();
    case wire::FrameStatus::ok: break;
  }
  if (!frontend::known(frame.type)) {
    violation("invalid frontend message type " + std::to_string(static_cast<unsigned char>(frame.type)));
    return bytes.size();
  }
  if (frame.body_size > frontend::largest_body(frame.type)) {
    violation("invalid message length");
    return bytes.size();
  }
  if (frame.type == frontend::kTerminate) {
    finish("client terminated");
    return bytes.size();
  }
  const bool skipping = work_->skip_to_sync || (work_->queue.skipping() && work_->stage != Stage::gathering);
  if (skipping && frame.type != frontend::kSync) return discard(frame);
  if (work_->queue.copying_in() && work_->current) return take_copy(frame, bytes);
  switch (frame.type) {
    case frontend::kQuery: return take_query(frame, bytes);
    case frontend::kFunctionCall: return take_function_call(frame, bytes);
    case frontend::kCopyData:
    case frontend::kCopyDone:
    case frontend::kCopyFail:
      if (work_->stage == Stage::gathering) {
        // Data for a COPY in an exchange that has not been sent yet, because its end was waited for.
        plan_primary(routing::Reason::copy_in);
        dispatch();
        if (!may_take_message()) return 0;
      }
      return take_copy(frame, bytes);
    default: return take_extended(frame, bytes);
  }
}

std::size_t Session::take_stream(std::string_view bytes) {
  const std::size_t step = std::min(bytes.size(), work_->stream_left);
  work_->stream_left -= step;
  if (!work_->stream_to) return step;
  auto& server = work_->stream_to->connection();
  server.write_through(bytes.substr(0, step));
  pool::ServerConnection& to = *work_->stream_to;
  if (work_->stream_left == 0) work_->stream_to = nullptr;
  check_server_takes(to);
  return step;
}

std::size_t Session::discard(const wire::Frame& frame) {
  stream_rest(frame, nullptr);
  return frame.bytes_here();
}

void Session::note_wrote(pool::ServerConnection& server) {
  work_->wrote = work_->wrote || work_->plan.wrote;
  if (work_->plan.wrote) server.carried.last_writer = id_;
}

/// What is still to come of this message goes to `server` without being looked at; null: nowhere.
void Session::stream_rest(const wire::Frame& frame, pool::ServerConnection* server) {
  work_->stream_left = frame.bytes_left();
  work_->stream_to = work_->stream_left > 0 ? server : nullptr;
}

std::size_t Session::take_query(const wire::Frame& frame, std::string_view bytes) {
  const bool too_large = frame.body_size > worker_.settings().limits.max_query;
  if (!frame.complete() && !too_large) return 0;
  leave_for_pause();
  begin_exchange();
  GatheredMessage message;
  message.type = frontend::kQuery;
  if (too_large) {
    plan_primary(routing::Reason::too_large);
    prepared_.erase({});
    message.unknown_effects = true;
    return pass_whole(std::move(message), frame, bytes);
  }
  const auto query = wire::decode_query(frame.body);
  if (!query) {
    violation(query.error().message);
    return bytes.size();
  }
  // A simple query destroys the unnamed statement (tcop/postgres.c, exec_simple_query).
  prepared_.erase({});
  const sql::Classified classified = worker_.classifier().classify(account_->state->id, query->text);
  message.ordinary = is_ordinary_here(classified);
  if (!message.ordinary) {
    if (const auto error = refusal(classified.entry->facts, frame)) return refuse(frame, *error);
    if (work_->stage == Stage::none && answer_locally(classified, query->text, message.synthesised)) {
      message.local = true;
      return pass_whole(std::move(message), frame, bytes);
    }
    message.effects = effects_for(classified, query->text);
    note_catalog_change(message.effects);
    note_names(message, classified.entry->facts);
  }
  message.query = classified.entry;
  plan_statement(classified);
  return pass_whole(std::move(message), frame, bytes);
}

std::size_t Session::take_function_call(const wire::Frame& frame, std::string_view bytes) {
  if (!frame.complete() && frame.body_size <= kLargestGathered) return 0;
  begin_exchange();
  plan_primary(routing::Reason::function_call);
  GatheredMessage message;
  message.type = frontend::kFunctionCall;
  message.unknown_effects = true;
  return pass_whole(std::move(message), frame, bytes);
}

void Session::end_open_exchange() {
  work_->stage = Stage::none;
  work_->solitary = false;
}

void Session::begin_exchange() {
  if (work_->stage != Stage::none) return;
  work_->plan = {};
  work_->exchange.clear();
  work_->second_try.kept = false;
}

/// A query or function call: it runs at once, and with it whatever was gathered before it.
std::size_t Session::pass_whole(GatheredMessage&& message, const wire::Frame& frame, std::string_view bytes) {
  const std::string_view here = bytes.substr(0, frame.bytes_here());
  message.behind_execute = work_->stage != Stage::none && work_->plan.executes;
  if (!message.local) work_->plan.has_server_message = work_->plan.executes = true;
  if (work_->stage == Stage::open) {
    note_wrote(*work_->current);
    work_->second_try.kept = false;
    ServerWriter to = writer(*work_->current);
    send_message(to, *work_->current, message, here);
    stream_rest(frame, work_->current);
    if (frame.complete() && std::exchange(work_->solitary, false)) work_->wait = Wait::quiet;
    check_server_takes(*work_->current);
    return here.size();
  }
  if (work_->stage == Stage::gathering) plan_primary(routing::Reason::flush_before_sync);
  work_->exchange.add(std::move(message), here);
  work_->stage = Stage::gathering;
  work_->stream_left = frame.bytes_left();
  dispatch();
  return here.size();
}

/// Within a COPY the server reads everything as part of it: it ignores Sync and Flush and ends the session on the rest
/// (commands/copyfromparse.c). Outside, it ignores these without an answer: the client may still be sending after an
/// error.
std::size_t Session::take_copy(const wire::Frame& frame, std::string_view bytes) {
  pool::ServerConnection* server = work_->queue.empty() ? nullptr : work_->current;
  if (server) {
    // It is not kept, and another server would get what is still to come of it.
    work_->second_try.kept = work_->second_try.healable = false;
    server->connection().write_through(bytes.substr(0, frame.bytes_here()));
    if (frame.type == frontend::kCopyDone || frame.type == frontend::kCopyFail) work_->queue.copy_in_ended();
    const bool ended = frame.complete() && work_->stage == Stage::none && !work_->queue.copying_in();
    if (ended && std::exchange(work_->solitary, false)) work_->wait = Wait::quiet;
  }
  stream_rest(frame, server);
  if (server) check_server_takes(*server);
  return frame.bytes_here();
}

/// A server that does not take bytes, or owes too many answers, stops the reading of the client.
void Session::check_server_takes(pool::ServerConnection& server) {
  const std::size_t mark = worker_.settings().limits.buffer_high_water;
  if (work_->queue.size() >= ReplyQueue::kMost) queue_full_ = true;
  if (server.connection().unsent() <= mark) return;
  server_full_ = true;
  server.connection().notify_when_drained(mark);
  update_client_reading();
}

/// What must be answered before anything else is sent is answered only when the client has sent this.
void Session::take_more_for_copy() {
  if (work_->wait != Wait::quiet || work_->stage == Stage::gathering) return;
  work_->wait = Wait::none;
  work_->solitary = true;
  worker_.loop().after_pass([&worker = worker_, id = id_] { worker.resume(id); });
}

/// What the client sent behind a COPY, before it knew that the server waits for data, is read as part of that COPY.
void Session::pass_gathered_to_copy(pool::ServerConnection& server) {
  const bool waits = work_->wait == Wait::quiet || work_->wait == Wait::none;
  if (work_->stage != Stage::gathering || !waits || !work_->queue.copying_in()) return;
  for (const auto& message : work_->exchange.messages()) server.connection().write(work_->exchange.bytes_of(message));
  work_->exchange.clear();
  work_->stage = Stage::none;
  work_->wait = Wait::none;
  worker_.loop().after_pass([&worker = worker_, id = id_] { worker.resume(id); });
}

/// The Sync in front of the COPY's data was part of the COPY: what the client has sent behind the data belongs to the
/// exchange that is still open, and the server waits for its Sync.
void Session::pass_gathered_behind_copy(pool::ServerConnection& server) {
  Work& work = *work_;
  if (work.stage == Stage::none) work.stage = Stage::open;
  const bool waits = work.wait == Wait::quiet || work.wait == Wait::none;
  if (work.stage != Stage::gathering || !waits) return;
  note_wrote(server);
  ServerWriter to = writer(server);
  for (const auto& message : work.exchange.messages())
    send_message(to, server, message, work.exchange.bytes_of(message));
  // After an error a query, too, is ignored: only a Sync closes it.
  const bool closed = is_closed(work.exchange) && !work.queue.skipping();
  const bool awaits_ready = ends_in_ready(work.exchange);
  work.stream_to = work.stream_left > 0 ? &server : nullptr;
  work.stage = closed ? Stage::none : Stage::open;
  work.wait = awaits_ready && std::exchange(work.solitary, false) ? Wait::quiet : Wait::none;
  work.exchange.clear();
  worker_.loop().after_pass([&worker = worker_, id = id_] { worker.resume(id); });
}

/// After an error the server ignores everything up to a Sync. That is the client's to send.
void Session::await_sync(pool::ServerConnection& server) {
  // The last one was read as part of a COPY, and what was sent behind it is ignored.
  if (work_->stage != Stage::open) pass_gathered_behind_copy(server);
  if (work_->stage != Stage::open || work_->wait != Wait::quiet) return;
  work_->wait = Wait::none;
  worker_.loop().after_pass([&worker = worker_, id = id_] { worker.resume(id); });
}

void Session::violation(std::string_view what) { terminate({sqlstate::protocol_violation, std::string(what)}); }

/// What the session waited for has come: the exchange that waited is sent, then the client's next messages are taken.
void Session::go_on() {
  work_->wait = Wait::none;
  if (work_->stage == Stage::gathering) dispatch();
  resume_client();
}

void Session::resume_client() {
  if (!may_take_message() || in_client_data_) return;
  client_held_ = false;
  update_client_reading();
  client_.redeliver();
}

void Session::update_client_reading() {
  const bool read = !client_held_ && !server_full_ && state_ != State::finished;
  if (read == client_.reading()) return;
  if (read)
    client_.resume_reading();
  else
    client_.pause_reading();
}

}  // namespace pgweir::session
