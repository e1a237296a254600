// How long an answer to a failed login is held back, and when the next proof from an address is checked
// (auth.failure_delay). Pure: addresses, users and times in, waiting times out.
//
// Each failed login is answered `delay` later. An address with more than kFree failures of late has its proofs checked
// one every `delay`, in turn, so that many connections guess no faster than one. A user who has logged in from there
// before and has not failed since is not held up: with pgweir on the application's own host, all applications come from
// one address, and one that has a wrong password must not stop the others.
#pragma once
#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"

namespace pgweir::session {

/// Bounded: the addresses heard of longest ago are forgotten first. One thread at a time.
class LoginFailures {
 public:
  static constexpr std::size_t kMostAddresses = 10'000;
  static constexpr std::size_t kMostGoodUsers = 32;  ///< per address
  static constexpr unsigned kFree = 5;
  static constexpr unsigned kMostHeld = 64;  ///< answers and turns under way, per address
  static constexpr int kDelaysRemembered = 60;

  /// How long to wait before the proof is checked; zero: not at all. Nothing: too many are waiting, or longer than
  /// `patience`; then it is not checked at all. `delay` zero switches everything off.
  [[nodiscard]] std::optional<base::Duration> admit(std::string_view address, std::string_view user,
                                                    base::Duration delay, base::Duration patience, base::Time now);
  /// The proof was wrong: how long to hold back the answer. Nothing: too many are held already, so no answer at all.
  [[nodiscard]] std::optional<base::Duration> failed(std::string_view address, std::string_view user,
                                                     base::Duration delay, base::Time now);
  void succeeded(std::string_view address, std::string_view user, base::Duration delay, base::Time now);

  [[nodiscard]] std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    unsigned failures = 0;
    base::Time last_failure{};
    base::Time next_turn{};
    std::vector<base::Time> held_until;   ///< of answers that are held back
    std::vector<std::size_t> good_users;  ///< hashes; the newest last
    std::list<std::string>::iterator place{};
  };
  Entry& entry(std::string_view address);
  static void forget_old(Entry& entry, base::Duration delay, base::Time now);

  std::unordered_map<std::string, Entry> entries_;
  std::list<std::string> by_use_;  ///< the least recently used first
};

}  // namespace pgweir::session
