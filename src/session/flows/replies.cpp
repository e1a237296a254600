// What the server answers, on its way to the client: runs of messages that only pass go out as one span; those that end
// something are looked at. Nothing is reordered, nothing is lost, nothing is told that the server did not say.
#include <algorithm>
#include <utility>

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

bool is_asynchronous(char type) {
  return type == backend::kNoticeResponse || type == backend::kParameterStatus || type == backend::kNotification;
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
  if (reply_left_ > 0) {
    const std::size_t step = std::min(reply_left_, bytes.size());
    reply_left_ -= step;
    run.end = step;
    if (!reply_forwarded_) run.begin = step;
  }
  wire::Frame frame;
  while (state_ != State::finished) {
    const auto rest = bytes.substr(run.end);
    const auto status = wire::read_frame(rest, frame);
    if (status == wire::FrameStatus::need_header) break;
    if (status == wire::FrameStatus::invalid) {
      terminate(
          {sqlstate::protocol_violation, "invalid message from the server", server.identity().endpoint.text(), ""});
      return bytes.size();
    }
    const bool passing = only_passes(frame.type) && !queue_.empty() && &server == current_;
    if (!frame.complete() && !passing) {
      if (frame.body_size <= kLargestLookedAt) break;
    }
    const std::size_t before = run.end;
    if (passing && !on_probation() && !retrying_ && queue_.front().action == Action::forward) {
      run.end += frame.bytes_here();
      reply_left_ = frame.bytes_left();
      reply_forwarded_ = true;
      continue;
    }
    flush();  // what comes before this one must be out before it is handled
    const bool forward = take_reply(server, frame);
    if (state_ == State::finished || !leased(server.node())) return bytes.size();
    run.end = before + frame.bytes_here();
    if (!forward) run.begin = run.end;
    reply_left_ = frame.bytes_left();
    reply_forwarded_ = forward;
    if (frame.type == backend::kReadyForQuery) {
      flush();
      after_ready();
      if (state_ == State::finished || !leased(server.node())) return bytes.size();
    }
  }
  flush();
  return run.end;
}

/// Handles one message; true when the client gets it.
bool Session::take_reply(pool::ServerConnection& server, const wire::Frame& frame) {
  if (is_asynchronous(frame.type)) return take_asynchronous(server, frame);
  emit_synthesised();
  if (&server != current_ || queue_.expects_nothing()) {
    // A server that shuts down says so unasked; the end of the connection follows and is what counts.
    if (frame.type == backend::kErrorResponse) return false;
    terminate(
        {sqlstate::protocol_violation, "unexpected message from the server", server.identity().endpoint.text(), ""});
    return false;
  }
  dropped_.clear();
  Expected completed;
  const Action action = queue_.empty() ? Action::forward : queue_.front().action;
  const auto taken = queue_.take(frame.type, dropped_, completed);
  switch (taken.kind) {
    case ReplyQueue::Taken::Kind::violation:
      terminate({sqlstate::protocol_violation, std::string("unexpected message '") + frame.type + "' from the server",
                 server.identity().endpoint.text(), ""});
      return false;
    case ReplyQueue::Taken::Kind::error:
      if (on_probation() && should_retry(frame)) {
        start_retry(&server);
        return false;
      }
      on_error(server, frame, action);
      break;
    case ReplyQueue::Taken::Kind::complete: on_complete(server, completed, frame); break;
    case ReplyQueue::Taken::Kind::part:
      if (frame.type == backend::kCopyIn) pass_gathered_to_copy(server);
      // The Sync that closed the exchange was not one: another will come behind the COPY.
      if (taken.syncs_eaten && stage_ == Stage::none) stage_ = Stage::open;
      on_part(server, frame);
      break;
  }
  if (state_ == State::finished) return false;
  if (retrying_ || action != Action::forward) return false;
  if (!on_probation()) return true;
  if (begins_only(frame.type)) {
    held_.append(wire::raw(frame));
    return false;
  }
  end_probation();
  return true;
}

