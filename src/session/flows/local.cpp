// What pgweir answers itself: SHOW pool_*, EXPLAIN ROUTE, a BEGIN that is put off until the first statement tells where
// the transaction runs, and the end of a transaction that no server has heard of.
#include <cctype>
#include <span>
#include <utility>

#include "base/byte_order.h"
#include "session/consistency.h"
#include "session/session.h"
#include "wire/messages/backend.h"
#include "wire/messages/frontend.h"

namespace pgweir::session {

namespace backend = wire::backend;
namespace frontend = wire::frontend;
using sql::StatementKind;

namespace {

std::string taken(const base::ByteQueue& out) { return std::string(out.view()); }

/// Short enough to be kept in the string itself: BEGIN costs no allocation.
std::string complete(std::string_view tag) {
  std::string message(wire::kHeaderBytes, backend::kCommandComplete);
  base::store_be32(message.data() + 1, static_cast<std::uint32_t>(4 + tag.size() + 1));
  message += tag;
  message += '\0';
  return message;
}

/// " (pg2, pg3)": the standbys among them.
std::string names_of(const routing::Topology& topology, base::NodeSet nodes) {
  std::string names;
  for (const auto& node : topology.nodes)
    if (topology.primary != node.id && nodes.has(node.id)) names += (names.empty() ? "" : ", ") + node.name;
  return " (" + names + ")";
}

const sql::StatementFacts* only_statement(const sql::Classified& query) {
  const auto& statements = query.entry->facts.statements;
  return statements.size() == 1 ? &statements.front() : nullptr;
}

void encode_rows(base::ByteQueue& out, const LocalTable& table) {
  for (const auto& row : table.rows) wire::encode_text_row(out, row);
  wire::encode_command_complete(out, table.tag);
}

/// The result formats at the end of a Bind: behind the parameter formats and the parameters.
std::vector<std::uint16_t> result_formats(std::string_view rest) {
  wire::BodyReader reader(rest);
  for (std::size_t left = reader.uint16(); left > 0; --left) reader.uint16();
  for (std::size_t left = reader.uint16(); left > 0 && reader.ok(); --left) {
    const std::int32_t size = reader.int32();
    if (size > 0) reader.bytes(static_cast<std::size_t>(size));
  }
  std::vector<std::uint16_t> formats;
  for (std::size_t left = reader.uint16(); left > 0 && reader.ok(); --left) formats.push_back(reader.uint16());
  return formats;
}

constexpr std::string_view kExplainColumns[] = {"node_class", "reason", "facts"};

}  // namespace

bool Session::is_local(const sql::Classified& query) const {
  const auto* statement = only_statement(query);
  if (!statement) return false;
  switch (statement->kind) {
    case StatementKind::explain_route: return true;
    case StatementKind::show_pool: return worker_.process().local_commands->columns(statement->name).has_value();
    case StatementKind::show:
      return statement->name == kConsistencySetting && client_status() != wire::TransactionStatus::failed;
    case StatementKind::commit: return work_->transaction == Transaction::failed_here && !work_->untold_transaction;
    case StatementKind::rollback: return work_->transaction == Transaction::failed_here;
    default: return false;
  }
}

bool Session::answer_locally(const sql::Classified& query, std::string_view text, std::string& reply) {
  const auto* statement = only_statement(query);
  if (!statement) return false;
  if (statement->kind == StatementKind::begin) return begin_lazily(*statement, text, reply);
  if (statement->kind == StatementKind::commit || statement->kind == StatementKind::rollback)
    return end_without_server(*statement, reply);
  if (!is_local(query)) return false;
  const LocalTable table = run_local(query, text);
  base::ByteQueue out;
  wire::encode_text_row_description(out, table.columns);
  encode_rows(out, table);
  reply = taken(out);
  return true;
}

/// A BEGIN alone in a simple query is answered at once; it is sent with the first statement, which says where to.
bool Session::begin_lazily(const sql::StatementFacts& statement, std::string_view text, std::string& reply) {
  if (work_->transaction != Transaction::none || !work_->queue.empty() || startup_class_->replication()) return false;
  // Notifications must wait for the end of the transaction, so the server has to know of it.
  if (work_->leases.is_pinned()) return false;
  const auto own_text = text.substr(statement.offset, statement.length);
  const auto first = own_text.find_first_not_of(" \t\r\n\f\v");
  if (first == std::string_view::npos) return false;
  const int letter = std::tolower(static_cast<unsigned char>(own_text[first]));
  if (letter != 'b' && letter != 's') return false;  // begins with a comment: let the server read it
  work_->transaction = Transaction::lazy;
  work_->lazy_begin = own_text;
  work_->lazy_facts = statement;
  carried_.completed({.kind = StatementKind::begin}, "BEGIN");
  reply = complete(letter == 'b' ? "BEGIN" : "START TRANSACTION");
  return true;
}

bool Session::end_without_server(const sql::StatementFacts& statement, std::string& reply) {
  const bool unknown_to_servers =
      work_->transaction == Transaction::lazy || work_->transaction == Transaction::failed_here;
  if (!unknown_to_servers || statement.chain) return false;
  if (statement.kind == StatementKind::commit && work_->untold_transaction) return false;
  work_->untold_transaction.reset();
  const bool commits = statement.kind == StatementKind::commit && work_->transaction == Transaction::lazy;
  work_->transaction = Transaction::none;
  carried_.completed({.kind = StatementKind::rollback}, "ROLLBACK");
  reply = complete(commits ? "COMMIT" : "ROLLBACK");
  return true;
}

LocalTable Session::run_local(const sql::Classified& query, std::string_view text) {
  const auto& statement = *only_statement(query);
  if (statement.kind == StatementKind::explain_route) return explain_route(text.substr(statement.inner_offset));
  if (statement.kind == StatementKind::show)
    return {{kConsistencySetting}, {{std::string(config::name_of(consistency()))}}, "SHOW"};
  auto table = worker_.process().local_commands->show(statement.name, {account_->user, last_read_node_});
  if (table) return std::move(*table);
  return {};  // is_local() has asked for its columns, so it exists
}

LocalTable Session::explain_route(std::string_view inner) {
  const sql::Classified query = worker_.classifier().classify(account_->state->id, inner);
  const routing::Route route = routing::decide(query, facts(), prepared_, catalog());
  routing::Explanation explanation = routing::explain(route, query.entry->facts);
  if (route.node_class == routing::NodeClass::standby && worker_.topology().independent_nodes)
    explanation.node_class += names_of(worker_.topology(), route.nodes);
  LocalTable table;
  table.columns.assign(std::begin(kExplainColumns), std::end(kExplainColumns));
  table.rows.push_back({explanation.node_class, explanation.reason, explanation.facts});
  table.tag = "EXPLAIN";
  return table;
}

std::vector<std::string_view> Session::local_columns(const sql::Classified& query) const {
  const auto& statement = *only_statement(query);
  if (statement.kind == StatementKind::explain_route) return {std::begin(kExplainColumns), std::end(kExplainColumns)};
  if (statement.kind == StatementKind::show) return {kConsistencySetting};
  if (statement.kind != StatementKind::show_pool) return {};
  auto columns = worker_.process().local_commands->columns(statement.name);
  return columns ? std::move(*columns) : std::vector<std::string_view>{};
}

/// The answer to one extended-protocol message about a statement that is pgweir's own.
void Session::synthesise(GatheredMessage& message, const wire::Frame& frame) {
  base::ByteQueue out;
  const sql::Classified& query = message.statement->query;
  const auto describe = [&](std::span<const std::uint16_t> formats) {
    const auto columns = local_columns(query);
    if (columns.empty())
      wire::encode_bare_reply(out, backend::kNoData);
    else
      wire::encode_text_row_description(out, columns, formats);
  };
  switch (message.type) {
    case frontend::kParse: wire::encode_bare_reply(out, backend::kParseComplete); break;
    case frontend::kBind:
      if (const auto bind = wire::decode_bind(frame.body)) work_->local_formats = result_formats(bind->rest);
      if (work_->local_formats.size() > 1 && work_->local_formats.size() != local_columns(query).size())
        work_->local_formats.clear();
      wire::encode_bare_reply(out, backend::kBindComplete);
      break;
    case frontend::kDescribe:
      if (message.what == 'S') wire::encode_parameter_description(out, {});
      describe(message.what == 'S' ? std::span<const std::uint16_t>{}
                                   : std::span<const std::uint16_t>(work_->local_formats));
      break;
    case frontend::kExecute: {
      std::string reply;
      if (end_without_server(*only_statement(query), reply))
        out.append(reply);
      else
        encode_rows(out, run_local(query, message.statement->text));
      break;
    }
    case frontend::kClose: wire::encode_bare_reply(out, backend::kCloseComplete); break;
    default: return;
  }
  message.synthesised = taken(out);
}

void Session::reply_ready() {
  const auto open =
      work_->transaction == Transaction::none ? TimeLimits::Transaction::none : TimeLimits::Transaction::open;
  times_.ready(worker_.loop().now(), open, TimeLimits::Pipeline::empty);
  if (work_->transaction == Transaction::none) flush_notifications();
  wire::encode_ready_for_query(client_.output(), client_status());
}

void Session::reply_error(const base::Error& error) {
  times_.completed(worker_.loop().now());
  wire::encode_error(client_.output(), wire::Severity::error, error);
}

wire::TransactionStatus Session::client_status() const {
  switch (work_->transaction) {
    case Transaction::none: return wire::TransactionStatus::idle;
    case Transaction::lazy: return wire::TransactionStatus::in_transaction;
    case Transaction::failed_here: return wire::TransactionStatus::failed;
    case Transaction::open: break;
  }
  const pool::ServerConnection* server = work_->leases.server(work_->transaction_node);
  return server ? server->transaction : wire::TransactionStatus::failed;
}

StatementPtr Session::portal(std::string_view name) const {
  for (const auto& [known, statement] : work_->portals)
    if (known == name) return statement;
  return nullptr;
}

void Session::define_portal(std::string_view name, StatementPtr statement) {
  for (auto& [known, current] : work_->portals) {
    if (known != name) continue;
    current = std::move(statement);
    return;
  }
  work_->portals.emplace_back(name, std::move(statement));
}

}  // namespace pgweir::session
