// Which pool settings hold for a user in a database.
#include <algorithm>

#include "config/settings.h"

namespace pgweir::config {
namespace {

const PoolOverride* find(const std::vector<PoolOverride>& list, std::string_view name) {
  const auto found = std::find_if(list.begin(), list.end(), [&](const auto& one) { return one.name == name; });
  return found == list.end() ? nullptr : &*found;
}

/// The user's word is the last one: it is the one who works, in whatever database.
template <class T>
void say(T& value, std::optional<T> of_database, std::optional<T> of_user) {
  if (of_database) value = *of_database;
  if (of_user) value = *of_user;
}

/// Each of the two protects something, so the stricter one holds.
void bound(std::uint32_t& value, std::optional<std::uint32_t> of_database, std::optional<std::uint32_t> of_user) {
  if (of_database && of_user)
    value = std::min(*of_database, *of_user);
  else
    say(value, of_database, of_user);
}

}  // namespace

const PoolOverride* Settings::database(std::string_view name) const { return find(databases, name); }
const PoolOverride* Settings::user(std::string_view name) const { return find(users, name); }

Pool Settings::pool_for(std::string_view database_name, std::string_view user_name) const {
  static const PoolOverride kNothing;
  const PoolOverride* found_database = database(database_name);
  const PoolOverride* found_user = user(user_name);
  const PoolOverride& d = found_database ? *found_database : kNothing;
  const PoolOverride& u = found_user ? *found_user : kNothing;
  Pool out = pool;
  out.consistency = routing.consistency;
  say(out.mode, d.mode, u.mode);
  bound(out.size, d.size, u.size);
  bound(out.min_idle, d.min_idle, u.min_idle);
  bound(out.reserve, d.reserve, u.reserve);
  say(out.reserve_timeout, d.reserve_timeout, u.reserve_timeout);
  say(out.queue_timeout, d.queue_timeout, u.queue_timeout);
  say(out.server_idle_timeout, d.server_idle_timeout, u.server_idle_timeout);
  say(out.server_lifetime, d.server_lifetime, u.server_lifetime);
  say(out.client_idle_timeout, d.client_idle_timeout, u.client_idle_timeout);
  say(out.idle_transaction_timeout, d.idle_transaction_timeout, u.idle_transaction_timeout);
  say(out.query_timeout, d.query_timeout, u.query_timeout);
  say(out.transaction_timeout, d.transaction_timeout, u.transaction_timeout);
  say(out.consistency, d.consistency, u.consistency);
  out.min_idle = std::min(out.min_idle, out.size);
  return out;
}

}  // namespace pgweir::config
