// What a start-up message leads to: worked out once, for all clients that say the same.
#pragma once
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/result.h"
#include "config/settings.h"
#include "pool/carried_on_server.h"
#include "pool/startup_class.h"
#include "session/account.h"
#include "session/welcomes.h"
#include "wire/messages/startup.h"

namespace pgweir::session {

struct Beginning {
  Account* account = nullptr;  ///< the worker's
  config::PoolMode mode = config::PoolMode::session;
  std::shared_ptr<const pool::StartupClass> startup_class;
  pool::SettingsPtr settings;  ///< that the session begins with
  std::optional<config::Consistency> consistency;
  std::optional<base::Error> problem;  ///< why there can be no such session
  std::string welcome_key;
  WelcomePtr welcome;  ///< null as long as no server has been asked
};

/// `mode`: of the user in the database.
[[nodiscard]] Beginning begin(const wire::StartupMessage& message, Account& account, config::PoolMode mode);

/// One worker's memory of them; one thread. Bounded by forgetting all.
class Beginnings {
 public:
  /// A null pointer for a message that is new, to be set by the caller. Good until the next call.
  [[nodiscard]] std::shared_ptr<Beginning>& of(const wire::StartupMessage& message);
  /// The rules have changed.
  void forget() { known_.clear(); }

 private:
  std::unordered_map<std::string, std::shared_ptr<Beginning>> known_;
  std::string key_;  ///< of the last message; kept for its memory
};

}  // namespace pgweir::session
