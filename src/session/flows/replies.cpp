// What the server answers, on its way to the client: runs of messages that only pass go out as one span; those that end
// something are looked at. Nothing is reordered, nothing is lost, nothing is told that the server did not say.
#include <algorithm>
#include <utility>

#include "base/byte_order.h"
#include "base/log.h"
#include "session/session.h"
#include "wire/messages/backend.h"

namespace pgweir::session {

namespace backend = wire::backend;
namespace log = base::log;
namespace sqlstate = base::sqlstate;

namespace {
/// The longest message that is looked into; data rows and the like are not.
constexpr std::size_t kLargestLookedAt = 1024 * 1024;

/// Passes without ending or changing anything while a statement's answer is under way.
bool only_passes(char type) { return type == backend::kDataRow || type == backend::kCopyData; }

/// Comes before the first row or the end of a statement's answer, and can be held back.
bool begins_only(char type) {
  return type == backend::kParseComplete || type == backend::kBindComplete || type == backend::kCloseComplete ||
         type == backend::kParameterDescription || type == backend::kRowDescription || type == backend::kNoData;
}

std::string_view first_word(std::string_view body) {
  const auto tag = body.substr(0, body.find('\0'));
  return tag.substr(0, tag.find(' '));
}
}  // namespace

std::size_t Session::on_server_data(pool::ServerConnection& server, std::string_view bytes) {
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
    servers_held_ = true;
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
      out_of_step(server, "invalid message from the server");
      return bytes.size();
    }
    const bool passing =
        only_passes(frame.type) && !queue_.empty() && &server == current_ && queue_.front().purpose == Purpose::none;
    if (!frame.complete() && !passing) {
      if (frame.body_size <= kLargestLookedAt) break;
    }
    const std::size_t before = run.end;
    if (passing && !on_probation() && !retrying_ && queue_.front().action == Action::forward) {
      run.end += frame.bytes_here();
      server.reply_left = frame.bytes_left();
      server.reply_forwarded = true;
      continue;
    }
    flush();  // what comes before this one must be out before it is handled
    const bool forward = take_reply(server, frame);
    if (state_ == State::finished || leased(server.node()) != &server) return bytes.size();
    run.end = before + frame.bytes_here();
    if (!forward) run.begin = run.end;
    server.reply_left = frame.bytes_left();
    server.reply_forwarded = forward;
    if (queue_.answers_here()) {
      flush();
      emit_synthesised();
    }
    if (frame.type == backend::kReadyForQuery) {
      flush();
      after_ready();
      if (state_ == State::finished) return bytes.size();
      // Given back: what follows is its next user's.
      if (leased(server.node()) != &server) return run.end;
    }
  }
  flush();
  if (server.reply_left == 0 && std::exchange(servers_held_, false)) release_held_servers();
  if (listening_ && may_hear()) flush_notifications();
  if (queue_full_ && queue_.size() < kMostOwed / 2) {
    queue_full_ = false;
    worker_.loop().after_pass([&worker = worker_, id = id_] { worker.resume(id); });
  }
  return run.end;
}

bool Session::client_is_mid_message_for_other(const pool::ServerConnection& server) const {
  return current_ && current_ != &server && current_->reply_left > 0 && current_->reply_forwarded;
}

void Session::release_held_servers() {
  worker_.loop().after_pass([&worker = worker_, id = id_] { worker.redeliver_servers(id); });
}

void Session::redeliver_servers() {
  std::vector<base::NodeId> nodes;
  for (const Held& one : leases_) nodes.push_back(one.node);
  for (const base::NodeId node : nodes) {
    pool::ServerConnection* server = leased(node);
    if (!server || server == current_ || state_ == State::finished) continue;
    server->connection().resume_reading();
    server->connection().redeliver();
  }
}

/// The server says what cannot be: neither this session nor another may use that connection any more.
void Session::out_of_step(pool::ServerConnection& server, std::string_view what) {
  server.out_of_step = true;
  terminate({sqlstate::protocol_violation, std::string(what), server.identity().endpoint.text(), ""});
}

