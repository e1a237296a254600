// Prepared statements on servers that other sessions use too: what the client calls by its own names is there under a
// name made of its content, or is put there first, with messages whose answers the client does not see. Names that SQL
// speaks of (EXECUTE, DEALLOCATE) and the unnamed statement are made to mean what this client means by them.
#include <algorithm>
#include <utility>

#include "session/session.h"
#include "session/settings_text.h"
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

/// Where a server has a client's statement, or would get it now.
Session::Place Session::place_on(pool::ServerConnection& server, const PreparedStatement& statement) const {
  const bool shared =
      shares_servers() && !statement.name.empty() && statement.origin == PreparedStatement::Origin::protocol;
  const auto place = [&](pool::StatementKey key) {
    Place found{shared ? shared_name(key) : statement.name, key, false};
    if (found.name.empty()) {
      found.there = server.carried.prepared.unnamed == key;
    } else {
      const auto* entry = server.carried.prepared.find(found.name);
      found.there = entry && entry->key == key;
    }
    return found;
  };
  const CarriedState::Meaning meaning = carried_.meaning();
  Place regular = place(with_meaning(with_meaning(statement.key, statement.meaning), meaning.names));
  if (regular.there || (unsettled_ == 0 && statement.meaning == meaning.texts)) return regular;
  // What would be prepared now is not what others mean by that key.
  const std::uint64_t own = unsettled_ != 0 ? unsettled_ : (std::uint64_t{id_.value} << 32U) ^ meaning.texts;
  return place(with_meaning(regular.key, own));
}

void Session::send_parse(pool::ServerConnection& server, const GatheredMessage& message, std::string_view bytes) {
  const StatementPtr owner = message.name.empty() ? nullptr : prepared_.get(message.name);
  const bool taken = owner && owner->id < message.statement->id;
  if (taken) {
    // The server is to refuse the name in its own words.
    ensure_present(server, {message.name, place_on(server, *owner).key, false}, *owner, Around::extended);
    push_expected(server, message);
    server.connection().write_through(bytes);
    return;
  }
  // A server decides when it parses EXECUTE which rows it will describe (utils/cache/plancache.c).
  ensure_named_in(server, message.statement->query.entry->facts, Around::extended);
  note_parsed(*message.statement);
  const Place place = place_on(server, *message.statement);
  if (!place.name.empty()) ensure_absent(server, place.name, Around::extended);
  push_expected(server, message);
  note_prepared(server, place, *message.statement);
  queue_.note_key(place.key);
  send_renamed(server, message, bytes, place.name);
}

/// The settings that it is parsed under belong to a statement for as long as it lives.
void Session::note_parsed(PreparedStatement& statement) const {
  statement.settled = unsettled_ == 0;
  statement.meaning = statement.settled ? carried_.meaning().texts : unsettled_;
  statement.settings = carried_.effective();
}

pool::StatementKey Session::key_of(const PreparedStatement& statement) const {
  return with_meaning(with_meaning(statement.key, statement.meaning), carried_.meaning().names);
}

/// Nothing but statements to be prepared that a server has accepted, under the same settings and with the same catalog:
/// while a client waits for a connection only to hear that again, those who hold one may be waiting for the client.
bool Session::is_known(const Exchange& exchange) const {
  if (!shares_servers() || unsettled_ != 0 || transaction_ != Transaction::none || !queue_.empty()) return false;
  const auto& messages = exchange.messages();
  if (messages.size() < 2 || messages.back().type != frontend::kSync) return false;
  return std::all_of(messages.begin(), messages.end() - 1, [&](const GatheredMessage& message) {
    if (message.type != frontend::kParse || message.name.empty() || prepared_.get(message.name) != message.statement)
      return false;
    const CarriedState::Meaning meaning = carried_.meaning();
    const auto key = with_meaning(with_meaning(message.statement->key, meaning.texts), meaning.names);
    return worker_.process().known_statements.has(key);
  });
}

/// Whether something in it depends on a Parse of an earlier exchange that is still under way and may fail.
bool Session::must_see_parse_first(const Exchange& exchange) const {
  if (queue_.empty()) return false;
  const auto& messages = exchange.messages();
  return std::any_of(messages.begin(), messages.end(), [&](const GatheredMessage& message) {
    const StatementPtr& statement = message.statement;
    if (!statement || statement->confirmed || statement->origin == PreparedStatement::Origin::local) return false;
    return std::none_of(messages.begin(), messages.end(), [&](const GatheredMessage& other) {
      return other.type == frontend::kParse && other.statement == statement;
    });
  });
}

/// Bind, and Describe of a statement.
void Session::send_naming(pool::ServerConnection& server, const GatheredMessage& message, std::string_view bytes) {
  const StatementPtr statement =
      message.statement && message.statement->withdrawn ? prepared_.get(message.name) : message.statement;
  if (!statement) {
    // The server is to say that there is no such statement.
    ensure_absent(server, message.name, Around::extended);
    push_expected(server, message);
    server.connection().write_through(bytes);
    return;
  }
  ensure_named_in(server, statement->query.entry->facts, Around::extended);
  const Place place = place_on(server, *statement);
  ensure_present(server, place, *statement, Around::extended);
  push_expected(server, message);
  queue_.note_key(place.key);
  send_renamed(server, message, bytes, place.name);
}

