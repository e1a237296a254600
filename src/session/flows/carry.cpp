// What a session takes with it from one server connection to the next: its settings are made where they do not hold
// yet, and what a server does to them is noticed.
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

/// Settings that name something in the database: what was there once may be gone. And one that a connection refuses
/// which has used temporary tables.
constexpr std::array<std::string_view, 7> kNamesSomething{
    "default_table_access_method", "default_tablespace", "role",
    "session_authorization",       "temp_tablespaces",   "temp_buffers",
    "default_text_search_config"};

bool names_something(const pool::SettingsPtr& settings) {
  return settings && std::any_of(settings->begin(), settings->end(), [](const pool::SettingText& one) {
           return std::find(kNamesSomething.begin(), kNamesSomething.end(), one.key) != kNamesSomething.end();
         });
}

/// Null unless one statement alone runs in the exchange.
const Effect* only_effect(const Exchange& exchange) {
  const Effect* only = nullptr;
  for (const GatheredMessage& message : exchange.messages()) {
    const bool runs = message.type == frontend::kQuery || message.type == frontend::kExecute;
    if (!runs) continue;
    if (only || !message.effects || message.effects->size() != 1) return nullptr;
    only = &message.effects->front();
  }
  return only;
}

}  // namespace

/// The session's settings, without those that the exchange resets itself: a role that is gone can be reset.
pool::SettingsPtr Session::settings_wanted() const {
  const auto& all = carried_.settings();
  if (!names_something(all) || !work_->queue.empty() || work_->transaction != Transaction::none ||
      !is_closed(work_->exchange))
    return all;
  const Effect* effect = only_effect(work_->exchange);
  if (!effect || effect->settings.size() != 1) return all;
  const SettingChange& change = effect->settings.front();
  if (!change.text.empty() || change.local) return all;
  std::vector<pool::SettingText> rest;
  for (const pool::SettingText& one : *all) {
    const bool identity = one.key == "role" || one.key == "session_authorization";
    const bool is_reset = change.key == one.key || change.key == kWholeSession ||
                          (change.key == kAllSettings && !identity) ||
                          (change.key == "session_authorization" && one.key == "role");
    // Custom ones stay known.
    if (!is_reset || is_custom(one.key)) rest.push_back(one);
  }
  if (rest.size() == all->size()) return all;
  return rest.empty() ? nullptr : std::make_shared<const std::vector<pool::SettingText>>(std::move(rest));
}

/// A server has refused them, with nothing of the exchange sent. True when they are told in another way.
bool Session::makes_settings_again(pool::ServerConnection& server, std::string_view sqlstate) {
  constexpr std::string_view kDenied = "42501", kInvalid = "22023", kNotInEncoding = "22021";
  Telling& telling = work_->telling;
  if (!work_->chosen || work_->leases.is_pinned(server.node())) return false;
  const auto& there = server.carried.settings;
  const bool may_be_others = (there && !there->empty()) || sqlstate == kInvalid;
  if (telling == Telling::as_login && may_be_others &&
      (sqlstate == kDenied || sqlstate == kInvalid || sqlstate == kNotInEncoding)) {
    telling = Telling::other_connection;
    return true;
  }
  const auto& wanted = carried_.settings();
  if (telling == Telling::as_role || sqlstate != kDenied || !has_identity(wanted) || wanted->size() < 2) return false;
  telling = Telling::as_role;
  return true;
}

/// True when the session's settings hold on this server, or will before what is sent next. False: they have to be made
/// first, because the server may refuse them; `dispatch` is called again when they are.
bool Session::settings_hold(pool::ServerConnection& server) {
  if (work_->exchange.is_ordinary() && server.carried.settings == carried_.settings()) {
    work_->made_less = false;
    return true;
  }
  const pool::SettingsPtr wanted = settings_wanted();
  work_->made_less = wanted != carried_.settings();
  if (work_->made_less) work_->solitary = true;
  pool::SettingsPtr& there = server.carried.settings;
  if (there == wanted) return true;
  if (pool::same_settings(there, wanted)) {
    there = wanted;
    return true;
  }
  if (has_short_timeout(there)) {
    writer(server).query("RESET statement_timeout", Purpose::timeout);
    work_->chosen = server.node();
    work_->wait = Wait::quiet;
    return false;
  }
  const MadeBy made_by = work_->telling == Telling::as_role ? MadeBy::role : MadeBy::login;
  std::string text = statements_between(there, wanted, made_by);
  // What makes them must not wait until it can be deferred.
  if (is_deferrable(there)) text = "SET LOCAL transaction_deferrable = off;" + text;
  const bool safe = !names_something(there) && !names_something(wanted) &&
                    worker_.settings_were_taken(server.node(), std::hash<std::string_view>{}(text));
  writer(server).query(text, Purpose::settings);
  writer(server).note_custom();
  if (safe) {
    there = wanted;
    return true;
  }
  work_->chosen = server.node();
  work_->wait = Wait::quiet;
  return false;
}

namespace {

template <class Asks>
bool any_statement(const Exchange& exchange, Asks asks) {
  const auto& messages = exchange.messages();
  return std::any_of(messages.begin(), messages.end(), [&](const GatheredMessage& message) {
    const sql::QueryFacts* facts = facts_of(message);
    return facts && std::any_of(facts->statements.begin(), facts->statements.end(), asks);
  });
}

}  // namespace

