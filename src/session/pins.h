// Why a session keeps a server connection although it is idle: what it has there cannot be taken to another one.
// `SHOW pins` lists the sessions that are pinned.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"

namespace pgweir::session {

enum class PinReason : std::uint8_t { temporary, cursor, listen, advisory_lock, library, seed, server_state, unknown };

struct PinReasonRow {
  PinReason reason;
  std::string_view name;  ///< as SHOW pins says it, and as the audit's query does (audit.cpp)
  std::string_view text;
};

inline constexpr std::array kPinReasons = {
    PinReasonRow{PinReason::temporary, "temporary_objects", "temporary tables or other temporary objects exist"},
    PinReasonRow{PinReason::cursor, "hold_cursor", "a cursor WITH HOLD is open"},
    PinReasonRow{PinReason::listen, "listen", "the session listens for notifications"},
    PinReasonRow{PinReason::advisory_lock, "advisory_lock", "a session-level advisory lock is held"},
    PinReasonRow{PinReason::library, "library", "LOAD has loaded a library, which stays as long as the connection"},
    PinReasonRow{PinReason::seed, "random_seed", "setseed() has made random() predictable on this connection"},
    PinReasonRow{PinReason::server_state, "server_state",
                 "a replication origin, temporary slot or backup belongs to this connection"},
    PinReasonRow{PinReason::unknown, "unknown", "what a statement did to the session could not be found out"},
};

/// Nothing takes these away again, and no view shows them: they are noted when what brings them is sent, and the
/// connection is closed with the session.
inline constexpr std::array kLastingPins = {PinReason::library, PinReason::seed, PinReason::server_state};

/// A set of reasons.
class Pins {
 public:
  void add(PinReason reason) { bits_ = static_cast<std::uint8_t>(bits_ | bit(reason)); }
  void remove(PinReason reason) { bits_ = static_cast<std::uint8_t>(bits_ & ~bit(reason)); }
  void clear() { bits_ = 0; }
  [[nodiscard]] bool has(PinReason reason) const { return (bits_ & bit(reason)) != 0; }
  [[nodiscard]] bool any() const { return bits_ != 0; }
  [[nodiscard]] Pins without(PinReason reason) const {
    Pins others = *this;
    others.remove(reason);
    return others;
  }
  [[nodiscard]] bool has_lasting() const {
    return std::any_of(kLastingPins.begin(), kLastingPins.end(), [this](PinReason one) { return has(one); });
  }
  friend bool operator==(Pins, Pins) = default;

 private:
  static constexpr unsigned bit(PinReason reason) { return 1U << static_cast<unsigned>(reason); }
  std::uint8_t bits_ = 0;
};

struct PinnedSession {
  std::string client, user, database, node;
  Pins pins;
  base::WallTime since{};
};

/// The pinned sessions of all workers. Any thread; touched when pins change, which is rare.
class PinDirectory {
 public:
  void set(base::SessionId id, PinnedSession session) {
    const std::lock_guard lock(mutex_);
    sessions_.insert_or_assign(id.value, std::move(session));
  }
  void erase(base::SessionId id) {
    const std::lock_guard lock(mutex_);
    sessions_.erase(id.value);
  }
  [[nodiscard]] std::vector<std::pair<base::SessionId, PinnedSession>> all() const {
    const std::lock_guard lock(mutex_);
    std::vector<std::pair<base::SessionId, PinnedSession>> result;
    for (const auto& [id, session] : sessions_) result.emplace_back(base::SessionId{id}, session);
    return result;
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::uint32_t, PinnedSession> sessions_;
};

}  // namespace pgweir::session
