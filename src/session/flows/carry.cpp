// What a session takes with it from one server connection to the next, and when it may leave one: its settings are made
// where they do not hold yet; what a statement has done unseen is asked for; a connection goes back to the pool when
// nothing is under way on it and nothing ties the session to it.
#include <algorithm>
#include <array>
#include <utility>

#include "base/assertion.h"
#include "session/session.h"
#include "session/settings_text.h"
#include "wire/messages/backend.h"
#include "wire/messages/frontend.h"

namespace pgweir::session {

namespace frontend = wire::frontend;

namespace {

/// Settings that name something in the database: what was there once may be gone.
constexpr std::array<std::string_view, 6> kNamesSomething{
    "default_table_access_method", "default_tablespace", "role",
    "session_authorization",       "temp_tablespaces",   "default_text_search_config"};

bool names_something(const pool::SettingsPtr& settings) {
  return settings && std::any_of(settings->begin(), settings->end(), [](const pool::SettingText& one) {
           return std::find(kNamesSomething.begin(), kNamesSomething.end(), one.key) != kNamesSomething.end();
         });
}

}  // namespace

// --- Settings ------------------------------------------------------------------------------------

/// True when the session's settings hold on this server, or will before what is sent next. False: they have to be made
/// first, because the server may refuse them; `dispatch` is called again when they are.
bool Session::settings_hold(pool::ServerConnection& server) {
  const pool::SettingsPtr& wanted = carried_.settings();
  pool::SettingsPtr& there = server.carried.settings;
  if (there == wanted) return true;
  if (pool::same_settings(there, wanted)) {
    there = wanted;
    return true;
  }
  const std::string text = statements_between(there, wanted);
  const bool safe = !names_something(there) && !names_something(wanted) &&
                    worker_.settings_were_taken(server.node(), std::hash<std::string_view>{}(text));
  inject_query(server, text, Purpose::settings);
  note_custom(server);
  if (safe) {
    there = wanted;
    return true;
  }
  chosen_ = server.node();
  wait_for(Wait::quiet);
  return false;
}

namespace {

/// What a message runs or describes; null when that is nothing new.
const sql::QueryFacts* facts_of(const GatheredMessage& message) {
  if (message.query) return &message.query->facts;
  return message.statement ? &message.statement->query.entry->facts : nullptr;
}

template <class Asks>
bool any_statement(const Exchange& exchange, Asks asks) {
  const auto& messages = exchange.messages();
  return std::any_of(messages.begin(), messages.end(), [&](const GatheredMessage& message) {
    const sql::QueryFacts* facts = facts_of(message);
    return facts && std::any_of(facts->statements.begin(), facts->statements.end(), asks);
  });
}

}  // namespace

/// False when the exchange asks for a setting that this session has never made and another one has, here: PostgreSQL
/// would no longer say that it does not exist.
bool Session::suits(const pool::ServerConnection& server) const {
  if (server.carried.custom.empty() || transaction_ == Transaction::open) return true;
  const auto asks = [](const sql::StatementFacts& one) { return one.asks_for_setting; };
  if (!any_statement(exchange_, asks)) return true;
  constexpr std::size_t kMost = 64;
  std::vector<std::string> names;
  for (const GatheredMessage& message : exchange_.messages()) {
    add_custom_names(exchange_.bytes_of(message).substr(wire::kHeaderBytes), kMost, names);
    if (message.statement) add_custom_names(message.statement->text, kMost, names);
  }
  const auto& own = carried_.settings();
  return std::none_of(names.begin(), names.end(), [&](const std::string& name) {
    const bool has = own && std::any_of(own->begin(), own->end(), [&](const auto& one) { return one.key == name; });
    return !has && server.carried.has_custom(name);
  });
}

bool Session::asks_for_sequence() const {
  return any_statement(exchange_, [](const sql::StatementFacts& one) { return one.asks_for_sequence; });
}

/// currval() must not tell what another session's nextval() was: the server is to say that there was none.
void Session::hide_sequences(pool::ServerConnection& server) {
  if (!shares_servers() || server.carried.last_writer == id_ || server.transaction == wire::TransactionStatus::failed)
    return;
  if (asks_for_sequence()) inject_query(server, "DISCARD SEQUENCES", Purpose::none);
}

/// The session has made settings here that stay known for as long as the connection lives.
void Session::note_custom(pool::ServerConnection& server) const {
  if (carried_.settings())
    for (const auto& one : *carried_.settings())
      if (one.key.find('.') != std::string::npos) server.carried.add_custom(one.key);
  for (const std::string& name : custom_names_) server.carried.add_custom(name);
}

/// RESET on the server goes back further than to what the client said at start-up.
void Session::note_resets(const Effect& effect) {
  if (!carried_.begins_with_settings()) return;
  for (const SettingChange& change : effect.settings) {
    if (!change.text.empty() || change.local) continue;
    const bool every = change.key == kAllSettings || change.key == kWholeSession;
    for (const auto& one : *carried_.beginning()) {
      const bool identity = one.key == "role" || one.key == "session_authorization";
      // RESET SESSION AUTHORIZATION takes the role away, too.
      const bool with_role = change.key == "session_authorization" && one.key == "role";
      if (one.key == change.key || change.key == kWholeSession || with_role || (every && !identity))
        resets_.push_back(one.key);
    }
  }
}

/// Before the client's ReadyForQuery: makes those settings again. False when there is nothing to do.
bool Session::restore_beginning(pool::ServerConnection& server) {
  const auto keys = std::exchange(resets_, {});
  if (keys.empty() || server.transaction == wire::TransactionStatus::failed) return false;
  std::string text;
  for (const auto& one : *carried_.beginning()) {
    if (std::find(keys.begin(), keys.end(), one.key) == keys.end()) continue;
    if (!text.empty()) text += ';';
    text += one.text;
  }
  held_ready_ = server.transaction;
  inject_query(server, text, Purpose::restore);
  wait_for(Wait::quiet);
  return true;
}

/// The client believes of its parameters what the server says.
void Session::tell_parameters(pool::ServerConnection& server) {
  if (server.identity().parameters_hash == told_hash_) return;
  for (const auto& [name, value] : server.identity().parameters) tell_parameter(name, value);
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
  told_hash_ = pool::hash_of(*told_);
  unsafe_encoding_ = is_unsafe_encoding(*told_);
  wire::encode_parameter_status(client_.output(), name, value);
}

// --- What cannot be carried ----------------------------------------------------------------------

/// Something is being sent whose effect on the session will have to be asked for, whether it succeeds or not.
void Session::note_due(pool::ServerConnection& server, Audit audit) {
  if (Held* there = held(server.node())) there->due = std::max(there->due, audit);
}

void Session::note_due(pool::ServerConnection& server, const EffectsPtr& effects) {
  if (!effects) return;
  const bool pinned = is_pinned(server.node());
  for (const Effect& effect : *effects) {
    if (effect.unknown_state) note_due(server, Audit::all);
    if (effect.unknown_state || !effect.settings.empty()) unsettle();
    const bool binds = effect.creates_temporary || effect.with_hold || effect.takes_session_lock ||
                       effect.kind == sql::StatementKind::listen;
    if (binds || (pinned && effect.may_free)) note_due(server, Audit::pins);
    for (const SettingChange& change : effect.settings)
      if (change.text.empty() && carried_.begins_with_settings()) solitary_ = true;
    // What comes next may name it.
    if (effect.kind == sql::StatementKind::prepare || effect.kind == sql::StatementKind::deallocate ||
        effect.kind == sql::StatementKind::discard)
      solitary_ = true;
  }
}

/// What a message of unknown effect says may be the name of a setting that it makes.
void Session::collect_names(const GatheredMessage& message, std::string_view bytes) {
  constexpr std::size_t kMost = 256;
  bool unknown = message.unknown_effects;
  if (message.effects)
    unknown = unknown || std::any_of(message.effects->begin(), message.effects->end(),
                                     [](const Effect& effect) { return effect.unknown_state; });
  // Its parameters come before it is known what runs.
  if (message.type == frontend::kBind && message.statement)
    unknown = routing::effects_of(*message.statement->query.entry, catalog()).unknown;
  if (!unknown) return;
  add_custom_names(bytes.substr(wire::kHeaderBytes), kMost, custom_names_);
  if (message.statement) add_custom_names(message.statement->text, kMost, custom_names_);
}

void Session::unsettle() {
  if (unsettled_ == 0) unsettled_ = (std::uint64_t{id_.value} << 32U) | ++unsettled_times_;
}

void Session::start_audit(Held& there) {
  pool::ServerConnection& server = *there.lease.server();
  current_ = &server;
  audit_ = std::make_unique<AuditReader>(there.due, account_->user, custom_names_, carried_.settings());
  there.due = Audit::none;
  note_custom(server);
  auto custom = std::exchange(custom_names_, {});
  if (carried_.settings())
    for (const auto& one : *carried_.settings())
      if (one.key.find('.') != std::string::npos) custom.push_back(one.key);
  // Functions that are newer than the catalog are looked for on the server.
  const auto* known = catalog();
  custom = names_to_ask_for(std::move(custom), known ? known->custom_settings() : std::vector<std::string>{});
  const auto functions = known ? FunctionNames::known : FunctionNames::looked_for;
  inject_query(server, audit_query(audit_->audit(), custom, functions), Purpose::audit);
  wait_for(Wait::quiet);
}

void Session::finish_audit(pool::ServerConnection& server) {
  const auto reader = std::exchange(audit_, nullptr);
  Held* there = held(server.node());
  if (!there) return;
  const Pins before = there->pins;
  if (reader->failed()) {
    there->pins.add(PinReason::unknown);
    there->due = Audit::none;
  } else {
    there->pins = reader->pins();
    for (const PinReason unseen : {PinReason::library, PinReason::seed})
      if (before.has(unseen)) there->pins.add(unseen);
    if (reader->audit() == Audit::all) {
      carried_.replace(reader->take_settings());
      server.carried.settings = carried_.settings();
      // A statement that code has prepared: nobody else may find it.
      if (reader->prepared() != server.carried.prepared.size()) there->pins.add(PinReason::unknown);
    } else if (before.has(PinReason::unknown)) {
      there->pins.add(PinReason::unknown);
    }
  }
  if (!(there->pins == before)) publish_pins();
}

/// For what no view of PostgreSQL shows.
void Session::pin(pool::ServerConnection& server, PinReason reason) {
  Held* there = held(server.node());
  if (!there) return;
  there->pins.add(reason);
  publish_pins();
}

/// For SHOW pins.
void Session::publish_pins() const {
  PinnedSession pinned;
  for (const Held& one : leases_) {
    if (!one.pins.any()) continue;
    pinned.pins = one.pins;
    pinned.node = worker_.topology().node(one.node).name;
  }
  auto& directory = worker_.process().pins;
  if (!pinned.pins.any()) return directory.erase(id_);
  pinned.client = peer_;
  pinned.user = account_->user;
  pinned.database = account_->database;
  pinned.since = std::chrono::system_clock::now();
  directory.set(id_, std::move(pinned));
}

bool Session::is_pinned(base::NodeId node) const {
  const Held* there = held(node);
  return there && (there->pins.any() || there->due != Audit::none);
}

bool Session::is_pinned() const {
  return std::any_of(leases_.begin(), leases_.end(),
                     [](const Held& one) { return one.pins.any() || one.due != Audit::none; });
}

bool Session::is_pinned_for(PinReason reason) const {
  return std::any_of(leases_.begin(), leases_.end(), [&](const Held& one) { return one.pins.has(reason); });
}

/// What a statement has done to the session is not known yet.
bool Session::audit_is_due() const {
  return audit_ || std::any_of(leases_.begin(), leases_.end(), [](const Held& one) { return one.due == Audit::all; });
}

// --- Giving back ---------------------------------------------------------------------------------

/// Nothing may be under way any more: what is not known is asked for, then the connections go back.
void Session::settle() {
  if (leases_.empty() || !queue_.empty() || stage_ != Stage::none || wait_ != Wait::none || stream_left_ > 0) return;
  if (transaction_ == Transaction::open || state_ == State::finished) return;
  for (Held& one : leases_) {
    if (one.due == Audit::none) continue;
    start_audit(one);
    return;
  }
  if (shares_servers()) release_leases();
}

/// Only with nothing outstanding. What the session carries is made again on whatever connection it gets next.
void Session::release_leases() {
  PGWEIR_ASSERT(queue_.empty() && transaction_ != Transaction::open);
  current_ = nullptr;
  std::erase_if(leases_, [&](Held& one) {
    // State that only this connection has keeps it.
    if (one.pins.any() || one.due != Audit::none) return false;
    if (one.lease->out_of_step)
      one.lease.close();
    else if (shares_servers())
      one.lease.release();
    else
      one.lease.give_back();
    return true;
  });
}

}  // namespace pgweir::session