/// temp_buffers cannot be changed any more where a temporary table has been used (storage/buffer/localbuf.c).
bool Session::sets_temp_buffers() const {
  const auto is = [](const auto& one) { return one.key == "temp_buffers"; };
  if (carried_.settings() && std::any_of(carried_.settings()->begin(), carried_.settings()->end(), is)) return true;
  const auto& messages = work_->exchange.messages();
  return std::any_of(messages.begin(), messages.end(), [&](const GatheredMessage& message) {
    return message.effects && std::any_of(message.effects->begin(), message.effects->end(), [&](const Effect& effect) {
             return std::any_of(effect.settings.begin(), effect.settings.end(), is);
           });
  });
}

/// False when the exchange asks for a setting that this session has never made and another one has, here: PostgreSQL
/// would no longer say that it does not exist.
bool Session::suits(const pool::ServerConnection& server) const {
  if (server.carried.had_temporary && sets_temp_buffers()) return false;
  if (server.carried.custom.empty() || work_->exchange.is_ordinary() || work_->transaction == Transaction::open)
    return true;
  const auto asks = [](const sql::StatementFacts& one) { return one.asks_for_setting; };
  if (!any_statement(work_->exchange, asks)) return true;
  std::vector<std::string> names;
  for (const GatheredMessage& message : work_->exchange.messages()) {
    add_custom_names(work_->exchange.bytes_of(message).substr(wire::kHeaderBytes), kMostCustomNames, names);
    if (message.statement) add_custom_names(message.statement->text, kMostCustomNames, names);
  }
  const auto& own = carried_.settings();
  return std::none_of(names.begin(), names.end(), [&](const std::string& name) {
    const bool has = own && std::any_of(own->begin(), own->end(), [&](const auto& one) { return one.key == name; });
    return !has && server.carried.has_custom(name);
  });
}

bool Session::asks_for_sequence() const {
  if (work_->exchange.is_ordinary()) return false;
  const auto asks = [](const sql::StatementFacts& one) { return one.asks_for_sequence; };
  return any_statement(work_->exchange, [&](const sql::StatementFacts& one) {
    if (asks(one)) return true;
    const std::string& name = one.kind == sql::StatementKind::execute ? one.name : one.executes;
    const StatementPtr named = name.empty() ? nullptr : prepared_.get(name);
    if (!named) return false;
    const auto& statements = named->query.entry->facts.statements;
    return std::any_of(statements.begin(), statements.end(), asks);
  });
}

/// currval() must not tell what another session's nextval() was: the server is to say that there was none. Also where
/// it cannot be seen that somebody asks: in what has unknown effects, and in what will follow in an exchange that is
/// sent early.
void Session::hide_sequences(pool::ServerConnection& server) {
  base::SessionId& last_writer = server.carried.last_writer;
  if (!shares_servers() || last_writer == base::SessionId{} || last_writer == id_ ||
      server.transaction == wire::TransactionStatus::failed)
    return;
  if (work_->exchange.is_ordinary() && is_closed(work_->exchange)) return;
  const auto& messages = work_->exchange.messages();
  const bool unseen = std::any_of(messages.begin(), messages.end(), [](const GatheredMessage& message) {
    return message.unknown_effects ||
           (message.effects && std::any_of(message.effects->begin(), message.effects->end(),
                                           [](const Effect& effect) { return effect.unknown_state; }));
  });
  if (!unseen && is_closed(work_->exchange) && !asks_for_sequence()) return;
  writer(server).query("DISCARD SEQUENCES", Purpose::none);
  last_writer = {};
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
        work_->resets.push_back(one.key);
    }
  }
}

/// Before the client's ReadyForQuery: makes those settings again that are the session's own beginning now. A RESET may
/// have been undone since, or followed by a SET. False when there is nothing to do.
bool Session::restore_beginning(pool::ServerConnection& server) {
  if (work_->resets.empty()) return false;
  // What a savepoint brings back is known when it does.
  if (server.transaction == wire::TransactionStatus::failed) return false;
  const bool idle = server.transaction == wire::TransactionStatus::idle;
  const pool::SettingsPtr now = carried_.effective();
  const auto is_due = [&](const pool::SettingText& one) {
    const auto first = work_->resets.begin() + static_cast<std::ptrdiff_t>(idle ? 0 : work_->resets_restored);
    return std::find(first, work_->resets.end(), one.key) != work_->resets.end() && now &&
           std::find(now->begin(), now->end(), one) != now->end();
  };
  std::string text;
  // In this order, because SET SESSION AUTHORIZATION undoes SET ROLE.
  for (auto one = carried_.beginning()->rbegin(); one != carried_.beginning()->rend(); ++one) {
    if (!is_due(*one)) continue;
    if (!text.empty()) text += ';';
    text += one->text;
  }
  // At the end of its transaction it is looked at again: the RESET may outlive what restored it.
  work_->resets_restored = idle ? 0 : work_->resets.size();
  if (idle) work_->resets.clear();
  if (text.empty()) {
    tell_parameters(server);
    return false;
  }
  work_->held_ready = server.transaction;
  writer(server).query(text, Purpose::restore);
  work_->wait = Wait::quiet;
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
  else if (changed->size() < pool::kMostParameters)
    changed->emplace_back(name, value);
  told_ = std::move(changed);
  told_hash_ = pool::hash_of(*told_);
  unsafe_encoding_ = is_unsafe_encoding(*told_);
  wire::encode_parameter_status(client_.output(), name, value);
}

}  // namespace pgweir::session
