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

/// The settings that say what constants in a text mean, as far as a session can change them.
constexpr std::string_view kResetWhatTextsMean =
    "RESET array_nulls;RESET backslash_quote;RESET DateStyle;RESET IntervalStyle;RESET lc_monetary;"
    "RESET standard_conforming_strings;RESET TimeZone;RESET timezone_abbreviations;RESET transform_null_equals;"
    "RESET xmloption;";

/// Bind, and Describe of a statement.
bool names_prepared(const GatheredMessage& message) {
  return message.type == frontend::kBind || (message.type == frontend::kDescribe && message.what == 'S');
}

/// What a prepared statement costs a server beside its text, about.
constexpr std::size_t kServerOverhead = 8 * 1024;
constexpr std::size_t kServerBytesPerTextByte = 8;

}  // namespace

void note_parsed(PreparedStatements& all, PreparedStatement& statement, const CarriedState& carried,
                 std::uint64_t unsettled) {
  statement.settled = unsettled == 0;
  statement.meaning = statement.settled ? carried.meaning().texts : unsettled;
  statement.settings = carried.effective();
  if (statement.settled) all.note_meaning(statement.meaning);
}

pool::StatementKey key_now(const PreparedStatement& statement, const CarriedState& carried) {
  return with_meaning(with_meaning(statement.key, statement.meaning), carried.meaning().names);
}

// --- Where it is ---------------------------------------------------------------------------------

/// Where the server has a client's statement, or would get it now.
Place ServerWriter::place_of(const PreparedStatement& statement) const {
  const bool shared = of_.sharing == Sharing::shared && !statement.name.empty() && !statement.lists &&
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

bool ServerWriter::depends_on_unanswered(const Exchange& exchange) const {
  if (depends_on_unconfirmed(exchange) || must_be_parsed_anew(exchange)) return true;
  if (!work_.queue.changes_prepared()) return false;
  if (!is_closed(exchange)) return true;  // nor is it known what follows
  const auto& messages = exchange.messages();
  return std::any_of(messages.begin(), messages.end(),
                     [&](const GatheredMessage& message) { return takes_for_granted(message, exchange); });
}

/// A statement whose coming or going is under way.
bool ServerWriter::takes_for_granted(const GatheredMessage& message, const Exchange& exchange) const {
  if (message.lists) return true;
  const ReplyQueue& queue = work_.queue;
  const auto is_uncertain = [&](const std::string& name) {
    const StatementPtr named = of_.prepared.get(name);
    return queue.changes_prepared(name) || (named && !named->confirmed && !is_parsed_in(exchange, *named));
  };
  const sql::QueryFacts* facts = facts_of(message);
  if (facts && std::any_of(facts->statements.begin(), facts->statements.end(), [&](const sql::StatementFacts& one) {
        return (names_statement(one) && is_uncertain(one.name)) ||
               (!one.executes.empty() && is_uncertain(one.executes));
      }))
    return true;
  return names_prepared(message) && message.statement && !is_parsed_in(exchange, *message.statement) &&
         queue.changes_prepared(place_of(*message.statement).name());
}

/// Where `prepare_as_parsed` has put one for which there is another place now: under the name of its content.
std::optional<Place> ServerWriter::place_by_content(const PreparedStatement& statement) const {
  if (of_.sharing != Sharing::shared || !statement.name.empty() ||
      statement.origin != PreparedStatement::Origin::protocol)
    return std::nullopt;
  for (const pool::StatementKey key : {key_now(statement, of_.carried), place_of(statement).key}) {
    Place place{.key = key, .own = statement.name, .shared = SharedName(key)};
    const auto* entry = server_.carried.prepared.find(place.name());
    place.there = entry && entry->key == key;
    if (place.there) return place;
  }
  return std::nullopt;
}

// --- The client's messages -----------------------------------------------------------------------

void ServerWriter::send_parse(const GatheredMessage& message, std::string_view bytes) {
  if (message.taken_by && !message.taken_by->withdrawn) {
    // The server is to refuse the name in its own words.
    if (message.taken_by->origin != PreparedStatement::Origin::local) ensure_taken(message.name, Around::extended);
    return pass(message, bytes);
  }
  // A server decides when it parses EXECUTE which rows it will describe (utils/cache/plancache.c).
  ensure_named_in(message, Around::extended);
  note_parsed(of_.prepared, *message.statement, of_.carried, work_.unsettled);
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
  ensure_named_in(message, Around::extended);
  Place place = place_of(*statement);
  if (!place.there)
    if (const auto other = place_by_content(*statement)) place = *other;
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
    if (auto entry = books.remove(message.name)) change->removed.push_back(std::move(*entry));
    if (!change->removed.empty()) work_.queue.attach(std::move(change));
    if (message.name.empty()) books.unnamed.reset();
  }
  server_.connection().write_through(bytes);
}

