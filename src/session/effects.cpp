// From facts about a text to what its success means for the session; see effects.h.
#include "session/effects.h"

#include <algorithm>
#include <array>

#include "session/prepared_statements.h"
#include "session/settings_text.h"

namespace pgweir::session {

namespace {

using sql::StatementFacts;
using sql::StatementKind;

template <std::size_t N>
bool calls_one_of(const StatementFacts& statement, const std::array<std::string_view, N>& names) {
  return std::any_of(statement.functions.begin(), statement.functions.end(), [&](const sql::QualifiedName& function) {
    return std::find(names.begin(), names.end(), function.name) != names.end();
  });
}

constexpr std::array<std::string_view, 4> kLock{"pg_advisory_lock", "pg_advisory_lock_shared", "pg_try_advisory_lock",
                                                "pg_try_advisory_lock_shared"};
constexpr std::array<std::string_view, 3> kUnlock{"pg_advisory_unlock", "pg_advisory_unlock_shared",
                                                  "pg_advisory_unlock_all"};

/// SELECT INTO is a write; that it is no row lock is not known.
bool creates_in_path(const StatementFacts& statement) {
  return statement.kind == StatementKind::ddl || (statement.kind == StatementKind::write && statement.row_lock_or_into);
}

bool is_plain(const StatementFacts& statement) {
  switch (statement.kind) {
    case StatementKind::empty:
    case StatementKind::query:
    case StatementKind::show:
    case StatementKind::copy_out:
    case StatementKind::fetch:
    case StatementKind::execute:
    case StatementKind::write:
    case StatementKind::maintenance:
    case StatementKind::copy_in:
      return !statement.creates_temporary && !creates_in_path(statement) && !calls_one_of(statement, kLock) &&
             !calls_one_of(statement, kUnlock) && !routing::lasting_effects_of(statement).any();
    default: return false;
  }
}

bool may_free(const StatementFacts& statement) {
  switch (statement.kind) {
    case StatementKind::ddl:
    case StatementKind::close_cursor:
    case StatementKind::discard:
    case StatementKind::unlisten: return true;
    default: return calls_one_of(statement, kUnlock);
  }
}

std::string_view isolation_name(sql::Isolation isolation) {
  switch (isolation) {
    case sql::Isolation::read_uncommitted: return "read uncommitted";
    case sql::Isolation::read_committed: return "read committed";
    case sql::Isolation::repeatable_read: return "repeatable read";
    case sql::Isolation::serializable: break;
  }
  return "serializable";
}

/// SET SESSION CHARACTERISTICS says several settings at once (utils/misc/guc.c, ExecSetVariableStmt).
std::vector<SettingChange> characteristics(const StatementFacts& statement) {
  std::vector<SettingChange> changes;
  const auto add = [&](std::string_view key, std::string_view value) {
    changes.push_back({std::string(key), set_config_text(key, value)});
  };
  const auto on_or_off = [](bool value) { return value ? "on" : "off"; };
  if (statement.isolation) add("default_transaction_isolation", isolation_name(*statement.isolation));
  if (statement.read_only) add("default_transaction_read_only", on_or_off(*statement.read_only));
  if (statement.deferrable) add("default_transaction_deferrable", on_or_off(*statement.deferrable));
  return changes;
}

/// Behind white space and comments, which may be nested.
std::string_view without_blanks(std::string_view text) {
  constexpr std::string_view kSpaces = " \t\r\n\f\v";
  while (!text.empty()) {
    if (kSpaces.find(text[0]) != std::string_view::npos) {
      text.remove_prefix(1);
    } else if (text.starts_with("--")) {
      text.remove_prefix(std::min(text.find_first_of("\r\n"), text.size()));
    } else if (text.starts_with("/*")) {
      std::size_t depth = 0;
      do {
        const bool begins = text.starts_with("/*");
        if (begins) ++depth;
        const bool ends = text.starts_with("*/");
        if (ends) --depth;
        text.remove_prefix(begins || ends ? 2 : 1);
      } while (depth > 0 && !text.empty());
    } else {
      break;
    }
  }
  return text;
}

/// Empty when it does not begin with it.
std::string_view behind_word(std::string_view text, std::string_view word) {
  text = without_blanks(text);
  const auto same = [](char a, char b) { return (a | 0x20) == b; };
  if (text.size() <= word.size() ||
      !std::equal(word.begin(), word.end(), text.begin(), [&](char w, char t) { return same(t, w); }))
    return {};
  return text.substr(word.size());
}

/// SET LOCAL as a SET that makes the same setting for longer.
std::string without_local(std::string_view text) {
  const std::string_view rest = behind_word(behind_word(text, "set"), "local");
  return rest.empty() ? std::string(text) : "SET " + std::string(without_blanks(rest));
}

std::vector<SettingChange> setting_changes(const StatementFacts& statement, std::string_view own_text) {
  const bool local = statement.kind == StatementKind::set_local;
  if (statement.kind == StatementKind::set_session_characteristics) return characteristics(statement);
  if (statement.discard_all) return {{std::string(kWholeSession), {}, false}};
  if (statement.reset_all) return {{std::string(kAllSettings), {}, local}};
  if ((statement.kind != StatementKind::set && !local) || statement.name == "seed") return {};
  if (statement.to_default) return {{statement.name, {}, local}};
  if (!statement.own_value.empty())
    return {{statement.name, set_config_text(statement.name, statement.own_value), local}};
  return {{statement.name, local ? without_local(own_text) : std::string(own_text), local}};
}

Effect effect_of(const StatementFacts& statement, std::string_view text, bool exact) {
  const std::string_view own_text = exact ? text.substr(statement.offset, statement.length) : std::string_view();
  Effect effect;
  effect.kind = statement.kind;
  effect.name = statement.name;
  effect.chain = statement.chain;
  effect.all = statement.discard_all;
  effect.settings = setting_changes(statement, own_text);
  effect.creates_temporary = statement.creates_temporary;
  effect.creates_in_path = creates_in_path(statement);
  effect.with_hold = statement.with_hold;
  effect.changes_catalog = statement.kind == StatementKind::ddl && !statement.creates_temporary;
  effect.takes_session_lock = calls_one_of(statement, kLock);
  effect.may_free = may_free(statement);
  effect.lasting = routing::lasting_effects_of(statement);
  // Bytes that mean something else under another client_encoding or standard_conforming_strings are not repeated.
  // DateStyle may say half of its value and keep the other half.
  effect.unknown_state = statement.from_current || (statement.kind == StatementKind::set &&
                                                    (!is_portable(own_text) || statement.name == "datestyle"));
  if (statement.kind == StatementKind::prepare) {
    effect.text = own_text;
    effect.inner_offset = statement.inner_offset - statement.offset;
  }
  return effect;
}

/// What EXECUTE runs, on its own or in EXPLAIN or CREATE TABLE ... AS; null: nothing that is known.
sql::CachedFactsPtr executed_by(const StatementFacts& statement, const routing::PreparedLookup* prepared) {
  const std::string& name = statement.kind == StatementKind::execute ? statement.name : statement.executes;
  return prepared == nullptr || name.empty() ? nullptr : prepared->find(name);
}

void add_what_runs(const StatementFacts& executed, Effect& effect) {
  effect.creates_temporary = effect.creates_temporary || executed.creates_temporary;
  effect.takes_session_lock = effect.takes_session_lock || calls_one_of(executed, kLock);
  effect.may_free = effect.may_free || may_free(executed);
  effect.lasting.add(routing::lasting_effects_of(executed));
}

/// Of a BEGIN, COMMIT or ROLLBACK that says nothing else: made once for each thread.
const EffectsPtr& plain_transaction_effects(StatementKind kind) {
  const auto make = [](StatementKind of) {
    Effect effect;
    effect.kind = of;
    return std::make_shared<const Effects>(Effects{effect});
  };
  thread_local const EffectsPtr begin = make(StatementKind::begin), commit = make(StatementKind::commit),
                                rollback = make(StatementKind::rollback);
  return kind == StatementKind::begin ? begin : kind == StatementKind::commit ? commit : rollback;
}

bool is_plain_transaction_statement(const sql::QueryFacts& facts) {
  const StatementFacts& only = facts.statements.front();
  return facts.statements.size() == 1 && !only.chain &&
         (only.kind == StatementKind::begin || only.kind == StatementKind::commit ||
          only.kind == StatementKind::rollback);
}

bool has_ordinary_text(const sql::QueryFacts& facts) {
  const StatementFacts& only = facts.statements.front();
  return facts.statements.size() == 1 && (only.kind == StatementKind::query || only.kind == StatementKind::write) &&
         is_plain(only) && !only.explain && !only.asks_for_setting && !only.asks_for_sequence &&
         only.executes.empty() && !lists_statements(facts);
}

}  // namespace

bool is_ordinary(sql::CachedFacts& entry) {
  using Answer = sql::CachedFacts::Answer;
  if (entry.ordinary == Answer::not_asked) entry.ordinary = has_ordinary_text(entry.facts) ? Answer::yes : Answer::no;
  return entry.ordinary == Answer::yes;
}

EffectsPtr effects_of_query(const sql::QueryFacts& facts, std::string_view text, bool unknown_state,
                            const routing::PreparedLookup* prepared, const routing::LastingEffects& lasting) {
  const auto is_plain_throughout = [&](const StatementFacts& statement) {
    const auto executed = executed_by(statement, prepared);
    return is_plain(statement) &&
           (!executed || std::all_of(executed->facts.statements.begin(), executed->facts.statements.end(), is_plain));
  };
  if (!unknown_state && !lasting.any() &&
      std::all_of(facts.statements.begin(), facts.statements.end(), is_plain_throughout))
    return nullptr;
  if (!unknown_state && !lasting.any() && is_plain_transaction_statement(facts))
    return plain_transaction_effects(facts.statements.front().kind);
  auto effects = std::make_shared<Effects>();
  for (const StatementFacts& statement : facts.statements) {
    effects->push_back(effect_of(statement, text, facts.exact));
    if (const auto executed = executed_by(statement, prepared))
      for (const StatementFacts& one : executed->facts.statements) add_what_runs(one, effects->back());
    effects->back().lasting.add(lasting);
    effects->back().unknown_state = effects->back().unknown_state || unknown_state;
  }
  return effects;
}

}  // namespace pgweir::session
