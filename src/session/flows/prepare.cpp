// Prepared statements on servers that other sessions use too: what the client calls by its own names is there under a
// name made of its content, or is put there first, with messages whose answers the client does not see. Names that SQL
// speaks of (EXECUTE, DEALLOCATE) and the unnamed statement are made to mean what this client means by them.
#include <algorithm>
#include <utility>

#include "session/session.h"
#include "wire/messages/backend.h"
#include "wire/messages/frontend.h"

namespace pgweir::session {

namespace frontend = wire::frontend;

namespace {

/// A name that no client uses: for what must be run in the middle of a client's extended-protocol messages.
constexpr std::string_view kInjectedName = "pgweir_injected";

/// What a prepared statement costs a server beside its text, about.
constexpr std::size_t kServerOverhead = 8 * 1024;
constexpr std::size_t kServerBytesPerTextByte = 8;

/// The view and the function behind it show the names on the server.
bool lists_statements(const sql::StatementFacts& statement) {
  const auto is = [](std::string_view wanted) {
    return [wanted](const sql::QualifiedName& name) { return name.name == wanted; };
  };
  return std::any_of(statement.relations.begin(), statement.relations.end(), is("pg_prepared_statements")) ||
         std::any_of(statement.functions.begin(), statement.functions.end(), is("pg_prepared_statement"));
}

}  // namespace

/// What would be prepared now. While it is not known what the session's settings are, nobody else may find it later.
pool::StatementKey Session::key_now(const PreparedStatement& statement) const {
  return with_meaning(statement.key, carried_.meaning() + unsettled_);
}

/// The name that a client's statement would get on a server now.
std::string Session::server_name(const PreparedStatement& statement) const {
  const bool shared =
      shares_servers() && !statement.name.empty() && statement.origin == PreparedStatement::Origin::protocol;
  return shared ? shared_name(key_now(statement)) : statement.name;
}

/// The name under which the server has it, or would get it.
std::string Session::name_on(pool::ServerConnection& server, const PreparedStatement& statement) const {
  std::string name = server_name(statement);
  if (unsettled_ == 0 || name == statement.name || server.carried.prepared.find(name)) return name;
  // Prepared before, when the settings were known: as on a connection of the session's own, that one runs.
  std::string earlier = shared_name(with_meaning(statement.key, carried_.meaning()));
  return server.carried.prepared.find(earlier) ? earlier : name;
}

void Session::send_parse(pool::ServerConnection& server, const GatheredMessage& message, std::string_view bytes) {
  const StatementPtr owner = message.name.empty() ? nullptr : prepared_.get(message.name);
  const bool taken = owner && owner->id < message.statement->id;
  if (taken) {
    // The server is to refuse the name in its own words.
    ensure_present(server, message.name, *owner, Around::extended);
    push_expected(server, message);
    server.connection().write_through(bytes);
    return;
  }
  const std::string name = server_name(*message.statement);
  if (!name.empty()) ensure_absent(server, name, Around::extended);
  push_expected(server, message);
  note_prepared(server, name, *message.statement);
  send_renamed(server, message, bytes, name);
}

/// Bind, and Describe of a statement.
void Session::send_naming(pool::ServerConnection& server, const GatheredMessage& message, std::string_view bytes) {
  if (!message.statement) {
    // The server is to say that there is no such statement.
    ensure_absent(server, message.name, Around::extended);
    push_expected(server, message);
    server.connection().write_through(bytes);
    return;
  }
  ensure_named_in(server, message.statement->query.entry->facts, Around::extended);
  const std::string name = name_on(server, *message.statement);
  ensure_present(server, name, *message.statement, Around::extended);
  push_expected(server, message);
  send_renamed(server, message, bytes, name);
}

/// Of a statement that a server has under the client's own name. Others need not be closed there: see
/// `Session::note_message`.
void Session::send_close(pool::ServerConnection& server, const GatheredMessage& message, std::string_view bytes) {
  push_expected(server, message);
  auto& books = server.carried.prepared;
  if (message.what == 'S' && !queue_.skipping()) {
    auto change = std::make_unique<PreparedChange>();
    change->name = message.name;
    change->removed = books.remove(message.name);
    if (change->removed) queue_.attach(std::move(change));
    if (message.name.empty()) books.unnamed.reset();
  }
  server.connection().write_through(bytes);
}

/// The message with another statement's name in it: Parse, Bind, Describe. What is still to come of a long one follows
/// unchanged.
void Session::send_renamed(pool::ServerConnection& server, const GatheredMessage& message, std::string_view bytes,
                           std::string_view name) {
  if (name == message.name) {
    server.connection().write_through(bytes);
    return;
  }
  std::size_t before = wire::kHeaderBytes;
  if (message.type == frontend::kBind) before += message.portal.size() + 1;
  if (message.type == frontend::kDescribe) before += 1;
  const std::uint32_t length = base::load_be32(bytes.data() + 1) + static_cast<std::uint32_t>(name.size()) -
                               static_cast<std::uint32_t>(message.name.size());
  wire::encode_header(server.connection().output(), message.type, length);
  server.connection().write(bytes.substr(wire::kHeaderBytes, before - wire::kHeaderBytes));
  server.connection().write(name);
  server.connection().write_through(bytes.substr(before + message.name.size()));
}

/// Makes true what a text takes for granted: that the statements it names are those of this session.
void Session::ensure_named_in(pool::ServerConnection& server, const sql::QueryFacts& facts, Around around) {
  using sql::StatementKind;
  for (const auto& statement : facts.statements) {
    const bool names_one = statement.kind == StatementKind::execute || statement.kind == StatementKind::prepare ||
                           (statement.kind == StatementKind::deallocate && !statement.name.empty());
    if (names_one) {
      if (const StatementPtr wanted = prepared_.get(statement.name))
        ensure_present(server, statement.name, *wanted, around);
      else
        ensure_absent(server, statement.name, around);
    }
    if (shares_servers() && lists_statements(statement)) show_own_statements(server);
  }
}

/// Leaves on the server what this session has prepared, under the names that its client knows, and nothing else.
void Session::show_own_statements(pool::ServerConnection& server) {
  std::vector<std::string> there;
  for (const auto& entry : server.carried.prepared.entries()) there.push_back(entry.name);
  for (const auto& name : there)
    if (!prepared_.get(name)) inject_close(server, name);
  for (const auto& [name, statement] : prepared_.all())
    if (!name.empty()) ensure_present(server, name, *statement, Around::extended);
  inject_sync(server);
}

/// In the books before the message is sent: `push_expected` has just made the entry that may take it back.
void Session::note_prepared(pool::ServerConnection& server, std::string_view name, const PreparedStatement& statement) {
  if (queue_.skipping()) return;
  auto change = std::make_unique<PreparedChange>();
  change->name = name;
  change->added = key_now(statement);
  queue_.attach(std::move(change));
  add_to_books(server, name, statement);
}

void Session::add_to_books(pool::ServerConnection& server, std::string_view name, const PreparedStatement& statement) {
  auto& books = server.carried.prepared;
  if (name.empty()) {
    books.unnamed = key_now(statement);
    return;
  }
  const std::size_t bytes = kServerOverhead + statement.text.size() * kServerBytesPerTextByte;
  books.add({std::string(name), key_now(statement), bytes, worker_.loop().now()});
}

void Session::ensure_present(pool::ServerConnection& server, std::string_view name, const PreparedStatement& wanted,
                             Around around) {
  if (wanted.origin == PreparedStatement::Origin::local || queue_.skipping()) return;
  const auto fits = [&](pool::StatementKey there) {
    return there == key_now(wanted) || there == with_meaning(wanted.key, carried_.meaning());
  };
  auto& books = server.carried.prepared;
  if (name.empty()) {
    if (books.unnamed && fits(*books.unnamed)) return;
  } else if (const auto* entry = books.find(name)) {
    if (fits(entry->key)) return;
    inject_close(server, name);
  }
  const std::size_t budget = worker_.settings().pool.prepared_memory;
  while (const auto* oldest = books.over(budget)) inject_close(server, std::string(oldest->name));
  const bool as_sql = wanted.origin == PreparedStatement::Origin::sql;
  if (as_sql && around == Around::simple) {
    if (!queue_.empty()) inject_sync(server);
    inject_query(server, wanted.text, Purpose::none);
    note_prepared(server, name, wanted);
    return;
  }
  if (as_sql)
    inject_sql_prepare(server, wanted);
  else
    inject_parse(server, name, wanted);
  if (around == Around::simple) inject_sync(server);
}

void Session::ensure_absent(pool::ServerConnection& server, std::string_view name, Around around) {
  if (queue_.skipping()) return;
  auto& books = server.carried.prepared;
  const bool there = name.empty() ? books.unnamed.has_value() : books.find(name) != nullptr;
  if (!there) return;
  inject_close(server, name);
  if (around == Around::simple) inject_sync(server);
}

void Session::inject_close(pool::ServerConnection& server, std::string_view name) {
  auto& books = server.carried.prepared;
  wire::encode_close(server.connection().output(), 'S', name);
  queue_.push({.what = Expect::close, .action = Action::swallow});
  auto change = std::make_unique<PreparedChange>();
  change->name = name;
  if (name.empty())
    books.unnamed.reset();
  else
    change->removed = books.remove(name);
  if (change->removed) queue_.attach(std::move(change));
}

void Session::inject_parse(pool::ServerConnection& server, std::string_view name, const PreparedStatement& wanted) {
  wire::encode_parse(server.connection().output(), name, wanted.text, wanted.types);
  queue_.push({.what = Expect::parse, .action = Action::swallow});
  note_prepared(server, name, wanted);
}

/// PREPARE in the middle of a client's extended-protocol messages: as a simple query it would end the client's implicit
/// transaction.
void Session::inject_sql_prepare(pool::ServerConnection& server, const PreparedStatement& wanted) {
  auto& out = server.connection().output();
  wire::encode_parse(out, kInjectedName, wanted.text, std::string_view("\0\0", 2));
  queue_.push({.what = Expect::parse, .action = Action::swallow});
  note_prepared(server, wanted.name, wanted);
  wire::encode_bind(out, kInjectedName, kInjectedName);
  queue_.push({.what = Expect::bind, .action = Action::swallow});
  wire::encode_execute(out, kInjectedName);
  queue_.push({.what = Expect::execute, .action = Action::swallow});
  wire::encode_close(out, 'P', kInjectedName);
  wire::encode_close(out, 'S', kInjectedName);
  queue_.push({.what = Expect::close, .action = Action::swallow});
  queue_.push({.what = Expect::close, .action = Action::swallow});
}

void Session::inject_query(pool::ServerConnection& server, std::string_view text, Purpose purpose) {
  wire::encode_query(server.connection().output(), text);
  queue_.push({.what = Expect::query,
               .action = Action::swallow,
               .purpose = purpose,
               .text_hash = std::hash<std::string_view>{}(text)});
}

void Session::inject_sync(pool::ServerConnection& server) {
  wire::encode_bare(server.connection().output(), frontend::kSync);
  queue_.push({.what = Expect::sync, .action = Action::swallow});
}

/// The books of a server connection were kept when messages were sent; those it has skipped are undone, last first.
void Session::undo_on_server(pool::ServerConnection& server) {
  auto& books = server.carried.prepared;
  for (auto entry = dropped_.rbegin(); entry != dropped_.rend(); ++entry) {
    if (!entry->change) continue;
    PreparedChange& change = *entry->change;
    if (change.removed) {
      if (!books.find(change.name)) books.add(std::move(*change.removed));
    } else if (change.name.empty()) {
      books.unnamed.reset();
    } else if (const auto* there = books.find(change.name); there && there->key == change.added) {
      books.remove(change.name);
    }
  }
}

}  // namespace pgweir::session