/// Handles one message; true when the client gets it.
bool Session::take_reply(pool::ServerConnection& server, const wire::Frame& frame) {
  if (backend::is_asynchronous(frame.type)) return take_asynchronous(server, frame);
  emit_synthesised();
  if (&server != current_ || queue_.expects_nothing()) {
    // A server that shuts down says so unasked; the end of the connection follows and is what counts.
    if (frame.type == backend::kErrorResponse) return false;
    out_of_step(server, "unexpected message from the server");
    return false;
  }
  dropped_.clear();
  Expected completed;
  const Action action = queue_.empty() ? Action::forward : queue_.front().action;
  const auto taken = queue_.take(frame.type, dropped_, completed);
  switch (taken.kind) {
    case ReplyQueue::Taken::Kind::violation:
      out_of_step(server, std::string("unexpected message '") + frame.type + "' from the server");
      return false;
    case ReplyQueue::Taken::Kind::error:
      // Its books say what the server has just refused.
      if (queue_.front_is(Purpose::settings) && !chosen_) server.out_of_step = true;
      if (on_probation() && should_retry(frame)) {
        undo_on_server(server);
        start_retry(&server);
        return false;
      }
      if (can_heal(frame, taken)) {
        undo_on_server(server);
        start_healing(server);
        return false;
      }
      on_error(server, frame, taken);
      if (state_ == State::finished || action != Action::forward || retrying_) return false;
      if (on_probation()) end_probation();
      return forward_error(frame);
    case ReplyQueue::Taken::Kind::complete:
      if (!on_complete(server, completed, frame)) return false;
      break;
    case ReplyQueue::Taken::Kind::part:
      if (frame.type == backend::kCopyIn) pass_gathered_to_copy(server);
      // The Sync that closed the exchange was not one: another will come behind the COPY.
      if (taken.syncs_eaten && stage_ == Stage::none) stage_ = Stage::open;
      on_part(server, frame);
      break;
  }
  if (action == Action::forward) healable_ = false;
  if (state_ == State::finished) return false;
  if (retrying_ || action != Action::forward) return false;
  if (on_probation()) {
    if (begins_only(frame.type)) {
      held_.append(wire::raw(frame));
      return false;
    }
    end_probation();
  }
  return true;
}

