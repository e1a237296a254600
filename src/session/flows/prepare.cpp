// Prepared statements on servers that many sessions share; see server_writer.h.
#include <algorithm>
#include <utility>

#include "base/byte_order.h"
#include "session/flows/server_writer.h"
#include "session/settings_text.h"
#include "session/worker.h"
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

void note_parsed(PreparedStatement& statement, const CarriedState& carried, std::uint64_t unsettled) {
  statement.settled = unsettled == 0;
  statement.meaning = statement.settled ? carried.meaning().texts : unsettled;
  statement.settings = carried.effective();
}

pool::StatementKey key_now(const PreparedStatement& statement, const CarriedState& carried) {
  return with_meaning(with_meaning(statement.key, statement.meaning), carried.meaning().names);
}

// --- Where it is ---------------------------------------------------------------------------------

/// Where the server has a client's statement, or would get it now.
Place ServerWriter::place_of(const PreparedStatement& statement) const {
  const bool shared = of_.sharing == Sharing::shared && !statement.name.empty() &&
                      statement.origin == PreparedStatement::Origin::protocol;
  const auto place = [&](pool::StatementKey key) {
    Place found{.key = key, .own = statement.name};
    if (shared) found.shared.emplace(key);
    if (found.name().empty()) {
      found.there = server_.carried.prepared.unnamed == key;
    } else {
      const auto* entry = server_.carried.prepared.find(found.name());
      found.there = entry && entry->key == key;
    }
    return found;
  };
  Place regular = place(key_now(statement, of_.carried));
  const std::uint64_t texts = of_.carried.meaning().texts;
  if (regular.there || (work_.unsettled == 0 && statement.meaning == texts)) return regular;
  // What would be prepared now is not what others mean by that key.
  const std::uint64_t own = work_.unsettled != 0 ? work_.unsettled : (std::uint64_t{of_.session.value} << 32U) ^ texts;
  return place(with_meaning(regular.key, own));
}

/// The same statement under the client's name, for SQL that speaks of it.
Place ServerWriter::place_under_own_name(const PreparedStatement& statement) const {
  Place place{.key = place_of(statement).key, .own = statement.name};
  const auto* entry = server_.carried.prepared.find(statement.name);
  place.there = entry && entry->key == place.key;
  return place;
}

// --- The client's messages -----------------------------------------------------------------------

void ServerWriter::send_parse(const GatheredMessage& message, std::string_view bytes) {
  const StatementPtr owner = message.name.empty() ? nullptr : of_.prepared.get(message.name);
  const bool taken = owner && owner->id < message.statement->id;
  if (taken) {
    // The server is to refuse the name in its own words.
    ensure_present({.key = place_of(*owner).key, .own = message.name}, *owner, Around::extended);
    return pass(message, bytes);
  }
  // A server decides when it parses EXECUTE which rows it will describe (utils/cache/plancache.c).
  ensure_named_in(message.statement->query.entry->facts, Around::extended);
  note_parsed(*message.statement, of_.carried, work_.unsettled);
  const Place place = place_of(*message.statement);
  if (!place.name().empty()) ensure_absent(place.name(), Around::extended);
  expect_answer(message);
  note_prepared(place, *message.statement);
  work_.queue.note_key(place.key);
  send_renamed(message, bytes, place.name());
}

/// Bind, and Describe of a statement.
void ServerWriter::send_naming(const GatheredMessage& message, std::string_view bytes) {
  const StatementPtr statement =
      message.statement && message.statement->withdrawn ? of_.prepared.get(message.name) : message.statement;
  if (!statement) {
    // The server is to say that there is no such statement.
    ensure_absent(message.name, Around::extended);
    return pass(message, bytes);
  }
  ensure_named_in(statement->query.entry->facts, Around::extended);
  const Place place = place_of(*statement);
  ensure_present(place, *statement, Around::extended);
  expect_answer(message);
  work_.queue.note_key(place.key);
  send_renamed(message, bytes, place.name());
}

/// Of a statement that a server has under the client's own name. Others need not be closed there: see
/// `Session::note_message`.
void ServerWriter::send_close(const GatheredMessage& message, std::string_view bytes) {
  expect_answer(message);
  auto& books = server_.carried.prepared;
  if (message.what == 'S' && !work_.queue.skipping()) {
    auto change = std::make_unique<PreparedChange>();
    change->name = message.name;
    change->removed = books.remove(message.name);
    if (change->removed) work_.queue.attach(std::move(change));
    if (message.name.empty()) books.unnamed.reset();
  }
  server_.connection().write_through(bytes);
}

