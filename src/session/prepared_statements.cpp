// The names that a client has given to statements; see prepared_statements.h.
#include "session/prepared_statements.h"

#include <algorithm>
#include <cstring>
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

StatementPtr StatementStock::take() {
  if (spare_.empty()) return base::make_local<PreparedStatement>();
  StatementPtr statement = std::move(spare_.back());
  spare_.pop_back();
  return statement;
}

void StatementStock::put_back(StatementPtr&& statement) {
  constexpr std::size_t kMostSpare = 64, kMostKept = 4096;
  const StatementPtr gone = std::move(statement);
  if (!gone.is_only() || spare_.size() >= kMostSpare) return;
  if (gone->text.capacity() + gone->types.capacity() > kMostKept) return;
  std::string text = std::move(gone->text), types = std::move(gone->types);
  *gone = PreparedStatement{};
  gone->text = std::move(text);
  gone->types = std::move(types);
  spare_.push_back(gone);
}

StatementPtr PreparedStatements::make(Parts parts, std::uint64_t seed) {
  StatementPtr made = parts.name.empty() ? stock_.take() : base::make_local<PreparedStatement>();
  made->id = ++last_id_;
  made->origin = parts.origin;
  made->name = parts.name;
  made->text = parts.text;
  made->types = parts.types;
  made->query.entry = std::move(parts.query.entry);
  // The hint points into the text, so it is read where the text stays.
  made->query.hint = sql::hint_of(made->text);
  made->key = key_of(*made, seed);
  made->lists = made->query.entry && lists_statements(made->query.entry->facts);
  return made;
}

void PreparedStatements::define(const StatementPtr& statement) {
  statement->withdrawn = false;
  if (statement->name.empty()) {
    // In the place of the last one, if there is one: drivers define it again and again.
    if (const auto there = by_name_.find(std::string_view()); there != by_name_.end()) {
      if (there->second == statement) return;
      bytes_ += bytes_of(*statement) - bytes_of(*there->second);
      stock_.put_back(std::exchange(there->second, statement));
      if (by_name_.size() == 1) forget_meaning();
      return;
    }
  }
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
  if (name.empty()) stock_.put_back(std::move(found->second));
  by_name_.erase(found);
  if (by_name_.empty()) forget_meaning();
}

void PreparedStatements::forget_meaning() {
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
  static constexpr auto kPairs = [] {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::array<std::array<char, 2>, 256> pairs{};
    for (std::size_t byte = 0; byte < pairs.size(); ++byte) pairs[byte] = {kDigits[byte >> 4U], kDigits[byte & 0xfU]};
    return pairs;
  }();
  char* at = std::copy(kPrefix.begin(), kPrefix.end(), text_.begin());
  for (const std::uint64_t half : {key.high, key.low})
    for (unsigned shift = 64; shift > 0; at += 2) {
      shift -= 8;
      std::memcpy(at, kPairs[(half >> shift) & 0xffU].data(), 2);
    }
}

}  // namespace pgweir::session
