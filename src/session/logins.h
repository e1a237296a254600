// What all workers share about logins: what the nodes have said of users, the keys that clients have proved, failed
// logins by address, and calls that block. Asked at logins only, so one lock does.
#pragma once
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "cluster/user_answer.h"
#include "net/blocking_calls.h"
#include "session/login_failures.h"
#include "session/proved_keys.h"
#include "session/timed_cache.h"

namespace pgweir::session {

/// All methods: any thread.
class Logins {
 public:
  using User = std::shared_ptr<const cluster::KnownUser>;
  /// A user that there is not is asked for again after this time at the latest.
  static constexpr std::chrono::seconds kUnknownHolds{1};
  /// After a failed login the secret is asked for again at the next one if it is older than this.
  static constexpr std::chrono::milliseconds kAskAgainAfter{500};

  /// What auth.auth_query has said; null when it has to be asked (again).
  [[nodiscard]] User user(std::string_view name) const;
  /// The last answer, however old: what pgweir itself may log in with at a server.
  [[nodiscard]] User last_known(std::string_view name) const;
  User store(std::string_view name, cluster::KnownUser user, base::Duration holds_for);
  /// A login with what was known of this user has failed, here or at a server.
  void distrust(std::string_view name);
  /// The configuration is another.
  void forget_answers();

  /// See LoginFailures.
  [[nodiscard]] std::optional<base::Duration> admit(std::string_view address, std::string_view user,
                                                    base::Duration delay, base::Duration patience);
  [[nodiscard]] std::optional<base::Duration> failed(std::string_view address, std::string_view user,
                                                     base::Duration delay);
  void succeeded(std::string_view address, std::string_view user, base::Duration delay);

  ProvedKeys keys;
  net::BlockingCalls blocking_calls;

 private:
  mutable std::mutex mutex_;
  TimedCache<User> users_;
  LoginFailures failures_;
};

}  // namespace pgweir::session
