// The names that a client has given to statements; see prepared_statements.h.
#include "session/prepared_statements.h"

#include <utility>

namespace pgweir::session {

StatementPtr PreparedStatements::get(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

StatementPtr PreparedStatements::make(PreparedStatement statement) {
  statement.id = ++last_id_;
  auto made = std::make_shared<PreparedStatement>(std::move(statement));
  // The hint points into the text, so it is read where the text stays.
  made->query.hint = sql::hint_of(made->text);
  return made;
}

void PreparedStatements::define(const StatementPtr& statement) {
  if (statement->name.empty())
    by_name_.insert_or_assign(std::string(), statement);
  else
    by_name_.emplace(statement->name, statement);
}

void PreparedStatements::withdraw(const PreparedStatement& statement) {
  const auto found = by_name_.find(statement.name);
  if (found != by_name_.end() && found->second->id == statement.id) by_name_.erase(found);
}

void PreparedStatements::erase(std::string_view name) {
  const auto found = by_name_.find(name);
  if (found != by_name_.end()) by_name_.erase(found);
}

sql::CachedFactsPtr PreparedStatements::find(std::string_view name) const {
  const auto statement = get(name);
  return statement ? statement->query.entry : sql::CachedFactsPtr{};
}

}  // namespace pgweir::session
