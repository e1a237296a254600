// LISTEN and UNLISTEN through a connection that many clients share (pool.listen: shared), and how notifications come to
// the client: never within a transaction or in the middle of an answer, never out of order. What cannot be shared goes
// the usual way and pins the session.
#include <algorithm>
#include <utility>

#include "session/session.h"
#include "session/settings_text.h"
#include "wire/messages/backend.h"
#include "wire/messages/frontend.h"

namespace pgweir::session {

namespace backend = wire::backend;
namespace frontend = wire::frontend;
namespace sqlstate = base::sqlstate;
using sql::StatementKind;

namespace {

std::string_view client_encoding(const Parameters& parameters) {
  for (const auto& [name, value] : parameters)
    if (name == "client_encoding") return value;
  return {};
}

}  // namespace

/// The LISTEN or UNLISTEN that is all that the exchange says, if it may be for the shared connection.
const sql::StatementFacts* Session::gathered_listen() const {
  if (mode_ != config::PoolMode::transaction || work_->exchange.is_ordinary()) return nullptr;
  if (!listening_ && rules_->listen != config::ListenMode::shared) return nullptr;
  const sql::StatementFacts* found = nullptr;
  for (const GatheredMessage& message : work_->exchange.messages()) {
    if (message.local || message.type == frontend::kSync) continue;
    const sql::CachedFactsPtr entry = message.statement ? message.statement->query.entry : message.query;
    if (!entry || entry->facts.statements.size() != 1) return nullptr;
    const sql::StatementFacts* statement = &entry->facts.statements.front();
    if (statement->kind != StatementKind::listen && statement->kind != StatementKind::unlisten) return nullptr;
    if (message.type == frontend::kClose || (found && found != statement)) return nullptr;
    found = statement;
  }
  return found;
}

/// Hands the exchange to the shared connection, or makes it wait until it is known whether a transaction is open. False
/// when it goes the usual way.
bool Session::listen_shared() {
  const sql::StatementFacts* statement = gathered_listen();
  if (!statement) return false;
  const bool listens = statement->kind == StatementKind::listen;
  const bool knows =
      listening_ && (listens ? listening_->listener.listens(id_, statement->name) : listening_->listener.listens(id_));
  if (!knows && !(listens && rules_->listen == config::ListenMode::shared)) return false;
  if (!work_->queue.empty()) {
    work_->wait = Wait::quiet;
    return true;
  }
  if (work_->transaction != Transaction::none) return false;
  SharedListener& listener = worker_.listener(*account_);
  const std::string_view encoding = client_encoding(*told_);
  // A session that has a connection of its own anyway listens there; one that may listen there says UNLISTEN there.
  if (work_->leases.is_pinned() && !(listens && knows)) return false;
  const bool suits = is_ascii(statement->name) && !unsafe_encoding_ && !encoding.empty() && listener.suits(encoding);
  if (!knows && !suits) return false;
  if (!worker_.topology().primary) {
    hold(no_primary());
    return true;
  }
  if (!listening_) listening_ = std::make_unique<Listening>(listener);
  times_.sent(worker_.loop().now());
  work_->wait = Wait::listener;
  if (listens)
    listener.listen(id_, statement->name, encoding);
  else
    listener.unlisten(id_, statement->name, SharedListener::Answer::expected);
  return true;
}

void Session::on_listened(base::Result<std::string_view> tag) {
  if (state_ == State::finished) return;
  work_->wait = Wait::none;
  if (tag)
    answer_listen(*tag);
  else if (is_away(tag.error()))
    hold_after_failure(tag.error());
  else
    fail_exchange(tag.error());
  resume_client();
  work_.give_back_if_over();
}

/// What a server would say to the exchange.
void Session::answer_listen(std::string_view tag) {
  end_hold();
  base::ByteQueue& out = client_.output();
  for (const GatheredMessage& message : work_->exchange.messages()) {
    switch (message.type) {
      case frontend::kParse:
        note_parsed(prepared_, *message.statement, carried_, work_->unsettled);
        message.statement->confirmed = true;
        wire::encode_bare_reply(out, backend::kParseComplete);
        break;
      case frontend::kBind: wire::encode_bare_reply(out, backend::kBindComplete); break;
      case frontend::kDescribe:
        if (message.what == 'S') wire::encode_parameter_description(out, {});
        wire::encode_bare_reply(out, backend::kNoData);
        break;
      case frontend::kQuery:
      case frontend::kExecute: wire::encode_command_complete(out, tag); break;
      default: client_.write(message.synthesised); break;
    }
  }
  work_->exchange.clear();
  work_->portals.clear();
  work_->stage = Stage::none;
  times_.completed(worker_.loop().now());
  reply_ready();
  end_if_idle();
}

void Session::deliver_notification(std::string_view message) {
  if (state_ == State::finished || !listening_) return;
  if (!is_ascii(message.substr(wire::kHeaderBytes + sizeof(std::uint32_t))) &&
      !listening_->listener.speaks(client_encoding(*told_)))
    return end_listening({sqlstate::feature_not_supported,
                          "a notification cannot be converted to this session's client_encoding",
                          "The encoding was changed after LISTEN, which pool.listen: shared cannot follow.",
                          "Set client_encoding before LISTEN."});
  hear(message);
}

/// Another connection listens for it now.
void Session::notifications_lost() {
  if (state_ == State::finished || !listening_) return;
  base::ByteQueue notice;
  wire::encode_error(notice, wire::Severity::notice, lost_notifications());
  hear(notice.view());
}

/// Behind what waits already.
void Session::hear(std::string_view message) {
  if (listening_->waiting.empty() && may_hear()) {
    client_.write(message);
    return check_client_takes();
  }
  listening_->waiting.append(message);
  if (listening_->waiting.size() > worker_.settings().limits.buffer_high_water)
    end_listening({sqlstate::configuration_limit_exceeded, "too many notifications wait for this session",
                   "They are delivered outside transactions, to a client that reads them.",
                   "The limit is limits.buffer_high_water; keep transactions short, or use pool.listen: pin."});
}

bool Session::may_hear() const {
  const bool mid_message = std::any_of(work_->leases.all().begin(), work_->leases.all().end(), [](const Held& one) {
    return one.lease->reply_left > 0 && one.lease->reply_forwarded;
  });
  return work_->is_quiet() && !mid_message && client_.unsent() <= worker_.settings().limits.buffer_high_water;
}

/// The client is outside a transaction and between two messages.
void Session::flush_notifications() {
  if (!listening_ || listening_->waiting.empty()) return;
  client_.write(std::exchange(listening_->waiting, {}));
  check_client_takes();
}

void Session::end_listening(const base::Error& error) {
  if (client_is_mid_message())
    finish(error.message);  // an error message would be taken for the rest of that one
  else
    terminate(error);
}

/// A statement has completed on a server of the pool that ends or moves the session's listening, if it is committed.
void Session::note_listening(const Effect& effect, std::string_view tag) {
  switch (effect.kind) {
    case StatementKind::unlisten: listening_->unlistened.push_back(effect.name); break;
    case StatementKind::discard:
      // Committed at once, whatever follows it in a pipeline.
      if (effect.all) listening_->listener.forget(id_);
      break;
    case StatementKind::listen: listening_->moved.push_back(effect.name); break;
    case StatementKind::commit:
      if (tag == "COMMIT") break;
      [[fallthrough]];
    case StatementKind::rollback:
    case StatementKind::rollback_to_savepoint:
      // Undone, at least in part: rather a notification too many than one too few.
      listening_->unlistened.clear();
      listening_->moved.clear();
      break;
    default: break;
  }
}

/// The transaction has ended.
void Session::settle_listening(bool failed) {
  const auto unlistened = std::exchange(listening_->unlistened, {});
  const auto moved = std::exchange(listening_->moved, {});
  if (failed) return;
  SharedListener& listener = listening_->listener;
  for (const std::string& channel : unlistened) listener.forget(id_, channel);
  // The session's own connection listens from now on: what the shared one has before that still counts.
  for (const std::string& channel : moved)
    if (listener.listens(id_, channel)) listener.unlisten(id_, channel, SharedListener::Answer::none);
}

}  // namespace pgweir::session
