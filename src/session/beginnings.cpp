// Start-up messages and what follows from them; see beginnings.h.
#include "session/beginnings.h"

#include <utility>

#include "session/consistency.h"
#include "session/settings_text.h"

namespace pgweir::session {

Beginning begin(const wire::StartupMessage& message, Account& account, config::PoolMode mode) {
  static const auto kPlain = std::make_shared<const pool::StartupClass>();
  Beginning beginning;
  beginning.account = &account;
  beginning.mode = pool::asks_for_replication(message.replication) ? config::PoolMode::session : mode;
  beginning.welcome_key = Welcomes::key(account.database, account.user, message.parameters, message.replication);
  StartupParts parts = split_startup(message.parameters);
  if (const auto word = startup_value(message.parameters, kConsistencySetting)) {
    beginning.consistency = consistency_named(*word);
    if (!beginning.consistency) beginning.problem = bad_consistency(*word);
  }
  if (beginning.mode == config::PoolMode::session) {
    beginning.startup_class = std::make_shared<const pool::StartupClass>(message.parameters, message.replication);
    return beginning;
  }
  beginning.startup_class = parts.of_connection.empty() ? kPlain
                                                        : std::make_shared<const pool::StartupClass>(
                                                              std::move(parts.of_connection), std::string());
  if (!parts.settings.empty())
    beginning.settings = std::make_shared<const std::vector<pool::SettingText>>(std::move(parts.settings));
  return beginning;
}

std::shared_ptr<Beginning>& Beginnings::of(const wire::StartupMessage& message) {
  // Messages come from clients.
  constexpr std::size_t kMost = 1000;
  key_.clear();
  const auto add = [this](std::string_view text) { key_.append(text).push_back('\0'); };
  add(message.user);
  add(message.database);
  add(message.replication);
  for (const auto& [name, value] : message.parameters) {
    add(name);
    add(value);
  }
  const auto found = known_.find(key_);
  if (found != known_.end()) return found->second;
  if (known_.size() >= kMost) known_.clear();
  return known_[key_];
}

}  // namespace pgweir::session