bool Session::take_asynchronous(pool::ServerConnection& server, const wire::Frame& frame) {
  const bool swallowed =
      retrying_ || (&server == current_ && !queue_.empty() && queue_.front().action == Action::swallow);
  if (frame.type == backend::kParameterStatus) {
    const auto status = wire::decode_parameter_status(frame.body);
    if (!status) return !swallowed;
    server.set_parameter(status->name, status->value);
    const bool answers = &server == current_ && !queue_.empty();
    const bool speaks_for_session = answers || worker_.topology().primary == server.node();
    // What is being restored is told when it holds again.
    if (speaks_for_session && !swallowed && resets_.empty()) tell_parameter(status->name, status->value);
    return false;
  }
  // Nobody else will hear a notification.
  if (swallowed && frame.type != backend::kNotification) return false;
  if (on_probation()) end_probation();
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

void Session::on_part(pool::ServerConnection& server, const wire::Frame& frame) {
  const Expected& front = queue_.front();
  if (front.purpose == Purpose::audit && frame.type == backend::kDataRow) {
    if (frame.complete())
      audit_->take_row(frame.body);
    else
      audit_->fail();
  }
  if (frame.type != backend::kCommandComplete && frame.type != backend::kEmptyQuery) return;
  times_.completed(worker_.loop().now());
  if (front.action == Action::forward && front.effects && !retrying_)
    apply_effect(server, *front.effects, query_index_, first_word(frame.body));
  ++query_index_;
}

/// False when the client does not get the message, whatever the entry says.
bool Session::on_complete(pool::ServerConnection& server, const Expected& entry, const wire::Frame& frame) {
  times_.completed(worker_.loop().now());
  switch (entry.what) {
    case Expect::execute:
      if (entry.effects && entry.action == Action::forward && frame.type == backend::kCommandComplete && !retrying_)
        apply_effect(server, *entry.effects, 0, first_word(frame.body));
      return true;
    case Expect::parse:
      if (entry.statement && entry.action == Action::forward) {
        entry.statement->confirmed = true;
        if (shares_servers() && !entry.statement->name.empty())
          worker_.process().known_statements.add(key_of(*entry.statement));
      }
      return true;
    case Expect::query:
    case Expect::sync:
    case Expect::function_call: query_index_ = 0; return on_ready(server, entry, frame);
    default: return true;
  }
}

bool Session::on_ready(pool::ServerConnection& server, const Expected& entry, const wire::Frame& frame) {
  const auto status = wire::decode_ready_for_query(frame.body);
  if (!status) {
    out_of_step(server, status.error().message);
    return false;
  }
  server.transaction = *status;
  if (retrying_) return false;
  if (entry.action != Action::forward) {
    on_swallowed_ready(server, entry);
    return false;
  }
  if (on_probation()) end_probation();
  const bool idle = *status == wire::TransactionStatus::idle;
  times_.ready(worker_.loop().now(), idle ? TimeLimits::Transaction::none : TimeLimits::Transaction::open,
               queue_.empty() ? TimeLimits::Pipeline::empty : TimeLimits::Pipeline::more);
  transaction_ = idle ? Transaction::none : Transaction::open;
  transaction_node_ = server.node();
  const bool failed = std::exchange(exchange_error_, false);
  carried_.ready(*status, failed);
  // They were the same when the exchange was sent (`settings_hold`); what it has changed, it has changed there.
  if (server.carried.settings != carried_.settings()) {
    server.carried.settings = carried_.settings();
    note_custom(server);
  }
  transaction_wrote_ = transaction_wrote_ || wrote_;
  if (idle) on_transaction_end();
  if (idle && listening_) settle_listening(failed);
  if (restore_beginning(server)) return false;
  if (worker_.topology().primary == server.node()) tell_parameters(server);
  if (idle) flush_notifications();
  return true;
}

void Session::on_transaction_end() {
  portals_.clear();
  // Read here and not from the loop's time: the moment must not lie before the write (routing/freshness.h).
  if (transaction_wrote_) last_write_ = base::Clock::now();
  if (std::exchange(catalog_changed_, false)) worker_.catalog_changed(account_->database);
  transaction_wrote_ = false;
}

void Session::on_swallowed_ready(pool::ServerConnection& server, const Expected& entry) {
  switch (entry.purpose) {
    case Purpose::none:
    case Purpose::prepare: break;
    case Purpose::settings:
      if (settings_error_) break;
      server.carried.settings = carried_.settings();
      worker_.settings_taken(server.node(), entry.text_hash);
      break;
    case Purpose::restore:
      server.carried.settings = carried_.settings();
      tell_parameters(server);
      if (held_ready_ == wire::TransactionStatus::idle) flush_notifications();
      if (held_ready_) wire::encode_ready_for_query(client_.output(), *std::exchange(held_ready_, std::nullopt));
      break;
    case Purpose::audit: finish_audit(server); break;
  }
}

/// Something has been answered to its end; whoever waited for quiet goes on.
void Session::after_ready() {
  if (!queue_.empty()) return;
  if (!audit_is_due()) unsettled_ = 0;
  if (retrying_) return finish_retry();
  if (settings_error_) return fail_exchange_for_settings();
  if (state_ == State::welcoming) return finish_welcome();
  // Whoever waits for a connection comes before this session's next exchange.
  if (shares_servers() && current_ && transaction_ == Transaction::none && stage_ != Stage::open && !chosen_ &&
      pool::WorkerPools::anybody_waits(account_->pool(worker_.pools(), current_->node())) && !is_pinned())
    release_leases();
  if (wait_ == Wait::quiet || wait_ == Wait::retryable) go_on();
  settle();
  end_if_idle();
}

void Session::on_error(pool::ServerConnection& server, const wire::Frame& frame, const ReplyQueue::Taken& taken) {
  if (taken.action == Action::swallow && !retrying_ && !on_swallowed_error(server, frame)) return;
  exchange_error_ = exchange_error_ || taken.action == Action::forward;
  const auto fields = wire::decode_error(frame.body);
  fatal_forwarded_ = fields && (fields->severity == "FATAL" || fields->severity == "PANIC");
  undo_on_server(server);
  for (auto entry = dropped_.rbegin(); entry != dropped_.rend(); ++entry) {
    if (!entry->statement || entry->action == Action::swallow) continue;
    if (entry->what == Expect::parse) prepared_.withdraw(*entry->statement);
    if (entry->what == Expect::close) prepared_.define(entry->statement);
  }
}

/// True when the client gets it as it is.
bool Session::forward_error(const wire::Frame& frame) {
  if (!frame.complete()) return true;
  if (queue_.front_is_told()) return false;
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
  const auto begin = frame.body.find(kSharedNamePrefix);
  if (begin == std::string_view::npos) return {};
  const std::string_view name = frame.body.substr(begin, kSharedNameSize);
  for (const auto& entry : dropped_)
    if (entry.statement && entry.server_name_is(name))
      return wire::with_text_replaced(frame, name, entry.statement->name);
  return {};
}

/// Something that pgweir sent on the session's behalf was refused. True when the session goes on.
bool Session::on_swallowed_error(pool::ServerConnection& server, const wire::Frame& frame) {
  const auto fields = wire::decode_error(frame.body);
  const Purpose purpose = queue_.empty() ? Purpose::none : queue_.front().purpose;
  if (purpose == Purpose::audit) {
    audit_->fail();
    return true;
  }
  const bool nothing_behind = purpose == Purpose::settings && (chosen_ || state_ == State::welcoming);
  if (nothing_behind && fields) {
    settings_error_ = base::Error{base::Sqlstate(fields->sqlstate), std::string(fields->message),
                                  std::string(fields->detail), std::string(fields->hint)};
    return true;
  }
  const bool parse_refused =
      !dropped_.empty() && (dropped_.front().what == Expect::parse || dropped_.front().what == Expect::execute);
  if (parse_refused || purpose == Purpose::prepare) {
    if (purpose == Purpose::prepare) {
      if (const auto& change = queue_.front().change) server.carried.prepared.remove(change->name);
    }
    // The client's own message depends on it, and would fail in turn: it is told the reason.
    const bool before_query = !queue_.empty() && queue_.front().action == Action::swallow;
    if (!before_query || queue_.tell_error_of_next_query()) {
      exchange_error_ = true;
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
  base::Error error = std::move(*std::exchange(settings_error_, std::nullopt));
  if (state_ == State::welcoming) return terminate(error);
  if (!error.detail.empty()) error.detail += ' ';
  error.detail += "A setting of this session could not be made again on another server connection.";
  wait_ = Wait::none;
  fail_exchange(error);
  settle();
  resume_client();
}

void Session::apply_effect(pool::ServerConnection& server, const Effects& effects, std::size_t index,
                           std::string_view tag) {
  if (index >= effects.size()) return;
  const Effect& effect = effects[index];
  note_resets(effect);
  carried_.completed(effect, tag);
  if (listening_) note_listening(effect, tag);
  catalog_changed_ = catalog_changed_ || effect.changes_catalog;
  auto& books = server.carried.prepared;
  if (effect.sets_seed) pin(server, PinReason::seed);
  switch (effect.kind) {
    case sql::StatementKind::prepare: {
      PreparedStatement statement;
      statement.origin = PreparedStatement::Origin::sql;
      statement.name = effect.name;
      statement.text = effect.text;
      statement.query =
          worker_.classifier().classify(account_->state->id, std::string_view(effect.text).substr(effect.inner_offset));
      const auto made = prepared_.make(std::move(statement), worker_.process().statement_seed);
      made->confirmed = true;
      note_parsed(*made);
      prepared_.define(made);
      books.remove(effect.name);
      add_to_books(server, {effect.name, place_on(server, *made).key, false}, *made);
      break;
    }
    case sql::StatementKind::deallocate:
      if (effect.name.empty()) {
        prepared_.clear_named();
        const auto unnamed = books.unnamed;
        books.clear();
        books.unnamed = unnamed;
      } else {
        prepared_.erase(effect.name);
        books.remove(effect.name);
      }
      break;
    case sql::StatementKind::load: pin(server, PinReason::library); break;
    case sql::StatementKind::discard:
      if (!effect.all) break;
      prepared_.clear();
      books.clear();
      if (Held* there = held(server.node())) there->pins.remove(PinReason::seed);
      publish_pins();
      break;
    default: break;
  }
}

void Session::emit_synthesised() {
  std::string messages;
  while (queue_.take_synthesised(messages)) client_.write(messages);
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
  for (Held& one : leases_)
    if (one.lease->connection().reading()) one.lease->connection().pause_reading();
}

void Session::on_server_drained(pool::ServerConnection&) {
  server_full_ = false;
  update_client_reading();
  resume_client();
}

void Session::on_server_end(pool::ServerConnection& server, std::string_view error) {
  const base::NodeId node = server.node();
  const std::string name = worker_.topology().node(node).name;
  const bool owes = &server == current_ && !queue_.empty();
  const bool in_transaction = transaction_ == Transaction::open && transaction_node_ == node;
  const bool open_exchange = &server == current_ && stage_ == Stage::open;
  log::warning("server_connection_lost",
               {{"session", id_.value}, {"node", name}, {"error", error.empty() ? "closed by the server" : error}});
  worker_.process().suspect(node);
  if (owes && (on_probation() || retrying_)) {
    lose_server(server);
    queue_.clear();
    if (retrying_) return finish_retry();
    return start_retry(nullptr);
  }
  const bool bound = is_pinned(node);
  lose_server(server);
  if (chosen_ || state_ == State::welcoming) return settings_lost();
  if (fatal_forwarded_) return finish("server ended the session");
  if (!owes && !in_transaction && !open_exchange && !bound) return;
  terminate({sqlstate::connection_failure, "the connection to server \"" + name + "\" was lost",
             owes || in_transaction ? "A statement or transaction was under way."
                                    : "The session had state that only this connection had.",
             "Connect again."});
}

/// The server has gone while it was being told the session's settings: nothing of the client's has been sent.
void Session::settings_lost() {
  queue_.clear();
  chosen_.reset();
  if (state_ == State::welcoming)
    return terminate({sqlstate::connection_failure, "the server closed the connection during the login"});
  go_on();
}

/// Gives up the lease of a connection that is dead, so that its place in the pool is free at once.
void Session::lose_server(pool::ServerConnection& server) {
  if (current_ == &server) current_ = nullptr;
  if (stream_to_ == &server) stream_to_ = nullptr;
  const base::NodeId node = server.node();
  std::erase_if(leases_, [&](auto& one) {
    if (!(one.node == node)) return false;
    one.lease.close();
    return true;
  });
  publish_pins();
}

}  // namespace pgweir::session
