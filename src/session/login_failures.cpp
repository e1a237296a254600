// Counting failed logins by address; see login_failures.h.
#include "session/login_failures.h"

#include <algorithm>
#include <functional>
#include <iterator>

namespace pgweir::session {

namespace {
std::size_t hash_of(std::string_view user) { return std::hash<std::string_view>{}(user); }
}  // namespace

LoginFailures::Entry& LoginFailures::entry(std::string_view address) {
  const std::string key(address);
  const auto found = entries_.find(key);
  if (found != entries_.end()) {
    by_use_.splice(by_use_.end(), by_use_, found->second.place);
    return found->second;
  }
  if (entries_.size() >= kMostAddresses) {
    entries_.erase(by_use_.front());
    by_use_.pop_front();
  }
  Entry& made = entries_[key];
  by_use_.push_back(key);
  made.place = std::prev(by_use_.end());
  return made;
}

void LoginFailures::forget_old(Entry& entry, base::Duration delay, base::Time now) {
  if (entry.failures > 0 && now - entry.last_failure > delay * kDelaysRemembered) entry.failures = 0;
  std::erase_if(entry.held_until, [&](base::Time until) { return until <= now; });
}

std::optional<base::Duration> LoginFailures::admit(std::string_view address, std::string_view user,
                                                   base::Duration delay, base::Duration patience, base::Time now) {
  if (delay == base::Duration::zero()) return base::Duration::zero();
  const auto found = entries_.find(std::string(address));
  if (found == entries_.end()) return base::Duration::zero();
  Entry& its = found->second;
  forget_old(its, delay, now);
  const auto& good = its.good_users;
  const bool is_good = std::find(good.begin(), good.end(), hash_of(user)) != good.end();
  if (its.failures <= kFree || is_good) return base::Duration::zero();
  const base::Time turn = std::max(now, its.next_turn);
  if (turn - now > patience || turn - now > delay * kMostHeld) return std::nullopt;
  its.next_turn = turn + delay;
  return turn - now;
}

std::optional<base::Duration> LoginFailures::failed(std::string_view address, std::string_view user,
                                                    base::Duration delay, base::Time now) {
  if (delay == base::Duration::zero()) return base::Duration::zero();
  Entry& its = entry(address);
  forget_old(its, delay, now);
  ++its.failures;
  its.last_failure = now;
  std::erase(its.good_users, hash_of(user));
  if (its.held_until.size() >= kMostHeld) return std::nullopt;
  its.held_until.push_back(now + delay);
  return delay;
}

void LoginFailures::succeeded(std::string_view address, std::string_view user, base::Duration delay, base::Time now) {
  if (delay == base::Duration::zero()) return;
  Entry& its = entry(address);
  forget_old(its, delay, now);
  auto& good = its.good_users;
  const std::size_t hash = hash_of(user);
  if (!good.empty() && good.back() == hash) return;
  std::erase(good, hash);
  if (good.size() >= kMostGoodUsers) good.erase(good.begin());
  good.push_back(hash);
}

}  // namespace pgweir::session