/// The message with another statement's name in it: Parse, Bind, Describe. What is still to come of a long one follows
/// unchanged.
void ServerWriter::send_renamed(const GatheredMessage& message, std::string_view bytes, std::string_view name) {
  auto& connection = server_.connection();
  if (name == message.name) {
    connection.write_through(bytes);
    return;
  }
  std::size_t before = wire::kHeaderBytes;
  if (message.type == frontend::kBind) before += message.portal.size() + 1;
  if (message.type == frontend::kDescribe) before += 1;
  const std::uint32_t length = base::load_be32(bytes.data() + 1) + static_cast<std::uint32_t>(name.size()) -
                               static_cast<std::uint32_t>(message.name.size());
  wire::encode_header(connection.output(), message.type, length);
  connection.write(bytes.substr(wire::kHeaderBytes, before - wire::kHeaderBytes));
  connection.write(name);
  connection.write_through(bytes.substr(before + message.name.size()));
}

// --- What they take for granted ------------------------------------------------------------------

void ServerWriter::prepare_as_parsed() {
  if (work_.unsettled != 0 || of_.carried.has_local() || server_.transaction == wire::TransactionStatus::failed) return;
  for (const GatheredMessage& message : work_.exchange.messages()) {
    const bool names_one =
        message.type == frontend::kBind || (message.type == frontend::kDescribe && message.what == 'S');
    if (names_one) prepare_as_parsed(message.statement);
    if (message.type != frontend::kQuery || !message.query) continue;
    for (const auto& statement : message.query->facts.statements)
      if (statement.kind == sql::StatementKind::execute) prepare_as_parsed(of_.prepared.get(statement.name));
  }
}

void ServerWriter::prepare_as_parsed(const StatementPtr& statement) {
  if (!statement || !statement->settled || statement->withdrawn ||
      statement->origin == PreparedStatement::Origin::local || statement->meaning == of_.carried.meaning().texts)
    return;
  Place place = place_of(*statement);
  if (place.there) return;
  place.key = key_now(*statement, of_.carried);
  if (place.shared) place.shared.emplace(place.key);
  const pool::SettingsPtr now = of_.carried.effective();
  const pool::SettingsPtr then = with_names_of(statement->settings, now);
  query(statements_between(now, then), Purpose::none);
  ensure_present(place, *statement, Around::simple);
  query(statements_between(then, now), Purpose::none);
}

/// Makes true what a text takes for granted: that the statements it names are those of this session.
void ServerWriter::ensure_named_in(const sql::QueryFacts& facts, Around around) {
  using sql::StatementKind;
  for (const auto& statement : facts.statements) {
    const bool names_one = statement.kind == StatementKind::execute || statement.kind == StatementKind::prepare ||
                           (statement.kind == StatementKind::deallocate && !statement.name.empty());
    if (names_one) ensure_own_name(statement.name, around);
    if (!statement.executes.empty()) ensure_own_name(statement.executes, around);
    if (lists_statements(statement)) show_own_statements();
  }
}

/// Makes the client's name on the server mean what it means to the client, be it nothing.
void ServerWriter::ensure_own_name(const std::string& name, Around around) {
  const StatementPtr wanted = of_.prepared.get(name);
  if (!wanted) return ensure_absent(name, around);
  ensure_present(place_under_own_name(*wanted), *wanted, around);
}

/// Leaves on the server what this session has prepared, under the names that its client knows, and nothing else.
void ServerWriter::show_own_statements() {
  std::vector<std::string> there;
  for (const auto& entry : server_.carried.prepared.entries()) there.push_back(entry.name);
  for (const auto& name : there)
    if (!of_.prepared.get(name)) close(name);
  for (const auto& [name, statement] : of_.prepared.all())
    if (!name.empty()) ensure_own_name(name, Around::extended);
  sync();
}