/// Before an exchange: statements that this server has not got, and that were parsed under other settings than those of
/// now, are parsed under the old ones: constants in them must not change.
void Session::prepare_as_parsed(pool::ServerConnection& server, const Exchange& exchange) {
  if (unsettled_ != 0 || carried_.has_local() || server.transaction == wire::TransactionStatus::failed) return;
  const auto prepare = [&](const StatementPtr& statement) {
    if (!statement || !statement->settled || statement->withdrawn ||
        statement->origin == PreparedStatement::Origin::local || statement->meaning == carried_.meaning().texts)
      return;
    Place place = place_on(server, *statement);
    if (place.there) return;
    const bool shared = place.name != statement->name;
    place.key = with_meaning(with_meaning(statement->key, statement->meaning), carried_.meaning().names);
    if (shared) place.name = shared_name(place.key);
    const pool::SettingsPtr now = carried_.effective();
    const pool::SettingsPtr then = with_names_of(statement->settings, now);
    inject_query(server, statements_between(now, then), Purpose::none);
    ensure_present(server, place, *statement, Around::simple);
    inject_query(server, statements_between(then, now), Purpose::none);
  };
  for (const GatheredMessage& message : exchange.messages()) {
    const bool names_one =
        message.type == frontend::kBind || (message.type == frontend::kDescribe && message.what == 'S');
    if (names_one) prepare(message.statement);
    if (message.type != frontend::kQuery || !message.query) continue;
    for (const auto& statement : message.query->facts.statements)
      if (statement.kind == sql::StatementKind::execute) prepare(prepared_.get(statement.name));
  }
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
    if (names_one) ensure_own_name(server, statement.name, around);
    if (!statement.executes.empty()) ensure_own_name(server, statement.executes, around);
    if (lists_statements(statement)) show_own_statements(server);
  }
}

/// Makes the client's name on the server mean what it means to the client, be it nothing.
void Session::ensure_own_name(pool::ServerConnection& server, const std::string& name, Around around) {
  const StatementPtr wanted = prepared_.get(name);
  if (!wanted) return ensure_absent(server, name, around);
  const auto* entry = server.carried.prepared.find(name);
  Place place{name, place_on(server, *wanted).key, false};
  place.there = entry && entry->key == place.key;
  ensure_present(server, place, *wanted, around);
}

/// Leaves on the server what this session has prepared, under the names that its client knows, and nothing else.
void Session::show_own_statements(pool::ServerConnection& server) {
  std::vector<std::string> there;
  for (const auto& entry : server.carried.prepared.entries()) there.push_back(entry.name);
  for (const auto& name : there)
    if (!prepared_.get(name)) inject_close(server, name);
  for (const auto& [name, statement] : prepared_.all())
    if (!name.empty()) ensure_own_name(server, name, Around::extended);
  inject_sync(server);
}

/// In the books before the message is sent: the entry that was pushed last may have to take it back.
void Session::note_prepared(pool::ServerConnection& server, const Place& place, const PreparedStatement& statement) {
  if (queue_.skipping()) return;
  auto change = std::make_unique<PreparedChange>();
  change->name = place.name;
  change->added = place.key;
  queue_.attach(std::move(change));
  add_to_books(server, place, statement);
}

void Session::add_to_books(pool::ServerConnection& server, const Place& place, const PreparedStatement& statement) {
  auto& books = server.carried.prepared;
  if (place.name.empty()) {
    books.unnamed = place.key;
    return;
  }
  const std::size_t bytes = kServerOverhead + statement.text.size() * kServerBytesPerTextByte;
  books.add({place.name, place.key, bytes, worker_.loop().now()});
}

void Session::ensure_present(pool::ServerConnection& server, const Place& place, const PreparedStatement& wanted,
                             Around around) {
  if (place.there || wanted.origin == PreparedStatement::Origin::local || queue_.skipping()) return;
  auto& books = server.carried.prepared;
  if (!place.name.empty() && books.find(place.name)) inject_close(server, place.name);
  const std::size_t budget = worker_.settings().pool.prepared_memory;
  while (const auto* oldest = books.over(budget)) inject_close(server, std::string(oldest->name));
  const bool as_sql = wanted.origin == PreparedStatement::Origin::sql;
  if (as_sql && around == Around::simple) {
    if (!queue_.empty()) inject_sync(server);
    inject_query(server, wanted.text, Purpose::prepare);
    note_prepared(server, place, wanted);
    return;
  }
  if (as_sql)
    inject_sql_prepare(server, place, wanted);
  else
    inject_parse(server, place, wanted);
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

/// What the message runs is closed on the server, so that it is prepared again.
void Session::forget_prepared(pool::ServerConnection& server, const GatheredMessage& message) {
  if (message.query)
    for (const auto& statement : message.query->facts.statements)
      if (statement.kind == sql::StatementKind::execute) ensure_absent(server, statement.name, Around::simple);
  if (!message.statement || message.type == frontend::kParse) return;
  for (const auto& statement : message.statement->query.entry->facts.statements)
    if (statement.kind == sql::StatementKind::execute) ensure_absent(server, statement.name, Around::simple);
  ensure_absent(server, place_on(server, *message.statement).name, Around::simple);
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

void Session::inject_parse(pool::ServerConnection& server, const Place& place, const PreparedStatement& wanted) {
  wire::encode_parse(server.connection().output(), place.name, wanted.text, wanted.types);
  queue_.push({.what = Expect::parse, .action = Action::swallow});
  note_prepared(server, place, wanted);
}

/// PREPARE in the middle of a client's extended-protocol messages: as a simple query it would end the client's implicit
/// transaction.
void Session::inject_sql_prepare(pool::ServerConnection& server, const Place& place, const PreparedStatement& wanted) {
  auto& out = server.connection().output();
  wire::encode_parse(out, kInjectedName, wanted.text, std::string_view("\0\0", 2));
  queue_.push({.what = Expect::parse, .action = Action::swallow});
  wire::encode_bind(out, kInjectedName, kInjectedName);
  queue_.push({.what = Expect::bind, .action = Action::swallow});
  wire::encode_execute(out, kInjectedName);
  queue_.push({.what = Expect::execute, .action = Action::swallow});
  note_prepared(server, place, wanted);
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
