// Keys of users, under one lock that is taken at logins only; see proved_keys.h.
#include "session/proved_keys.h"

#include <utility>
#include <variant>

namespace pgweir::session {

void ProvedKeys::remember(std::string_view user, wire::ScramKeys keys) {
  if (keys.client_key.empty()) return;
  auto shared = std::make_shared<const wire::ScramKeys>(std::move(keys));
  const std::scoped_lock lock(mutex_);
  const auto found = keys_.find(user);
  if (found == keys_.end())
    keys_.emplace(user, std::move(shared));
  else
    found->second = std::move(shared);
}

ProvedKeys::Keys ProvedKeys::find(std::string_view user) const {
  const std::scoped_lock lock(mutex_);
  const auto found = keys_.find(user);
  return found == keys_.end() ? nullptr : found->second;
}

void ProvedKeys::check(std::string_view user, const config::Secret* secret) {
  const std::scoped_lock lock(mutex_);
  const auto found = keys_.find(user);
  if (found == keys_.end()) return;
  const auto* verifier = secret ? std::get_if<config::ScramVerifier>(secret) : nullptr;
  if (!verifier || !found->second->fit(*verifier)) keys_.erase(found);
}

void ProvedKeys::forget(std::string_view user, const Keys& keys) {
  const std::scoped_lock lock(mutex_);
  const auto found = keys_.find(user);
  if (found != keys_.end() && found->second == keys) keys_.erase(found);
}

std::size_t ProvedKeys::size() const {
  const std::scoped_lock lock(mutex_);
  return keys_.size();
}

}  // namespace pgweir::session