void ServerWriter::ensure_present(const Place& place, const PreparedStatement& wanted, Around around) {
  if (place.there || wanted.origin == PreparedStatement::Origin::local || work_.queue.skipping()) return;
  auto& books = server_.carried.prepared;
  if (!place.name().empty() && books.find(place.name())) close(place.name());
  const std::size_t budget = of_.worker.settings().pool.prepared_memory;
  while (const auto* oldest = books.over(budget)) close(std::string(oldest->name));
  const bool as_sql = wanted.origin == PreparedStatement::Origin::sql;
  if (as_sql && around == Around::simple) {
    if (!work_.queue.empty()) sync();
    query(wanted.text, Purpose::prepare);
    note_prepared(place, wanted);
    return;
  }
  if (as_sql)
    sql_prepare(place, wanted);
  else
    parse(place, wanted);
  if (around == Around::simple) sync();
}

void ServerWriter::ensure_absent(std::string_view name, Around around) {
  if (work_.queue.skipping()) return;
  auto& books = server_.carried.prepared;
  const bool there = name.empty() ? books.unnamed.has_value() : books.find(name) != nullptr;
  if (!there) return;
  close(name);
  if (around == Around::simple) sync();
}

void ServerWriter::forget(const GatheredMessage& message) {
  if (message.query)
    for (const auto& statement : message.query->facts.statements)
      if (statement.kind == sql::StatementKind::execute) ensure_absent(statement.name, Around::simple);
  if (!message.statement || message.type == frontend::kParse) return;
  for (const auto& statement : message.statement->query.entry->facts.statements)
    if (statement.kind == sql::StatementKind::execute) ensure_absent(statement.name, Around::simple);
  ensure_absent(place_of(*message.statement).name(), Around::simple);
}

// --- The books -----------------------------------------------------------------------------------

/// In the books before the message is sent: the entry that was pushed last may have to take it back.
void ServerWriter::note_prepared(const Place& place, const PreparedStatement& statement) {
  if (work_.queue.skipping()) return;
  auto change = std::make_unique<PreparedChange>();
  change->name = place.name();
  change->added = place.key;
  work_.queue.attach(std::move(change));
  add_to_books(place, statement);
}

void ServerWriter::add_to_books(const Place& place, const PreparedStatement& statement) {
  auto& books = server_.carried.prepared;
  if (place.name().empty()) {
    books.unnamed = place.key;
    return;
  }
  const std::size_t bytes = kServerOverhead + statement.text.size() * kServerBytesPerTextByte;
  books.add({std::string(place.name()), place.key, bytes, of_.worker.loop().now()});
}

void ServerWriter::prepared_by_sql(const PreparedStatement& statement) {
  server_.carried.prepared.remove(statement.name);
  add_to_books({.key = place_of(statement).key, .own = statement.name}, statement);
}

void ServerWriter::undo_dropped() {
  auto& books = server_.carried.prepared;
  for (auto entry = work_.dropped.rbegin(); entry != work_.dropped.rend(); ++entry) {
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

// --- Messages of pgweir's own --------------------------------------------------------------------

void ServerWriter::close(std::string_view name) {
  auto& books = server_.carried.prepared;
  wire::encode_close(server_.connection().output(), 'S', name);
  work_.queue.push({.what = Expect::close, .action = Action::swallow});
  auto change = std::make_unique<PreparedChange>();
  change->name = name;
  if (name.empty())
    books.unnamed.reset();
  else
    change->removed = books.remove(name);
  if (change->removed) work_.queue.attach(std::move(change));
}

void ServerWriter::parse(const Place& place, const PreparedStatement& wanted) {
  wire::encode_parse(server_.connection().output(), place.name(), wanted.text, wanted.types);
  work_.queue.push({.what = Expect::parse, .action = Action::swallow});
  note_prepared(place, wanted);
}

/// PREPARE in the middle of a client's extended-protocol messages: as a simple query it would end the client's implicit
/// transaction.
void ServerWriter::sql_prepare(const Place& place, const PreparedStatement& wanted) {
  auto& out = server_.connection().output();
  wire::encode_parse(out, kInjectedName, wanted.text, std::string_view("\0\0", 2));
  work_.queue.push({.what = Expect::parse, .action = Action::swallow});
  wire::encode_bind(out, kInjectedName, kInjectedName);
  work_.queue.push({.what = Expect::bind, .action = Action::swallow});
  wire::encode_execute(out, kInjectedName);
  work_.queue.push({.what = Expect::execute, .action = Action::swallow});
  note_prepared(place, wanted);
  wire::encode_close(out, 'P', kInjectedName);
  wire::encode_close(out, 'S', kInjectedName);
  work_.queue.push({.what = Expect::close, .action = Action::swallow});
  work_.queue.push({.what = Expect::close, .action = Action::swallow});
}

}  // namespace pgweir::session
