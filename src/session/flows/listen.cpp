// LISTEN and UNLISTEN through a connection that many clients share (pool.listen: shared), and how notifications come to
// the client: never within a transaction or in the middle of an answer, never out of order. What cannot be shared goes
// the usual way and pins the session.
#include <algorithm>
#include <utility>

#include "session/session.h"
#include "session/settings_text.h"
#include "wire/messages/backend.h"

namespace pgweir::session {

namespace sqlstate = base::sqlstate;
using sql::StatementKind;

namespace {

std::string_view client_encoding(const Parameters& parameters) {
  for (const auto& [name, value] : parameters)
    if (name == "client_encoding") return value;
  return {};
}

}  // namespace

/// Takes a simple Query that is a LISTEN or UNLISTEN for the shared connection; 0 when it has to wait until it is known
/// whether a transaction is open. Nothing when it goes the usual way.
std::optional<std::size_t> Session::take_listen(const sql::Classified& query, const wire::Frame& frame) {
  const auto& statements = query.entry->facts.statements;
  if (mode_ != config::PoolMode::transaction || statements.size() != 1 || stage_ != Stage::none) return std::nullopt;
  const sql::StatementFacts& statement = statements.front();
  const bool listens = statement.kind == StatementKind::listen;
  const bool unlistens = statement.kind == StatementKind::unlisten && listening_ && listening_->listener.listens(id_);
  const bool repeats = listens && listening_ && listening_->listener.listens(id_, statement.name);
  if (!unlistens && !repeats && !(listens && rules_->listen == config::ListenMode::shared)) return std::nullopt;
  if (!queue_.empty()) {
    healable_ = false;  // the exchange that it would need is no longer kept
    wait_for(Wait::quiet);
    return 0;
  }
  if (transaction_ != Transaction::none) return std::nullopt;
  SharedListener& listener = worker_.listener(*account_);
  const std::string_view encoding = client_encoding(*told_);
  // A session that has a connection of its own anyway listens there; one that may listen there says UNLISTEN there too.
  if (!repeats && is_pinned()) return std::nullopt;
  if (listens && !repeats &&
      (!is_ascii(statement.name) || unsafe_encoding_ || encoding.empty() || !listener.suits(encoding)))
    return std::nullopt;
  if (!listening_) listening_ = std::make_unique<Listening>(listener);
  times_.sent(worker_.loop().now());
  wait_for(Wait::listener);
  if (listens)
    listener.listen(id_, statement.name, encoding);
  else
    listener.unlisten(id_, statement.name, SharedListener::Answer::expected);
  return frame.bytes_here();
}

void Session::on_listened(base::Result<std::string_view> tag) {
  if (state_ == State::finished) return;
  wait_ = Wait::none;
  times_.completed(worker_.loop().now());
  if (tag)
    wire::encode_command_complete(client_.output(), *tag);
  else
    reply_error(tag.error());
  reply_ready();
  end_if_idle();
  resume_client();
}

void Session::deliver_notification(std::string_view message) {
  if (state_ == State::finished || !listening_) return;
  if (!is_ascii(message.substr(wire::kHeaderBytes + sizeof(std::uint32_t))) &&
      !listening_->listener.speaks(client_encoding(*told_)))
    return end_listening({sqlstate::feature_not_supported,
                          "a notification cannot be converted to this session's client_encoding",
                          "The encoding was changed after LISTEN, which pool.listen: shared cannot follow.",
                          "Set client_encoding before LISTEN."});
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
  const bool mid_message = std::any_of(leases_.begin(), leases_.end(), [](const Held& one) {
    return one.lease->reply_left > 0 && one.lease->reply_forwarded;
  });
  return idle() && !mid_message && client_.unsent() <= worker_.settings().limits.buffer_high_water;
}

/// The client is outside a transaction and between two messages.
void Session::flush_notifications() {
  if (!listening_ || listening_->waiting.empty()) return;
  client_.write(std::exchange(listening_->waiting, {}));
  check_client_takes();
}

void Session::end_listening(const base::Error& error) {
  const bool mid_message = current_ && current_->reply_left > 0 && current_->reply_forwarded;
  if (mid_message)
    finish(error.message);  // an error message would be taken for the rest of that one
  else
    terminate(error);
}

/// A statement has completed on a server of the pool that ends or moves the session's listening, if it is committed.
void Session::note_listening(const Effect& effect, std::string_view tag) {
  switch (effect.kind) {
    case StatementKind::unlisten: listening_->unlistened.push_back(effect.name); break;
    case StatementKind::discard:
      if (effect.all) listening_->unlistened.emplace_back();
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