/// Execute of DEALLOCATE or DISCARD ALL: for what follows it in the exchange, they are gone.
void ServerWriter::send_deallocate(const GatheredMessage& message, std::string_view bytes) {
  expect_answer(message);
  if (!work_.queue.skipping()) {
    auto& books = server_.carried.prepared;
    const sql::StatementFacts& statement = message.statement->query.entry->facts.statements.front();
    auto change = std::make_unique<PreparedChange>();
    if (!statement.discard_all) change->name = statement.name;
    std::vector<std::string> gone;
    for (const auto& entry : books.entries())
      if (change->name.empty() || entry.name == change->name) gone.push_back(entry.name);
    for (const std::string& name : gone) change->removed.push_back(std::move(*books.remove(name)));
    if (!change->removed.empty()) work_.queue.attach(std::move(change));
  }
  server_.connection().write_through(bytes);
}

/// The message with another statement's name in it: Parse, Bind, Describe. What is still to come of a long one follows
/// unchanged.
void ServerWriter::send_renamed(const GatheredMessage& message, std::string_view bytes, std::string_view name) {
  std::size_t before = 0;
  if (message.type == frontend::kBind) before = message.portal.size() + 1;
  if (message.type == frontend::kDescribe) before = 1;
  send_renamed(bytes, before, message.name, name);
}

/// `before`: how many bytes of the body come before the name.
void ServerWriter::send_renamed(std::string_view bytes, std::size_t before, std::string_view old_name,
                                std::string_view name) {
  auto& connection = server_.connection();
  if (name == old_name) {
    connection.write_through(bytes);
    return;
  }
  const std::uint32_t length = base::load_be32(bytes.data() + 1) + static_cast<std::uint32_t>(name.size()) -
                               static_cast<std::uint32_t>(old_name.size());
  wire::encode_header(connection.output(), bytes[0], length);
  connection.write(bytes.substr(wire::kHeaderBytes, before));
  connection.write(name);
  connection.write_through(bytes.substr(wire::kHeaderBytes + before + old_name.size()));
}

// --- What they take for granted ------------------------------------------------------------------

void ServerWriter::prepare_as_parsed() {
  if (server_.transaction == wire::TransactionStatus::failed) return;
  if (const auto* execution = work_.exchange.execution()) {
    if (!execution->parses) prepare_as_parsed(execution->statement);
    return;
  }
  for (const GatheredMessage& message : work_.exchange.messages()) {
    if (names_prepared(message)) prepare_as_parsed(message.statement);
    for (const NamedStatement& named : message.named)
      if (named.runs) prepare_as_parsed(named.statement);
  }
}

/// It was parsed under other settings than those of now, or these are not known; and it is not there.
bool ServerWriter::must_be_parsed_anew(const StatementPtr& statement) const {
  if (!statement || !statement->settled || !statement->confirmed || statement->withdrawn ||
      statement->origin == PreparedStatement::Origin::local)
    return false;
  const bool same = work_.unsettled == 0 && statement->meaning == of_.carried.meaning().texts;
  return !same && !place_of(*statement).there && !place_by_content(*statement);
}

bool ServerWriter::must_be_parsed_anew(const Exchange& exchange) const {
  const auto& messages = exchange.messages();
  return std::any_of(messages.begin(), messages.end(), [&](const GatheredMessage& message) {
    return (names_prepared(message) && must_be_parsed_anew(message.statement)) ||
           std::any_of(message.named.begin(), message.named.end(),
                       [&](const NamedStatement& one) { return one.runs && must_be_parsed_anew(one.statement); });
  });
}

