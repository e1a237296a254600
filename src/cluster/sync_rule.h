// Which standbys a commit had to wait for, and whether enough of them are in sight to be sure that one has it. Pure.
//
// A commit that was acknowledged under `ANY n (...)` or `FIRST n (...)` is on n of the standbys that the list names;
// let there be N of them. If fewer than n are out of sight, at least one of those n is in sight: so at least N - n + 1
// must be seen. It holds for FIRST as well: the list says who goes first, but who is connected says who was asked. With
// FIRST 1 (a, b), a commit may be on b alone, because a was away for a moment; that a is first in the list, and was
// there at the last look, proves nothing about the moments since.
// Source: PostgreSQL documentation, "synchronous_standby_names"; src/backend/replication/syncrep.c.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pgweir::cluster {

struct SyncRule {
  unsigned count = 0;              ///< how many must have a commit; 0: none, replication is asynchronous
  bool everyone = false;           ///< the list has a `*`
  std::vector<std::string> names;  ///< in lower case: the server compares without regard to case

  [[nodiscard]] bool asynchronous() const { return count == 0; }
  [[nodiscard]] bool lists(std::string_view application_name) const;
  friend bool operator==(const SyncRule&, const SyncRule&) = default;
};

/// Reads the setting. What a server would refuse is read as `FIRST 1 (*)`, the strictest there is for one.
[[nodiscard]] SyncRule parse_synchronous_standby_names(std::string_view text);

/// A node that may have been one of the standbys.
struct SyncWitness {
  std::string_view application_name;  ///< empty: not known, so it may be any of them
  bool seen = false;
};

struct SyncSight {
  unsigned listed = 0;  ///< N: standbys that may have been asked
  unsigned unseen = 0;
  bool enough = true;
};

/// `strangers`: application names of walsenders' clients that are no node of the configuration, as last seen.
/// `own_name`: of the primary, which is never its own standby.
[[nodiscard]] SyncSight sight_of(const SyncRule& rule, std::span<const SyncWitness> nodes,
                                 std::span<const std::string> strangers, std::string_view own_name);

}  // namespace pgweir::cluster
