// The rules of the time limits, and what clients are told; see time_limits.h. Messages and codes are PostgreSQL's
// (tcop/postgres.c, ProcessInterrupts) where it has such a limit.
#include "session/time_limits.h"

#include <algorithm>
#include <string>

namespace pgweir::session {

namespace {

constexpr std::chrono::milliseconds kShortestSweep{10};
constexpr std::chrono::milliseconds kLongestSweep{250};

std::string text_of(config::Duration limit) {
  return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(limit).count()) + " ms";
}

base::Error error(const base::Sqlstate& state, std::string message, std::string_view what, config::Duration limit,
                  std::string_view key) {
  return {state, std::move(message), "", std::string(what) + " " + text_of(limit) + " (" + std::string(key) + ")."};
}

}  // namespace

Due TimeLimits::due(Doing doing, const config::Pool& limits, base::Time now) const {
  const auto is_over = [now](base::Time since, config::Duration limit) {
    return limit > config::Duration::zero() && now - since >= limit;
  };
  if (transaction_since_ != base::Time{} && is_over(transaction_since_, limits.transaction_timeout))
    return Due::transaction;
  switch (doing) {
    case Doing::other: return Due::nothing;
    case Doing::idle: return is_over(since_, limits.client_idle_timeout) ? Due::client_idle : Due::nothing;
    case Doing::idle_in_transaction:
      return is_over(since_, limits.idle_transaction_timeout) ? Due::idle_transaction : Due::nothing;
    case Doing::running:
      if (awaits_cancel_) return now - since_ >= kCancelPatience ? Due::give_up_query : Due::nothing;
      return is_over(since_, limits.query_timeout) ? Due::cancel_query : Due::nothing;
  }
  return Due::nothing;
}

base::Error error_for(Due due, const config::Pool& limits) {
  namespace sqlstate = base::sqlstate;
  switch (due) {
    case Due::client_idle:
      return error(sqlstate::idle_session_timeout, "terminating connection due to idle-session timeout",
                   "A client may be idle for", limits.client_idle_timeout, "pool.client_idle_timeout");
    case Due::idle_transaction:
      return error(sqlstate::idle_in_transaction_session_timeout,
                   "terminating connection due to idle-in-transaction timeout",
                   "A client may be idle in a transaction for", limits.idle_transaction_timeout,
                   "pool.idle_transaction_timeout");
    case Due::transaction:
      return error(sqlstate::transaction_timeout, "terminating connection due to transaction timeout",
                   "A transaction may last", limits.transaction_timeout, "pool.transaction_timeout");
    case Due::cancel_query:
      return error(sqlstate::query_canceled, "canceling statement due to query timeout", "A statement may run for",
                   limits.query_timeout, "pool.query_timeout");
    case Due::give_up_query:
      return error(sqlstate::query_canceled,
                   "terminating connection because the server did not cancel a statement that ran too long",
                   "A statement may run for", limits.query_timeout, "pool.query_timeout");
    case Due::nothing: break;
  }
  return {};
}

std::optional<base::Duration> sweep_interval(const config::Settings& settings) {
  std::optional<base::Duration> shortest;
  const auto look_at = [&](const config::Duration& limit) {
    if (limit > config::Duration::zero() && (!shortest || limit < *shortest)) shortest = limit;
  };
  const auto look_at_all = [&](const std::vector<config::PoolOverride>& list) {
    for (const auto& one : list)
      for (const auto& limit :
           {one.client_idle_timeout, one.idle_transaction_timeout, one.query_timeout, one.transaction_timeout})
        if (limit) look_at(*limit);
  };
  const config::Pool& pool = settings.pool;
  for (const auto& limit :
       {pool.client_idle_timeout, pool.idle_transaction_timeout, pool.query_timeout, pool.transaction_timeout})
    look_at(limit);
  look_at_all(settings.databases);
  look_at_all(settings.users);
  if (!shortest) return std::nullopt;
  return std::clamp<base::Duration>(*shortest / 4, kShortestSweep, kLongestSweep);
}

}  // namespace pgweir::session
