// One lock around what logins share; see logins.h.
#include "session/logins.h"

#include <algorithm>
#include <utility>

namespace pgweir::session {

namespace {
base::Time now() { return base::Clock::now(); }
}  // namespace

Logins::User Logins::user(std::string_view name) const {
  const std::scoped_lock lock(mutex_);
  const User* found = users_.find(name, now());
  return found ? *found : nullptr;
}

Logins::User Logins::last_known(std::string_view name) const {
  const std::scoped_lock lock(mutex_);
  const User* found = users_.last(name);
  return found ? *found : nullptr;
}

Logins::User Logins::store(std::string_view name, cluster::KnownUser user, base::Duration holds_for) {
  const auto shared = std::make_shared<const cluster::KnownUser>(std::move(user));
  keys.check(name, shared->secret ? &*shared->secret : nullptr);
  const base::Duration time = shared->secret ? holds_for : std::min<base::Duration>(holds_for, kUnknownHolds);
  const std::scoped_lock lock(mutex_);
  users_.store(name, shared, now(), time);
  return shared;
}

void Logins::distrust(std::string_view name) {
  const std::scoped_lock lock(mutex_);
  users_.distrust(name, now(), kAskAgainAfter);
}

void Logins::forget_answers() {
  const std::scoped_lock lock(mutex_);
  users_.clear();
}

std::optional<base::Duration> Logins::admit(std::string_view address, std::string_view user, base::Duration delay,
                                            base::Duration patience) {
  const std::scoped_lock lock(mutex_);
  return failures_.admit(address, user, delay, patience, now());
}

std::optional<base::Duration> Logins::failed(std::string_view address, std::string_view user, base::Duration delay) {
  const std::scoped_lock lock(mutex_);
  return failures_.failed(address, user, delay, now());
}

void Logins::succeeded(std::string_view address, std::string_view user, base::Duration delay) {
  const std::scoped_lock lock(mutex_);
  failures_.succeeded(address, user, delay, now());
}

}  // namespace pgweir::session
