// The names that a client has given to statements; see prepared_statements.h.
#include "session/prepared_statements.h"

#include <algorithm>
#include <utility>

#include "sql/shape.h"

namespace pgweir::session {

namespace {
/// Map node, shared pointer's block and the struct itself.
constexpr std::size_t kOverhead = sizeof(PreparedStatement) + 128;

std::size_t bytes_of(const PreparedStatement& statement) {
  return kOverhead + 2 * statement.name.size() + statement.text.size() + statement.types.size();
}

pool::StatementKey key_of(const PreparedStatement& statement, std::uint64_t seed) {
  const auto types = sql::exact_key(statement.types, seed + static_cast<std::uint64_t>(statement.origin));
  const auto text = sql::exact_key(statement.text, types.low ^ types.high);
  return {text.high, text.low};
}
}  // namespace

StatementPtr PreparedStatements::get(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

StatementPtr PreparedStatements::make(PreparedStatement statement, std::uint64_t seed) {
  statement.id = ++last_id_;
  statement.key = key_of(statement, seed);
  statement.lists = statement.query.entry && lists_statements(statement.query.entry->facts);
  auto made = std::make_shared<PreparedStatement>(std::move(statement));
  // The hint points into the text, so it is read where the text stays.
  made->query.hint = sql::hint_of(made->text);
  return made;
}

void PreparedStatements::define(const StatementPtr& statement) {
  statement->withdrawn = false;
  if (statement->name.empty()) erase({});
  if (by_name_.emplace(statement->name, statement).second) bytes_ += bytes_of(*statement);
}

void PreparedStatements::withdraw(PreparedStatement& statement) {
  statement.withdrawn = true;
  const auto found = by_name_.find(statement.name);
  if (found != by_name_.end() && found->second->id == statement.id) erase(statement.name);
}

void PreparedStatements::erase(std::string_view name) {
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) return;
  bytes_ -= bytes_of(*found->second);
  by_name_.erase(found);
  if (!by_name_.empty()) return;
  meaning_.reset();
  mixed_ = false;
}

void PreparedStatements::note_meaning(std::uint64_t texts) {
  mixed_ = mixed_ || (meaning_ && *meaning_ != texts);
  if (!meaning_) meaning_ = texts;
}

std::vector<StatementPtr> PreparedStatements::take(std::string_view name) {
  std::vector<StatementPtr> taken;
  for (const auto& [own_name, statement] : by_name_)
    if (name.empty() ? !own_name.empty() : own_name == name) taken.push_back(statement);
  for (const StatementPtr& statement : taken) erase(statement->name);
  return taken;
}

void PreparedStatements::deallocated(std::string_view name) {
  for (const StatementPtr& statement : take(name))
    if (!statement->confirmed && statement->origin != PreparedStatement::Origin::local) define(statement);
}

sql::CachedFactsPtr PreparedStatements::find(std::string_view name) const {
  const auto statement = get(name);
  return statement ? statement->query.entry : sql::CachedFactsPtr{};
}

bool lists_statements(const sql::QueryFacts& facts) {
  const auto is = [](std::string_view wanted) {
    return [wanted](const sql::QualifiedName& name) { return name.name == wanted; };
  };
  return std::any_of(facts.statements.begin(), facts.statements.end(), [&](const sql::StatementFacts& one) {
    return std::any_of(one.relations.begin(), one.relations.end(), is("pg_prepared_statements")) ||
           std::any_of(one.functions.begin(), one.functions.end(), is("pg_prepared_statement"));
  });
}

pool::StatementKey with_meaning(pool::StatementKey key, std::uint64_t meaning) {
  // Odd multipliers: for one key no two meanings fall together.
  return {key.high ^ (meaning * 0x9e3779b97f4a7c15ULL), key.low + meaning * 0xc2b2ae3d27d4eb4fULL};
}

SharedName::SharedName(pool::StatementKey key) : text_{} {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  char* at = std::copy(kPrefix.begin(), kPrefix.end(), text_.begin());
  for (const std::uint64_t half : {key.high, key.low})
    for (int shift = 60; shift >= 0; shift -= 4) *at++ = kDigits[(half >> static_cast<unsigned>(shift)) & 0xf];
}

}  // namespace pgweir::session
