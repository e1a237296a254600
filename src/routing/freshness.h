// Up to which moment a standby has caught up (docs/architecture.md, "Freshness"). A poll of the primary that *started*
// at time t and saw position L proves that everything acknowledged before t lies at or below L; so a standby that has
// replayed L is fresh up to t. Pure: times and positions are handed in. One writer.
#pragma once
#include <cstddef>
#include <vector>

#include "routing/topology.h"

namespace pgweir::routing {

/// The polls of one primary. Bounded: when it is full, every second poll of the older half is forgotten, which can only
/// make a standby look less fresh than it is.
class PrimaryHistory {
 public:
  static constexpr std::size_t kMaxPolls = 512;

  /// A poll that started at `started` and saw the insert position `position`. A position that went back, as on a new
  /// primary, makes all before it worthless.
  void add(base::Time started, Lsn position);
  /// Forgets everything: another primary, another timeline.
  void clear() noexcept { polls_.clear(); }

  /// What a standby that has replayed up to `replayed` is worth. Without proof `fresh_until` is Time{}.
  [[nodiscard]] NodeFreshness freshness(Lsn replayed) const;

 private:
  struct Poll {
    base::Time started;
    Lsn position;
  };
  std::vector<Poll> polls_;  ///< both rising; positions strictly
};

/// What the polls of one primary prove together. One writer.
class PrimaryProofs {
 public:
  struct Poll {
    base::Time started;   ///< when the primary was asked
    base::Time answered;  ///< when its answer was there
    Lsn position = 0;     ///< the end of what has been inserted
    Lsn flushed = 0;      ///< the end of what is on disk; read after `position`
    /// A commit that was inserted this long ago is on disk, even if it was acknowledged before.
    base::Duration flush_delay{};
  };

  void add(const Poll& poll);
  void clear() noexcept;
  [[nodiscard]] NodeFreshness freshness(Lsn replayed) const;

 private:
  PrimaryHistory inserted_;
  PrimaryHistory flushed_;  ///< dated back, unless no commit can be behind it
  Lsn position_ = 0;
  base::Time unchanged_since_{};
};

}  // namespace pgweir::routing
