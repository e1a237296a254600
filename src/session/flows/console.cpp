// The two protocols over the admin database; see console.h.
#include "session/flows/console.h"

#include <utility>
#include <vector>

#include "wire/messages/frontend.h"

namespace pgweir::session {

namespace backend = wire::backend;
namespace frontend = wire::frontend;
namespace sqlstate = base::sqlstate;

namespace {

// What drivers decide by. The version is one that every driver takes for a server of today.
constexpr std::pair<std::string_view, std::string_view> kParameters[] = {
    {"server_version", "15.0 (pgweir)"}, {"server_encoding", "UTF8"},           {"client_encoding", "UTF8"},
    {"DateStyle", "ISO, MDY"},           {"IntervalStyle", "postgres"},         {"TimeZone", "UTC"},
    {"integer_datetimes", "on"},         {"standard_conforming_strings", "on"}, {"is_superuser", "off"}};

base::Error no_such(std::string_view what, std::string_view name, base::Sqlstate state) {
  return {state, std::string(what) + " \"" + std::string(name) + "\" does not exist"};
}

}  // namespace

void ConsoleFlow::welcome(base::ByteQueue& out) {
  for (const auto& [name, value] : kParameters) wire::encode_parameter_status(out, name, value);
}

std::size_t ConsoleFlow::take(std::string_view bytes, base::ByteQueue& out) {
  std::size_t used = 0;
  while (!over_ && !running_ && used < bytes.size()) {
    wire::Frame frame;
    const auto status = wire::read_frame(bytes.substr(used), frame);
    if (status == wire::FrameStatus::need_header) break;
    if (status == wire::FrameStatus::invalid || frame.body_size > kLongestMessage || !frontend::known(frame.type)) {
      violate({sqlstate::protocol_violation, "invalid message in the admin database"}, out);
      break;
    }
    if (!frame.complete()) break;
    used += frame.bytes_here();
    take_frame(frame, out);
  }
  return over_ ? bytes.size() : used;
}

void ConsoleFlow::take_frame(const wire::Frame& frame, base::ByteQueue& out) {
  if (frame.type == frontend::kTerminate) {
    over_ = true;
    return;
  }
  if (frame.type == frontend::kSync) {
    skipping_ = false;
    return wire::encode_ready_for_query(out, status_);
  }
  if (skipping_ || frame.type == frontend::kFlush) return;
  if (frame.type != frontend::kQuery) return take_extended(frame, out);
  const auto query = wire::decode_query(frame.body);
  if (!query) return violate(query.error(), out);
  for (const std::string_view one : commands_.split(query->text)) statements_.emplace_back(one);
  in_query_ = true;
  if (statements_.empty()) wire::encode_bare_reply(out, backend::kEmptyQuery);
  go_on(out);
}

/// The next statement of a Query; behind the last one it is over.
void ConsoleFlow::go_on(base::ByteQueue& out) {
  while (!statements_.empty() && !running_) {
    const std::string text = std::move(statements_.front());
    statements_.pop_front();
    auto statement = read(text);
    if (!statement) {
      fail(statement.error(), out);
      break;
    }
    start(std::move(*statement), out);
  }
  if (running_) return;
  in_query_ = false;
  wire::encode_ready_for_query(out, status_);
}

void ConsoleFlow::take_extended(const wire::Frame& frame, base::ByteQueue& out) {
  switch (frame.type) {
    case frontend::kParse: return parse(frame, out);
    case frontend::kBind: return bind(frame, out);
    case frontend::kDescribe: return describe(frame, out);
    case frontend::kExecute: return execute(frame, out);
    case frontend::kClose: return close(frame, out);
    case frontend::kCopyData:
    case frontend::kCopyDone:
    case frontend::kCopyFail: return;  // as PostgreSQL does outside of COPY
    default: break;
  }
  fail({sqlstate::feature_not_supported, "function calls are not possible in the admin database"}, out);
}

void ConsoleFlow::parse(const wire::Frame& frame, base::ByteQueue& out) {
  const auto message = wire::decode_parse(frame.body);
  if (!message) return violate(message.error(), out);
  const auto statements = commands_.split(message->text);
  if (statements.size() > 1)
    return fail({sqlstate::syntax_error, "cannot insert multiple commands into a prepared statement"}, out);
  if (prepared_.size() >= kMostNames)
    return fail({sqlstate::configuration_limit_exceeded, "too many prepared statements in the admin database"}, out);
  ConsoleStatementPtr statement;
  if (!statements.empty()) {
    auto found = read(statements.front());
    if (!found) return fail(found.error(), out);
    statement = std::move(*found);
  }
  if (!message->name.empty() && prepared_.contains(message->name))
    return fail({sqlstate::duplicate_prepared_statement,
                 "prepared statement \"" + std::string(message->name) + "\" already exists"},
                out);
  prepared_.insert_or_assign(std::string(message->name), std::move(statement));
  wire::encode_bare_reply(out, backend::kParseComplete);
}

void ConsoleFlow::bind(const wire::Frame& frame, base::ByteQueue& out) {
  const auto message = wire::decode_bind(frame.body);
  if (!message) return violate(message.error(), out);
  const auto found = prepared_.find(message->statement);
  if (found == prepared_.end())
    return fail(no_such("prepared statement", message->statement, sqlstate::invalid_sql_statement_name), out);
  wire::BodyReader rest(message->rest);
  for (std::size_t formats = rest.uint16(); formats > 0 && rest.ok(); --formats) rest.uint16();
  if (rest.uint16() != 0)
    return fail({sqlstate::protocol_violation, "commands of the admin database take no parameters"}, out);
  if (portals_.size() >= kMostNames)
    return fail({sqlstate::configuration_limit_exceeded, "too many portals in the admin database"}, out);
  portals_.insert_or_assign(std::string(message->portal), found->second);
  wire::encode_bare_reply(out, backend::kBindComplete);
}

void ConsoleFlow::describe(const wire::Frame& frame, base::ByteQueue& out) {
  const auto message = wire::decode_target(frame.body);
  if (!message) return violate(message.error(), out);
  const bool is_statement = message->what == 'S';
  const auto& names = is_statement ? prepared_ : portals_;
  const auto found = names.find(message->name);
  if (found == names.end())
    return fail(is_statement ? no_such("prepared statement", message->name, sqlstate::invalid_sql_statement_name)
                             : no_such("portal", message->name, sqlstate::invalid_cursor_name),
                out);
  if (is_statement) wire::encode_parameter_description(out, {});
  if (found->second && !found->second->columns.empty())
    wire::encode_text_row_description(out, found->second->columns);
  else
    wire::encode_bare_reply(out, backend::kNoData);
}

void ConsoleFlow::execute(const wire::Frame& frame, base::ByteQueue& out) {
  const auto message = wire::decode_execute(frame.body);
  if (!message) return violate(message.error(), out);
  const auto found = portals_.find(message->portal);
  if (found == portals_.end()) return fail(no_such("portal", message->portal, sqlstate::invalid_cursor_name), out);
  if (!found->second) return wire::encode_bare_reply(out, backend::kEmptyQuery);
  start(found->second, out);
}

void ConsoleFlow::close(const wire::Frame& frame, base::ByteQueue& out) {
  const auto message = wire::decode_target(frame.body);
  if (!message) return violate(message.error(), out);
  auto& names = message->what == 'S' ? prepared_ : portals_;
  if (const auto found = names.find(message->name); found != names.end()) names.erase(found);
  wire::encode_bare_reply(out, backend::kCloseComplete);
}

void ConsoleFlow::start(ConsoleStatementPtr statement, base::ByteQueue& out) {
  const bool ends = statement->kind == ConsoleStatement::Kind::end;
  if (status_ == wire::TransactionStatus::failed && !ends)
    return fail({sqlstate::in_failed_sql_transaction,
                 "current transaction is aborted, commands ignored until end of transaction block"},
                out);
  switch (statement->kind) {
    case ConsoleStatement::Kind::command: running_ = std::move(statement); return;
    case ConsoleStatement::Kind::begin: status_ = wire::TransactionStatus::in_transaction; break;
    case ConsoleStatement::Kind::end: status_ = wire::TransactionStatus::idle; break;
    case ConsoleStatement::Kind::nothing: break;
  }
  wire::encode_command_complete(out, statement->tag);
}

void ConsoleFlow::answer(base::Result<LocalTable> result, base::ByteQueue& out) {
  running_.reset();
  if (!result) {
    fail(result.error(), out);
  } else {
    if (in_query_) wire::encode_text_row_description(out, result->columns);
    for (const auto& row : result->rows) wire::encode_text_row(out, row);
    wire::encode_command_complete(out, result->tag);
  }
  if (in_query_) go_on(out);
}

/// The rest of a Query, or everything up to the next Sync, does not run.
void ConsoleFlow::fail(const base::Error& error, base::ByteQueue& out) {
  wire::encode_error(out, wire::Severity::error, error);
  if (status_ == wire::TransactionStatus::in_transaction) status_ = wire::TransactionStatus::failed;
  statements_.clear();
  skipping_ = !in_query_;
}

void ConsoleFlow::violate(const base::Error& error, base::ByteQueue& out) {
  wire::encode_error(out, wire::Severity::fatal, error);
  over_ = true;
}

base::Result<ConsoleStatementPtr> ConsoleFlow::read(std::string_view text) const {
  return commands_.read(text, asker());
}

}  // namespace pgweir::session
