// What can be said about the pools of one database or one user: the tables of the elements of `databases` and `users`.
#include <string>
#include <vector>

#include "config/options.h"
#include "config/pool_kinds.h"
#include "config/text_rules.h"

namespace pgweir::config {
namespace {

using O = PoolOverride;

std::vector<Option<O>> table(Option<O> name, std::string_view max_clients) {
  namespace kinds = pool_kinds;
  constexpr auto kInherited = Presence::inherited;
  constexpr auto kYes = Reload::yes;
  return {
      std::move(name),
      {"pool_mode", maybe(at(&O::mode), kinds::mode), kYes, "Instead of pool.mode.", "", kInherited},
      {"pool_size", maybe(at(&O::size), kinds::size), kYes, "Instead of pool.size.", "", kInherited},
      {"min_idle", maybe(at(&O::min_idle), kinds::more), kYes, "Instead of pool.min_idle.", "", kInherited},
      {"reserve", maybe(at(&O::reserve), kinds::more), kYes, "Instead of pool.reserve.", "", kInherited},
      {"reserve_timeout", maybe(at(&O::reserve_timeout), kinds::patience), kYes, "Instead of pool.reserve_timeout.", "",
       kInherited},
      {"max_clients", maybe(at(&O::max_clients), kinds::clients), kYes, max_clients, "", kInherited},
      {"queue_timeout", maybe(at(&O::queue_timeout), kinds::patience), kYes, "Instead of pool.queue_timeout.", "",
       kInherited},
      {"server_idle_timeout", maybe(at(&O::server_idle_timeout), kinds::lifetime), kYes,
       "Instead of pool.server_idle_timeout.", "", kInherited},
      {"server_lifetime", maybe(at(&O::server_lifetime), kinds::lifetime), kYes, "Instead of pool.server_lifetime.", "",
       kInherited},
      {"client_idle_timeout", maybe(at(&O::client_idle_timeout), kinds::lifetime), kYes,
       "Instead of pool.client_idle_timeout.", "", kInherited},
      {"idle_transaction_timeout", maybe(at(&O::idle_transaction_timeout), kinds::lifetime), kYes,
       "Instead of pool.idle_transaction_timeout.", "", kInherited},
      {"query_timeout", maybe(at(&O::query_timeout), kinds::lifetime), kYes, "Instead of pool.query_timeout.", "",
       kInherited},
      {"transaction_timeout", maybe(at(&O::transaction_timeout), kinds::lifetime), kYes,
       "Instead of pool.transaction_timeout.", "", kInherited},
      {"consistency", maybe(at(&O::consistency), kinds::consistency), kYes, "Instead of routing.consistency.", "",
       kInherited},
  };
}

}  // namespace

std::span<const Option<PoolOverride>> database_options() {
  static const auto rows =
      table({"name", text(at(&O::name), rules::kIdentifier), Reload::yes, "The database, as clients name it. Unique.",
             "shop", Presence::required},
            "The most clients connected to this database at one time, of all users; beside pool.max_clients. One more "
            "is refused with SQLSTATE 53300.");
  return rows;
}

std::span<const Option<PoolOverride>> user_options() {
  static const auto rows =
      table({"name", text(at(&O::name), rules::kIdentifier), Reload::yes, "The user, as clients name it. Unique.",
             "report", Presence::required},
            "The most clients connected as this user at one time, to all databases; beside pool.max_clients. One more "
            "is refused with SQLSTATE 53300.");
  return rows;
}

}  // namespace pgweir::config
