// From facts about a text to what its success means for the session; see effects.h.
#include "session/effects.h"

#include <algorithm>

namespace pgweir::session {

namespace {

using sql::StatementFacts;
using sql::StatementKind;

bool takes_session_lock(const StatementFacts& statement) {
  return std::any_of(statement.functions.begin(), statement.functions.end(), [](const sql::QualifiedName& function) {
    return function.name == "pg_advisory_lock" || function.name == "pg_advisory_lock_shared" ||
           function.name == "pg_try_advisory_lock" || function.name == "pg_try_advisory_lock_shared";
  });
}

bool is_plain(const StatementFacts& statement) {
  switch (statement.kind) {
    case StatementKind::empty:
    case StatementKind::query:
    case StatementKind::show:
    case StatementKind::copy_out:
    case StatementKind::fetch:
    case StatementKind::close_cursor:
    case StatementKind::execute:
    case StatementKind::write:
    case StatementKind::maintenance:
    case StatementKind::copy_in: return !statement.creates_temporary && !takes_session_lock(statement);
    default: return false;
  }
}

Effect effect_of(const StatementFacts& statement, std::string_view text, bool exact) {
  Effect effect;
  effect.kind = statement.kind;
  effect.name = statement.name;
  effect.chain = statement.chain;
  effect.all = statement.discard_all || statement.reset_all;
  effect.creates_temporary = statement.creates_temporary;
  effect.with_hold = statement.with_hold;
  effect.changes_catalog = statement.kind == StatementKind::ddl && !statement.creates_temporary;
  effect.takes_session_lock = takes_session_lock(statement);
  switch (statement.kind) {
    case StatementKind::set:
    case StatementKind::set_session_characteristics:
    case StatementKind::prepare:
      if (exact) effect.text = text.substr(statement.offset, statement.length);
      effect.inner_offset = statement.inner_offset - statement.offset;
      break;
    default: break;
  }
  return effect;
}

}  // namespace

EffectsPtr effects_of_query(const sql::QueryFacts& facts, std::string_view text, bool unknown_state) {
  if (!unknown_state && std::all_of(facts.statements.begin(), facts.statements.end(), is_plain)) return nullptr;
  auto effects = std::make_shared<Effects>();
  for (const StatementFacts& statement : facts.statements) {
    effects->push_back(effect_of(statement, text, facts.exact));
    effects->back().unknown_state = unknown_state;
  }
  return effects;
}

}  // namespace pgweir::session
