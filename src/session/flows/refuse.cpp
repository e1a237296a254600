// What pgweir does not allow although a server would take it. While a server has part of what the client has sent, it
// is made to fail at the same place, and the client gets pgweir's error instead of the server's: so both agree about
// what follows (a failed transaction, messages that are skipped up to the Sync), and no answer loses its place.
#include <algorithm>

#include "session/consistency.h"
#include "session/session.h"
#include "wire/messages/backend.h"
#include "wire/messages/frontend.h"

namespace pgweir::session {

namespace frontend = wire::frontend;
namespace sqlstate = base::sqlstate;
using sql::StatementKind;

namespace {

/// A server's answer to it is a syntax error.
constexpr std::string_view kNoStatement = "refused by pgweir";
/// Not the unnamed statement, which a Parse would take away even if it fails.
constexpr std::string_view kNoName = "pgweir_refused";

bool has(const sql::QueryFacts& facts, StatementKind kind) {
  return std::any_of(facts.statements.begin(), facts.statements.end(),
                     [kind](const sql::StatementFacts& one) { return one.kind == kind; });
}

bool sets_consistency(const sql::StatementFacts& one) {
  const bool sets = one.kind == StatementKind::set || one.kind == StatementKind::set_local;
  return sets && one.name == kConsistencySetting && !one.to_default && !one.from_current;
}

}  // namespace

/// Why the Query or Parse is not allowed, or nothing.
std::optional<base::Error> Session::refusal(const sql::QueryFacts& facts, const wire::Frame& frame) const {
  if (mode_ == config::PoolMode::statement && has(facts, StatementKind::begin))
    return base::Error{sqlstate::feature_not_supported, "transaction blocks are not allowed in statement pooling mode",
                       "The server connection is given back after each statement (pool.mode).",
                       "Use pool.mode transaction or session."};
  for (const auto& statement : facts.statements)
    if (sets_consistency(statement) && !consistency_named(statement.own_value))
      return bad_consistency(statement.own_value);
  const bool keeps =
      has(facts, StatementKind::prepare) || (frame.type == frontend::kParse && !frame.body.starts_with('\0'));
  const std::size_t limit = worker_.settings().pool.prepared_memory;
  if (!keeps || prepared_.bytes() + frame.body_size <= limit) return std::nullopt;
  return base::Error{sqlstate::configuration_limit_exceeded, "too many prepared statements",
                     "This session has " + std::to_string(prepared_.size()) + " of them, of " +
                         std::to_string(prepared_.bytes()) + " bytes; the limit is " + std::to_string(limit) +
                         " bytes (pool.prepared_memory).",
                     "Close statements that are not needed any more."};
}

base::Error Session::statement_too_long(std::size_t size) const {
  return {sqlstate::program_limit_exceeded,
          "a statement of " + std::to_string(size) + " bytes cannot be prepared through pgweir",
          "The limit is " + std::to_string(worker_.settings().limits.max_query) + " bytes (limits.max_query)."};
}

std::size_t Session::refuse(const wire::Frame& frame, const base::Error& error) {
  begin_exchange();
  const bool begins = work_->stage == Stage::none && work_->queue.empty() && work_->transaction != Transaction::open;
  if (!begins)
    refuse_on_server(frame.type, error);
  else if (frame.type == frontend::kQuery)
    refuse_query(error);
  else
    fail_exchange(error);
  return discard(frame);
}

/// No server knows of it.
void Session::refuse_query(const base::Error& error) {
  if (work_->transaction == Transaction::lazy) work_->transaction = Transaction::failed_here;
  reply_error(error);
  reply_ready();
  end_if_idle();
}

void Session::refuse_on_server(char type, const base::Error& error) {
  base::ByteQueue bytes, answer;
  wire::encode_error(answer, wire::Severity::error, error);
  if (type == frontend::kQuery)
    wire::encode_query(bytes, kNoStatement);
  else
    wire::encode_parse(bytes, kNoName, kNoStatement, std::string_view("\0\0", 2));
  GatheredMessage message;
  message.type = type;
  message.refused = true;
  message.synthesised = answer.view();
  work_->plan.has_server_message = true;
  if (work_->stage == Stage::open) {
    ServerWriter to = writer(*work_->current);
    return send_message(to, *work_->current, message, bytes.view());
  }
  work_->exchange.add(std::move(message), bytes.view());
  work_->stage = Stage::gathering;
  if (type == frontend::kQuery) dispatch();
}

/// The server's answer to what was refused; the client gets the reason. Anything but the syntax error comes first.
bool Session::forward_refusal(const Expected& entry, const wire::Frame& error) {
  const auto fields = wire::decode_error(error.body);
  if (!entry.refused || !fields || fields->sqlstate != sqlstate::syntax_error.view()) return false;
  client_.write(entry.synthesised);
  return true;
}

}  // namespace pgweir::session