bool Session::take_asynchronous(pool::ServerConnection& server, const wire::Frame& frame) {
  const bool swallowed =
      retrying_ || (&server == current_ && !queue_.empty() && queue_.front().action == Action::swallow);
  if (frame.type == backend::kParameterStatus) {
    const auto status = wire::decode_parameter_status(frame.body);
    if (!status) return !swallowed;
    server.set_parameter(status->name, status->value);
    const bool speaks_for_session =
        worker_.topology().primary == server.node() || (!swallowed && &server == current_ && !queue_.empty());
    if (speaks_for_session) tell_parameter(status->name, status->value);
    return false;
  }
  if (swallowed) return false;
  if (on_probation()) end_probation();
  return true;
}

/// Tells the client a parameter's value unless it knows it.
void Session::tell_parameter(std::string_view name, std::string_view value) {
  for (const auto& [known, current] : *told_)
    if (known == name && current == value) return;
  auto changed = std::make_shared<Parameters>(*told_);
  const auto found = std::find_if(changed->begin(), changed->end(), [&](const auto& one) { return one.first == name; });
  if (found != changed->end())
    found->second = value;
  else
    changed->emplace_back(name, value);
  told_ = std::move(changed);
  unsafe_encoding_ = is_unsafe_encoding(*told_);
  wire::encode_parameter_status(client_.output(), name, value);
}

void Session::on_part(pool::ServerConnection& server, const wire::Frame& frame) {
  if (frame.type != backend::kCommandComplete && frame.type != backend::kEmptyQuery) return;
  const Expected& front = queue_.front();
  if (front.action == Action::forward && front.effects && !retrying_)
    apply_effect(server, *front.effects, query_index_, first_word(frame.body));
  ++query_index_;
}

void Session::on_complete(pool::ServerConnection& server, const Expected& entry, const wire::Frame& frame) {
  switch (entry.what) {
    case Expect::execute:
      if (entry.effects && entry.action == Action::forward && frame.type == backend::kCommandComplete && !retrying_)
        apply_effect(server, *entry.effects, 0, first_word(frame.body));
      break;
    case Expect::close:
      if (entry.statement) {
        const auto there = server.carried.prepared.find(entry.statement->name);
        if (there != server.carried.prepared.end() && there->second == entry.statement->id)
          server.carried.prepared.erase(there);
      }
      break;
    case Expect::query:
    case Expect::sync:
    case Expect::function_call:
      query_index_ = 0;
      on_ready(server, entry, frame);
      break;
    default: break;
  }
  emit_synthesised();
}

void Session::on_ready(pool::ServerConnection& server, const Expected& entry, const wire::Frame& frame) {
  const auto status = wire::decode_ready_for_query(frame.body);
  if (!status) return terminate(status.error());
  server.transaction = *status;
  if (entry.action != Action::forward || retrying_) return;
  if (on_probation()) end_probation();
  const bool idle = *status == wire::TransactionStatus::idle;
  transaction_ = idle ? Transaction::none : Transaction::open;
  transaction_node_ = server.node();
  const bool up_to_date = server.carried.settings == carried_.newest();
  carried_.ready(*status, exchange_error_);
  if (up_to_date) server.carried.settings = carried_.newest();
  transaction_wrote_ = transaction_wrote_ || wrote_;
  if (!idle) return;
  portals_.clear();
  // Read here and not from the loop's time: the moment must not lie before the write (routing/freshness.h).
  if (transaction_wrote_) last_write_ = base::Clock::now();
  if (std::exchange(catalog_changed_, false)) worker_.catalog_changed(database_);
  transaction_wrote_ = false;
}

/// The client has its ReadyForQuery; whoever waited for quiet goes on.
void Session::after_ready() {
  if (!queue_.empty()) return;
  exchange_error_ = false;
  if (retrying_) return finish_retry();
  if (wait_ == Wait::quiet || wait_ == Wait::retryable) go_on();
  drain_if_idle();
}

