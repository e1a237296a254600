// Counting clients over all workers; see client_places.h.
#include "session/client_places.h"

namespace pgweir::session {

namespace {

base::Error refusal(std::string message, std::string detail) {
  return {base::sqlstate::too_many_connections, std::move(message), std::move(detail),
          "Connect again when others have left, or raise this limit."};
}

bool is_full(std::uint32_t count, const config::PoolOverride* rules) {
  return rules && rules->max_clients && count >= *rules->max_clients;
}

}  // namespace

base::Result<ClientPlaces::Place> ClientPlaces::enter(std::uint32_t limit) {
  std::uint32_t seen = total_.load(std::memory_order_relaxed);
  do {
    if (seen >= limit)
      return base::Failure(refusal("sorry, too many clients already",
                                   "pgweir serves at most " + std::to_string(limit) + " clients (pool.max_clients)."));
  } while (!total_.compare_exchange_weak(seen, seen + 1, std::memory_order_relaxed));
  Place place;
  place.of_ = this;
  return place;
}

base::Result<bool> ClientPlaces::name(Place& place, const std::string& database, const std::string& user,
                                      const config::Settings& settings) {
  const auto* database_rules = settings.database(database);
  const auto* user_rules = settings.user(user);
  const std::lock_guard lock(mutex_);
  const auto in_database = databases_.try_emplace(database).first;
  const auto of_user = users_.try_emplace(user).first;
  std::optional<base::Error> full;
  if (is_full(in_database->second, database_rules))
    full = refusal("too many connections for database \"" + database + "\"",
                   "pgweir serves at most " + std::to_string(*database_rules->max_clients) +
                       " clients of this database (databases[].max_clients).");
  else if (is_full(of_user->second, user_rules))
    full = refusal("too many connections for role \"" + user + "\"",
                   "pgweir serves at most " + std::to_string(*user_rules->max_clients) +
                       " clients of this user (users[].max_clients).");
  // Also to take out again what was made just now and counts nobody.
  ++in_database->second;
  ++of_user->second;
  if (full) {
    leave(databases_, &*in_database);
    leave(users_, &*of_user);
    return base::Failure(std::move(*full));
  }
  place.database_ = &*in_database;
  place.user_ = &*of_user;
  return true;
}

void ClientPlaces::Place::give_back() {
  ClientPlaces* of = std::exchange(of_, nullptr);
  if (!of) return;
  of->total_.fetch_sub(1, std::memory_order_relaxed);
  if (!database_) return;
  const std::lock_guard lock(of->mutex_);
  leave(of->databases_, std::exchange(database_, nullptr));
  leave(of->users_, std::exchange(user_, nullptr));
}

void ClientPlaces::leave(Names& names, Names::value_type* one) {
  if (--one->second == 0) names.erase(names.find(one->first));
}

std::uint32_t ClientPlaces::count(const Names& names, std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const auto found = names.find(name);
  return found == names.end() ? 0 : found->second;
}

}  // namespace pgweir::session