/// In a transaction the settings of now come back by a savepoint: they may be of SET LOCAL, or not be known.
void ServerWriter::prepare_as_parsed(const StatementPtr& statement) {
  const bool in_transaction = server_.transaction == wire::TransactionStatus::in_transaction;
  if (!must_be_parsed_anew(statement) || (work_.unsettled != 0 && !in_transaction)) return;
  Place place = place_of(*statement);
  if (work_.unsettled == 0) place.key = key_now(*statement, of_.carried);
  // The query behind it would destroy the unnamed statement.
  const bool unnamed = statement->name.empty() && of_.sharing == Sharing::shared;
  if (place.shared || unnamed) place.shared.emplace(place.key);
  if (place.name().empty()) return;
  const pool::SettingsPtr now = of_.carried.effective();
  const pool::SettingsPtr then = with_names_of(statement->settings, now);
  const std::string there_and =
      work_.unsettled == 0
          ? statements_between(now, then)
          : std::string(kResetWhatTextsMean) + statements_between(nullptr, with_names_of(statement->settings, nullptr));
  query(in_transaction ? "SAVEPOINT pgweir_injected;" + there_and : there_and, Purpose::none);
  ensure_present(place, *statement, Around::simple);
  query(in_transaction ? "ROLLBACK TO SAVEPOINT pgweir_injected;RELEASE SAVEPOINT pgweir_injected"
                       : statements_between(then, now),
        Purpose::none);
}

/// Makes true what a text takes for granted: that the statements it names are those of this session.
void ServerWriter::ensure_named_in(const GatheredMessage& message, Around around) {
  const std::size_t before = work_.queue.size();
  if (message.lists) close_others(message.named);
  for (const auto& [name, statement, runs] : message.named) {
    const bool gone = statement && statement->withdrawn;
    const StatementPtr wanted = gone ? of_.prepared.get(name) : statement;
    const Around each = message.lists ? Around::extended : around;
    if (wanted && !runs)
      ensure_taken(name, each);
    else
      ensure_own_name(name, wanted, each);
  }
  if (message.lists && around == Around::simple && work_.queue.size() > before) sync();
}

/// Makes the client's name on the server mean what it means to the client, be it nothing.
void ServerWriter::ensure_own_name(const std::string& name, const StatementPtr& wanted, Around around) {
  if (!wanted) return ensure_absent(name, around);
  ensure_present(place_under_own_name(*wanted), *wanted, around);
}

/// Some statement of that name, for what is only to find that there is one: the client's own might no longer be
/// possible. The empty text is, even in a transaction that has failed.
void ServerWriter::ensure_taken(const std::string& name, Around around) {
  if (server_.carried.prepared.find(name) || work_.queue.skipping()) return;
  PreparedStatement nothing;
  nothing.types.assign(2, '\0');
  parse({.key = {}, .own = name}, nothing);
  if (around == Around::simple) sync();
}

/// Where the client will see all names: leaves on the server only those that it knows.
void ServerWriter::close_others(const std::vector<NamedStatement>& own) {
  std::vector<std::string> there;
  for (const auto& entry : server_.carried.prepared.entries()) there.push_back(entry.name);
  if (work_.queue.skipping()) return;
  for (const std::string& name : there)
    if (std::none_of(own.begin(), own.end(), [&](const NamedStatement& one) { return one.name == name; })) close(name);
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
  if (place.name().empty()) {
    work_.queue.attach_unnamed();
  } else {
    auto change = std::make_unique<PreparedChange>();
    change->name = place.name();
    change->added = place.key;
    work_.queue.attach(std::move(change));
  }
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

/// What has been sent behind it is there, or will be.
void ServerWriter::deallocated(std::string_view name) {
  auto& books = server_.carried.prepared;
  std::vector<std::string> gone;
  for (const auto& entry : books.entries())
    if ((name.empty() || entry.name == name) && !work_.queue.changes_prepared(entry.name)) gone.push_back(entry.name);
  for (const std::string& one : gone) books.remove(one);
}

void ServerWriter::undo_dropped() {
  auto& books = server_.carried.prepared;
  for (auto entry = work_.dropped.rbegin(); entry != work_.dropped.rend(); ++entry) {
    if (entry->sets_unnamed) books.unnamed.reset();
    if (!entry->change) continue;
    PreparedChange& change = *entry->change;
    if (!change.removed.empty()) {
      for (auto& removed : change.removed)
        if (!books.find(removed.name)) books.add(std::move(removed));
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
  else if (auto entry = books.remove(name))
    change->removed.push_back(std::move(*entry));
  if (!change->removed.empty()) work_.queue.attach(std::move(change));
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
