// SCRAM pass-through: the keys of users who have proved to pgweir that they know their password. With them pgweir logs
// in at servers that have the same verifier, now and later, so that no password is stored anywhere. In memory only.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "config/secret.h"
#include "wire/scram.h"

namespace pgweir::session {

/// One for the process; there is at most one entry for each user that exists. All methods: any thread.
class ProvedKeys {
 public:
  using Keys = std::shared_ptr<const wire::ScramKeys>;

  /// The newest ones count.
  void remember(std::string_view user, wire::ScramKeys keys);
  /// Null when nobody has proved anything since the start, or since the verifier changed.
  [[nodiscard]] Keys find(std::string_view user) const;
  /// What clients are checked against now: keys of another verifier are forgotten. `secret` null: there is no such
  /// user any more.
  void check(std::string_view user, const config::Secret* secret);
  /// A server has another verifier than these keys: they are forgotten if they are still the ones.
  void forget(std::string_view user, const Keys& keys);
  [[nodiscard]] std::size_t size() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, Keys, std::less<>> keys_;
};

}  // namespace pgweir::session
