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

namespace {
/// A message that is larger is not gathered but passed on as it comes, so its exchange cannot be repeated elsewhere.
constexpr std::size_t kLargestGathered = 32 * 1024;
/// An exchange that grows beyond this goes to the primary.
constexpr std::size_t kLargestExchange = 64 * 1024;
}  // namespace

std::size_t Session::take_messages(std::string_view bytes) {
  in_client_data_ = true;
  std::size_t used = 0;
  while (may_take_message()) {
    const std::size_t step = take_one(bytes.substr(used));
    if (step == 0) break;
    used += step;
  }
  in_client_data_ = false;
  if (state_ == State::finished) return bytes.size();
  const bool held = used < bytes.size() && !may_take_message();
  if (held != client_held_) {
    client_held_ = held;
    update_client_reading();
  }
  return used;
}

bool Session::may_take_message() const {
  const bool cancelling = current_ && current_->cancels_in_flight > 0;
  return state_ != State::finished && wait_ == Wait::none && !server_full_ && !client_full_ && !queue_full_ &&
         !cancelling;
}

std::size_t Session::take_one(std::string_view bytes) {
  if (bytes.empty()) return 0;
  if (stream_left_ > 0) return take_stream(bytes);
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
  const bool skipping = skip_to_sync_ || (queue_.skipping() && stage_ != Stage::gathering);
  if (skipping && frame.type != frontend::kSync) return discard(frame);
  if (queue_.copying_in() && current_) return take_copy(frame, bytes);
  switch (frame.type) {
    case frontend::kQuery: return take_query(frame, bytes);
    case frontend::kFunctionCall: return take_function_call(frame, bytes);
    case frontend::kCopyData:
    case frontend::kCopyDone:
    case frontend::kCopyFail:
      if (stage_ == Stage::gathering) {
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
  const std::size_t step = std::min(bytes.size(), stream_left_);
  stream_left_ -= step;
  if (!stream_to_) return step;
  auto& server = stream_to_->connection();
  server.write_through(bytes.substr(0, step));
  pool::ServerConnection& to = *stream_to_;
  if (stream_left_ == 0) stream_to_ = nullptr;
  check_server_takes(to);
  return step;
}

std::size_t Session::discard(const wire::Frame& frame) {
  stream_rest(frame, nullptr);
  return frame.bytes_here();
}

void Session::note_wrote(pool::ServerConnection& server) {
  wrote_ = wrote_ || plan_.wrote;
  if (plan_.wrote) server.carried.last_writer = id_;
}

std::size_t Session::refuse_statement(const wire::Frame& frame) {
  fail_exchange({sqlstate::configuration_limit_exceeded, "too many prepared statements",
                 "This session has " + std::to_string(prepared_.size()) + " of them, of " +
                     std::to_string(prepared_.bytes()) + " bytes; the limit is " +
                     std::to_string(worker_.settings().pool.prepared_memory) + " bytes (pool.prepared_memory).",
                 "Close statements that are not needed any more."});
  return discard(frame);
}

/// pool.mode: statement.
std::size_t Session::refuse_transaction(const wire::Frame& frame) {
  const base::Error error{
      sqlstate::feature_not_supported, "transaction blocks are not allowed in statement pooling mode",
      "The server connection is given back after each statement (pool.mode).", "Use pool.mode transaction or session."};
  if (frame.type == frontend::kQuery && stage_ == Stage::none && queue_.empty()) {
    reply_error(error);
    reply_ready();
  } else {
    fail_exchange(error);
  }
  return discard(frame);
}

/// What is still to come of this message goes to `server` without being looked at; null: nowhere.
void Session::stream_rest(const wire::Frame& frame, pool::ServerConnection* server) {
  stream_left_ = frame.bytes_left();
  stream_to_ = stream_left_ > 0 ? server : nullptr;
}

std::size_t Session::take_query(const wire::Frame& frame, std::string_view bytes) {
  const bool too_large = frame.body_size > worker_.settings().limits.max_query;
  if (!frame.complete() && !too_large) return 0;
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
  if (refused_by_mode(classified.entry->facts)) return refuse_transaction(frame);
  if (stage_ == Stage::none && answer_locally(classified, query->text, message.synthesised)) {
    message.local = true;
    return pass_whole(std::move(message), frame, bytes);
  }
  message.effects = effects_for(classified, query->text);
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

void Session::begin_exchange() {
  if (stage_ != Stage::none) return;
  plan_ = {};
  exchange_.clear();
}

/// A query or function call: it runs at once, and with it whatever was gathered before it.
std::size_t Session::pass_whole(GatheredMessage message, const wire::Frame& frame, std::string_view bytes) {
  const std::string_view here = bytes.substr(0, frame.bytes_here());
  message.within_cycle = stage_ != Stage::none;
  if (!message.local) plan_.has_server_message = plan_.executes = true;
  if (stage_ == Stage::open) {
    note_wrote(*current_);
    send_message(*current_, message, here);
    stream_rest(frame, current_);
    check_server_takes(*current_);
    return here.size();
  }
  if (stage_ == Stage::gathering) plan_primary(routing::Reason::flush_before_sync);
  exchange_.add(std::move(message), here);
  stage_ = Stage::gathering;
  stream_left_ = frame.bytes_left();
  dispatch();
  return here.size();
}

/// Within a COPY the server reads everything as part of it: it ignores Sync and Flush and ends the session on the rest
/// (commands/copyfromparse.c). Outside, it ignores these without an answer: the client may still be sending after an
/// error.
std::size_t Session::take_copy(const wire::Frame& frame, std::string_view bytes) {
  pool::ServerConnection* server = queue_.empty() ? nullptr : current_;
  if (server) {
    server->connection().write_through(bytes.substr(0, frame.bytes_here()));
    if (frame.type == frontend::kCopyDone || frame.type == frontend::kCopyFail) queue_.copy_in_ended();
  }
  stream_rest(frame, server);
  if (server) check_server_takes(*server);
  return frame.bytes_here();
}

/// A server that does not take bytes, or owes too many answers, stops the reading of the client.
void Session::check_server_takes(pool::ServerConnection& server) {
  const std::size_t mark = worker_.settings().limits.buffer_high_water;
  if (queue_.size() >= kMostOwed) queue_full_ = true;
  if (server.connection().unsent() <= mark) return;
  server_full_ = true;
  server.connection().notify_when_drained(mark);
  update_client_reading();
}

std::size_t Session::take_extended(const wire::Frame& frame, std::string_view bytes) {
  if (frame.type == frontend::kSync && skip_to_sync_) {
    skip_to_sync_ = false;
    stage_ = Stage::none;
    reply_ready();
    end_if_idle();
    return frame.bytes_here();
  }
  if (frame.type == frontend::kParse && frame.body_size > worker_.settings().limits.max_query) {
    fail_exchange(
        {sqlstate::program_limit_exceeded,
         "a statement of " + std::to_string(frame.body_size) + " bytes cannot be prepared through pgweir",
         "The limit is " + std::to_string(worker_.settings().limits.max_query) + " bytes (limits.max_query)."});
    return discard(frame);
  }
  // Names stand at the front of a Bind, so a long one need not be here as a whole.
  const bool may_stream = frame.type == frontend::kBind && frame.body_size > kLargestGathered;
  if (!frame.complete() && !(may_stream && frame.body.size() >= kLargestGathered)) return 0;
  GatheredMessage message;
  if (!describe_message(frame, message)) {
    violation("invalid message format");
    return bytes.size();
  }
  return pass_or_gather(std::move(message), frame, bytes);
}

bool Session::describe_message(const wire::Frame& frame, GatheredMessage& message) {
  message.type = frame.type;
  switch (frame.type) {
    case frontend::kParse: {
      const auto parse = wire::decode_parse(frame.body);
      if (!parse) return false;
      message.name = parse->name;
      PreparedStatement statement;
      statement.name = parse->name;
      statement.text = parse->text;
      statement.types = parse->types;
      statement.query = worker_.classifier().classify(account_->state->id, parse->text);
      message.statement = prepared_.make(std::move(statement), worker_.process().statement_seed);
      return true;
    }
    case frontend::kBind: {
      const auto bind = wire::decode_bind(frame.body);
      if (!bind) return false;
      message.name = bind->statement;
      message.portal = bind->portal;
      return true;
    }
    case frontend::kExecute: {
      const auto execute = wire::decode_execute(frame.body);
      if (!execute) return false;
      message.portal = execute->portal;
      return true;
    }
    case frontend::kDescribe:
    case frontend::kClose: {
      const auto target = wire::decode_target(frame.body);
      if (!target || (target->what != 'S' && target->what != 'P')) return false;
      message.what = target->what;
      (target->what == 'S' ? message.name : message.portal) = target->name;
      return true;
    }
    default: return frame.body_size == 0;
  }
}

/// Keeps the session's own books: which statements and portals there are, and whether pgweir answers this one itself.
void Session::note_message(GatheredMessage& message, const wire::Frame& frame) {
  switch (message.type) {
    case frontend::kParse: prepared_.define(message.statement); break;
    case frontend::kBind:
      message.statement = prepared_.get(message.name);
      define_portal(message.portal, message.statement);
      break;
    case frontend::kDescribe:
      message.statement = message.what == 'S' ? prepared_.get(message.name) : portal(message.portal);
      break;
    case frontend::kExecute: message.statement = portal(message.portal); break;
    case frontend::kClose:
      if (message.what == 'S') {
        message.statement = prepared_.get(message.name);
        prepared_.erase(message.name);
        // What other sessions may be using stays on the server; only the client's name for it is gone.
        message.local = shares_servers() && message.statement && !message.name.empty() &&
                        message.statement->origin == PreparedStatement::Origin::protocol;
      }
      break;
    default: break;
  }
  if (message.statement && is_local(message.statement->query)) message.local = message.type != frontend::kSync;
  if (message.local) synthesise(message, frame);
}

std::size_t Session::pass_or_gather(GatheredMessage message, const wire::Frame& frame, std::string_view bytes) {
  const std::string_view here = bytes.substr(0, frame.bytes_here());
  if (message.type == frontend::kParse && !message.name.empty() &&
      prepared_.bytes() + frame.body_size > worker_.settings().pool.prepared_memory)
    return refuse_statement(frame);
  begin_exchange();
  if (stage_ == Stage::none) stage_ = Stage::gathering;
  note_message(message, frame);
  if (stage_ != Stage::gathering && stage_ != Stage::open) return frame.bytes_here();  // it failed just now
  const char type = message.type;
  if (type == frontend::kParse && refused_by_mode(message.statement->query.entry->facts))
    return refuse_transaction(frame);
  const bool states_something = type == frontend::kParse || type == frontend::kBind || type == frontend::kDescribe;
  if (message.statement && states_something && !message.local) plan_statement(message.statement->query);
  if (!message.statement && (type == frontend::kBind || type == frontend::kDescribe))
    plan_primary(routing::Reason::prepared_unknown);
  if (type == frontend::kExecute) plan_.executes = true;
  if (type == frontend::kExecute && message.statement && !message.local) {
    message.effects = effects_for(message.statement->query, message.statement->text);
    message.query = message.statement->query.entry;
  }
  if (type != frontend::kSync && type != frontend::kFlush && !message.local) plan_.has_server_message = true;
  if (stage_ == Stage::open) {
    note_wrote(*current_);
    const bool ends = type == frontend::kSync;
    send_message(*current_, message, here);
    stream_rest(frame, current_);
    if (ends) stage_ = Stage::none;
    if (ends && std::exchange(solitary_, false)) wait_for(Wait::quiet);
    check_server_takes(*current_);
    return frame.bytes_here();
  }
  exchange_.add(std::move(message), here);
  stream_left_ = frame.bytes_left();
  if (type == frontend::kFlush) plan_primary(routing::Reason::flush_before_sync);
  if (!frame.complete() || exchange_.size() > kLargestExchange) plan_primary(routing::Reason::too_large);
  // What was prepared earlier may have to be prepared again before it runs, and what is only prepared may be known
  // already: that takes the whole exchange.
  const bool cannot_wait = type == frontend::kFlush || !frame.complete() || exchange_.size() > kLargestExchange;
  const bool whole = !cannot_wait && transaction_ == Transaction::none && queue_.empty() &&
                     (runs_prepared(exchange_) || only_parses(exchange_));
  const bool may_be_shared = !cannot_wait && gathered_listen();
  if (type == frontend::kSync || (must_stay_on_primary() && !whole && !may_be_shared)) dispatch();
  return frame.bytes_here();
}

/// What the client sent behind a COPY, before it knew that the server waits for data, is read as part of that COPY.
void Session::pass_gathered_to_copy(pool::ServerConnection& server) {
  if (stage_ != Stage::gathering || wait_ != Wait::quiet || !queue_.copying_in()) return;
  for (const auto& message : exchange_.messages()) server.connection().write(exchange_.bytes_of(message));
  exchange_.clear();
  stage_ = Stage::none;
  wait_ = Wait::none;
  worker_.loop().after_pass([&worker = worker_, id = id_] { worker.resume(id); });
}

void Session::violation(std::string_view what) { terminate({sqlstate::protocol_violation, std::string(what)}); }

void Session::wait_for(Wait wait) { wait_ = wait; }

/// What the session waited for has come: the exchange that waited is sent, then the client's next messages are taken.
void Session::go_on() {
  wait_ = Wait::none;
  if (stage_ == Stage::gathering) dispatch();
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