void Session::on_error(pool::ServerConnection& server, const wire::Frame& frame, Action action) {
  if (action == Action::swallow && !retrying_) {
    // Something that pgweir sent on the session's behalf was refused: what follows it must not be believed.
    const auto fields = wire::decode_error(frame.body);
    if (dropped_.empty() || dropped_.front().what != Expect::parse) {
      terminate({sqlstate::connection_failure,
                 "the session's state could not be made again on another server connection",
                 fields ? std::string(fields->message) : std::string(), ""});
      return;
    }
  }
  exchange_error_ = true;
  const auto fields = wire::decode_error(frame.body);
  fatal_forwarded_ = fields && (fields->severity == "FATAL" || fields->severity == "PANIC");
  for (const Expected& entry : dropped_) {
    if (!entry.statement) continue;
    const auto& statement = entry.statement;
    if (entry.what == Expect::parse) {
      const auto there = server.carried.prepared.find(statement->name);
      if (there != server.carried.prepared.end() && there->second == statement->id)
        server.carried.prepared.erase(there);
      if (entry.action == Action::forward) prepared_.withdraw(*statement);
    } else if (entry.what == Expect::close && entry.action == Action::forward) {
      prepared_.define(statement);
    }
  }
  if (action == Action::swallow) client_.write(wire::raw(frame));
}

void Session::apply_effect(pool::ServerConnection& server, const Effects& effects, std::size_t index,
                           std::string_view tag) {
  if (index >= effects.size()) return;
  const Effect& effect = effects[index];
  carried_.completed(effect, tag);
  catalog_changed_ = catalog_changed_ || effect.changes_catalog;
  auto& on_server = server.carried.prepared;
  switch (effect.kind) {
    case sql::StatementKind::prepare: {
      PreparedStatement statement;
      statement.origin = PreparedStatement::Origin::sql;
      statement.name = effect.name;
      statement.text = effect.text;
      statement.query =
          worker_.classifier().classify(database_state_->id, std::string_view(effect.text).substr(effect.inner_offset));
      const auto made = prepared_.make(std::move(statement));
      prepared_.define(made);
      on_server[effect.name] = made->id;
      break;
    }
    case sql::StatementKind::deallocate:
      if (effect.name.empty()) {
        prepared_.clear_named();
        std::erase_if(on_server, [](const auto& one) { return !one.first.empty(); });
      } else {
        prepared_.erase(effect.name);
        on_server.erase(effect.name);
      }
      break;
    case sql::StatementKind::discard:
      if (!effect.all) break;
      prepared_.clear();
      on_server.clear();
      server.carried.settings = carried_.newest();
      break;
    default: break;
  }
}

void Session::emit_synthesised() {
  std::string messages;
  while (queue_.take_synthesised(messages)) client_.write(messages);
}

void Session::write_client(std::string_view bytes) {
  client_.write_through(bytes);
  const std::size_t mark = worker_.settings().limits.buffer_high_water;
  if (client_.unsent() <= mark) return;
  client_.notify_when_drained(mark);
  for (auto& [node, lease] : leases_)
    if (lease->connection().reading()) lease->connection().pause_reading();
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
  reply_left_ = 0;
  if (owes && (on_probation() || retrying_)) {
    lose_server(server);
    queue_.clear();
    if (retrying_) return finish_retry();
    return start_retry(nullptr);
  }
  if (fatal_forwarded_) return finish("server ended the session");
  const bool bound = carried_.is_bound_to_server() && worker_.topology().primary == node;
  if (!owes && !in_transaction && !open_exchange && !bound) {
    lose_server(server);
    return;
  }
  terminate({sqlstate::connection_failure, "the connection to server \"" + name + "\" was lost",
             owes || in_transaction ? "A statement or transaction was under way."
                                    : "The session had state that only this connection had.",
             "Connect again."});
}

void Session::lose_server(pool::ServerConnection& server) {
  if (current_ == &server) current_ = nullptr;
  if (stream_to_ == &server) stream_to_ = nullptr;
  const base::NodeId node = server.node();
  std::erase_if(leases_, [&](auto& one) {
    if (!(one.first == node)) return false;
    one.second.close();
    return true;
  });
}

}  // namespace pgweir::session
