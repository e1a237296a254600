// How long a session has been doing what it does, and whether that is too long. Pure: times come in, verdicts go out.
//
// No timer is touched for a statement: the session notes the loop's cached time at a few places, and a sweep of its
// worker looks at all sessions a few times a second, only while some limit is set. So a limit may be exceeded by the
// time between two sweeps (`sweep_interval`).
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "config/settings.h"

namespace pgweir::session {

/// Whose turn it is.
enum class Doing : std::uint8_t {
  other,                ///< logging in, or waiting for a server connection: no time of a statement runs
  idle,                 ///< the client's, outside a transaction
  idle_in_transaction,  ///< the client's; a server connection may be held for it
  running,              ///< a server's
};

enum class Due : std::uint8_t {
  nothing,
  client_idle,
  idle_transaction,
  transaction,
  cancel_query,
  give_up_query,  ///< it was cancelled, and the server has not reacted
};

class TimeLimits {
 public:
  /// A server that has been asked to cancel a statement has this long to do so.
  static constexpr std::chrono::seconds kCancelPatience{5};

  /// Something is sent after quiet.
  void sent(base::Time now) {
    completed(now);
    exchange_cancelled_ = false;
    if (transaction_since_ == base::Time{}) transaction_since_ = now;
  }
  /// A statement has ended; the next one in a pipeline runs from now on.
  void completed(base::Time now) {
    since_ = now;
    awaits_cancel_ = false;
  }
  enum class Transaction : std::uint8_t { none, open };
  enum class Pipeline : std::uint8_t { empty, more };
  /// The client is told that it may go on; `more`: what it has sent already runs on.
  void ready(base::Time now, Transaction transaction, Pipeline pipeline) {
    completed(now);
    exchange_cancelled_ = false;
    if (transaction == Transaction::open) {
      if (transaction_since_ == base::Time{}) transaction_since_ = now;
    } else {
      transaction_since_ = pipeline == Pipeline::more ? now : base::Time{};
    }
  }
  /// A cancel request is on its way.
  void cancelled(base::Time now) {
    since_ = now;
    awaits_cancel_ = exchange_cancelled_ = true;
  }
  /// Something was cancelled since the last ReadyForQuery. What the server has done before may be told only now.
  [[nodiscard]] bool is_cancelled() const { return exchange_cancelled_; }

  [[nodiscard]] Due due(Doing doing, const config::Pool& limits, base::Time now) const;

 private:
  base::Time since_{};              ///< the statement runs, or the client is idle, since then; or was cancelled then
  base::Time transaction_since_{};  ///< of single statements too; zero: none
  bool awaits_cancel_ = false;      ///< the statement that runs has been cancelled
  bool exchange_cancelled_ = false;
};

/// What the client is told: the limit and its key. For everything but `nothing`.
[[nodiscard]] base::Error error_for(Due due, const config::Pool& limits);
/// How often to look; nothing when no limit is set for anybody.
[[nodiscard]] std::optional<base::Duration> sweep_interval(const config::Settings& settings);

}  // namespace pgweir::session
