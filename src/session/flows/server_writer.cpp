// The client's messages on their way to a server, and what is remembered of them; see server_writer.h.
#include "session/flows/server_writer.h"

#include <algorithm>
#include <utility>

#include "session/settings_text.h"
#include "session/worker.h"
#include "wire/messages/frontend.h"

namespace pgweir::session {

namespace frontend = wire::frontend;

void ServerWriter::send(const GatheredMessage& message, std::string_view bytes) {
  if (message.refused) return pass(message, bytes);
  if (message.unknown_effects) {
    work_.leases.note_due(server_.node(), Audit::all);
    may_hold_more();
    server_.carried.had_temporary = true;
    unsettle();
  }
  collect_names(message, bytes);
  switch (message.type) {
    case frontend::kParse: return send_parse(message, bytes);
    case frontend::kBind: return send_naming(message, bytes);
    case frontend::kClose: return send_close(message, bytes);
    case frontend::kDescribe:
      if (message.what == 'S') return send_naming(message, bytes);
      break;
    case frontend::kExecute:
      if (message.deallocated) return send_deallocate(message, bytes);
      break;
    case frontend::kQuery:
      ensure_named_in(message, Around::simple);
      // A simple query destroys the unnamed statement (tcop/postgres.c, exec_simple_query).
      server_.carried.prepared.unnamed.reset();
      break;
    default: break;
  }
  pass(message, bytes);
}

void ServerWriter::pass(const GatheredMessage& message, std::string_view bytes) {
  expect_answer(message);
  server_.connection().write_through(bytes);
}

namespace {

/// A text that is too long to be read, or that cannot be parsed, may do anything.
void note_transaction(const GatheredMessage& message, Expected& expected) {
  using sql::StatementKind;
  if (message.type != frontend::kQuery && message.type != frontend::kExecute) return;
  expected.may_commit = message.type == frontend::kQuery && message.unknown_effects;
  if (!message.query) return;
  for (const sql::StatementFacts& one : message.query->facts.statements) {
    expected.begins = expected.begins || one.kind == StatementKind::begin;
    expected.may_commit = expected.may_commit || one.kind == StatementKind::commit ||
                          one.kind == StatementKind::two_phase || one.kind == StatementKind::unknown;
  }
}

}  // namespace

void ServerWriter::expect_answer(const GatheredMessage& message) {
  if (message.effects) note_due(*message.effects);
  Expected expected;
  switch (message.type) {
    case frontend::kQuery: expected.what = Expect::query; break;
    case frontend::kFunctionCall: expected.what = Expect::function_call; break;
    case frontend::kParse: expected.what = Expect::parse; break;
    case frontend::kBind: expected.what = Expect::bind; break;
    case frontend::kDescribe: expected.what = Expect::describe; break;
    case frontend::kExecute: expected.what = Expect::execute; break;
    case frontend::kClose: expected.what = Expect::close; break;
    case frontend::kSync: expected.what = Expect::sync; break;
    default: return;  // Flush has no answer
  }
  expected.statement = message.statement;
  expected.whole = message.ordinary && message.type == frontend::kQuery;
  if (message.query)
    expected.runs_prepared = std::any_of(message.query->facts.statements.begin(), message.query->facts.statements.end(),
                                         [](const auto& one) { return one.kind == sql::StatementKind::execute; });
  if (!message.ordinary) note_transaction(message, expected);
  expected.effects = message.effects;
  expected.deallocated = message.deallocated;
  expected.refused = message.refused;
  if (message.refused) expected.synthesised = message.synthesised;
  if (work_.queue.empty()) of_.times.sent(of_.worker.loop().now());
  work_.queue.push(std::move(expected));
}

namespace {
/// It may take back settings: SET LOCAL ends with its transaction, the others if that is rolled back.
bool undoes(sql::StatementKind kind) {
  using sql::StatementKind;
  return kind == StatementKind::commit || kind == StatementKind::rollback || kind == StatementKind::two_phase ||
         kind == StatementKind::rollback_to_savepoint;
}
}  // namespace

/// The settings are not known from here on, until what is under way is answered.
void ServerWriter::unsettle() {
  if (work_.unsettled == 0) work_.unsettled = (std::uint64_t{of_.session.value} << 32U) | of_.worker.next_unsettled();
}

/// Something is being sent whose effect on the session will have to be asked for, whether it succeeds or not.
void ServerWriter::note_due(const Effects& effects) {
  const base::NodeId node = server_.node();
  const bool pinned = work_.leases.is_pinned(node);
  for (const Effect& effect : effects) {
    note_lasting(effect.lasting);
    if (effect.unknown_state) work_.leases.note_due(node, Audit::all);
    if (effect.unknown_state || !effect.settings.empty() || (undoes(effect.kind) && of_.carried.has_open_changes()))
      unsettle();
    const bool binds = effect.creates_temporary || effect.with_hold || effect.takes_session_lock ||
                       effect.kind == sql::StatementKind::listen ||
                       (effect.creates_in_path && (work_.unsettled != 0 || of_.carried.creates_in_temporary()));
    if (binds || effect.unknown_state) server_.carried.had_temporary = true;
    if (binds || (pinned && effect.may_free)) work_.leases.note_due(node, Audit::pins);
    const bool listens = effect.kind == sql::StatementKind::listen && is_ascii(effect.name);
    if (effect.unknown_state || (binds && !listens)) may_hold_more();
    // What could not be found out may be gone.
    if (pinned && effect.all) work_.leases.note_due(node, Audit::all);
    for (const SettingChange& change : effect.settings)
      if (change.text.empty() && of_.carried.begins_with_settings()) work_.solitary = true;
    // What it brings back may have to be restored, too.
    if (undoes(effect.kind) && !work_.resets.empty()) work_.solitary = true;
    // What comes next may name it.
    if (effect.kind == sql::StatementKind::prepare || effect.kind == sql::StatementKind::deallocate ||
        effect.kind == sql::StatementKind::discard)
      work_.solitary = true;
  }
}

void ServerWriter::may_hold_more() {
  if (Held* there = work_.leases.find(server_.node())) there->may_hold_more = true;
}

void ServerWriter::note_lasting(const routing::LastingEffects& effects) {
  Held* there = work_.leases.find(server_.node());
  if (!there) return;
  if (effects.library) there->pins.add(PinReason::library);
  if (effects.seed) there->pins.add(PinReason::seed);
  if (effects.server) there->pins.add(PinReason::server_state);
}

/// What a message of unknown effect says may be the name of a setting that it makes, or code that it runs.
void ServerWriter::collect_names(const GatheredMessage& message, std::string_view bytes) {
  if (message.ordinary) return;
  bool unknown = message.unknown_effects;
  if (message.effects)
    unknown = unknown || std::any_of(message.effects->begin(), message.effects->end(),
                                     [](const Effect& effect) { return effect.unknown_state; });
  // Its parameters come before it is known what runs.
  if (message.type == frontend::kBind && message.statement)
    unknown = routing::effects_of(*message.statement->query.entry, of_.catalog).unknown;
  if (!unknown) return;
  static const routing::LastingByName kNone;
  const auto& known = of_.catalog ? of_.catalog->lasting() : kNone;
  const auto collect = [&](std::string_view from) {
    if (!add_custom_names(from, kMostCustomNames, work_.custom_names)) work_.names_left_out = true;
    note_lasting(routing::lasting_effects_in(from, known));
  };
  const std::string_view body = bytes.substr(wire::kHeaderBytes);
  collect(body);
  if (message.statement) collect(message.statement->text);
  if (message.type == frontend::kFunctionCall)
    note_lasting(routing::lasting_effects_of_function(wire::BodyReader(body).uint32()));
}

void ServerWriter::note_custom() {
  if (of_.carried.settings())
    for (const auto& one : *of_.carried.settings())
      if (one.key.find('.') != std::string::npos) server_.carried.add_custom(one.key);
  for (const std::string& name : work_.custom_names) server_.carried.add_custom(name);
}

void ServerWriter::query(std::string_view text, Purpose purpose) {
  server_.carried.prepared.unnamed.reset();  // a simple query destroys it
  wire::encode_query(server_.connection().output(), text);
  work_.queue.push({.what = Expect::query,
                    .action = Action::swallow,
                    .purpose = purpose,
                    .text_hash = std::hash<std::string_view>{}(text)});
}

void ServerWriter::sync() {
  wire::encode_bare(server_.connection().output(), frontend::kSync);
  work_.queue.push({.what = Expect::sync, .action = Action::swallow});
}

}  // namespace pgweir::session
