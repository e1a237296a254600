// A sorted list of polls; every question is one binary search.
#include "routing/freshness.h"

#include <algorithm>

namespace pgweir::routing {

void PrimaryHistory::add(base::Time started, Lsn position) {
  if (!polls_.empty()) {
    Poll& last = polls_.back();
    if (position < last.position) {
      polls_.clear();
    } else if (started <= last.started) {
      return;  // an answer that came out of turn proves nothing new
    } else if (position == last.position) {
      last.started = started;
      return;
    }
  }
  if (polls_.size() == kMaxPolls) {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < polls_.size(); ++i) {
      if (i >= kMaxPolls / 2 || i % 2 == 0) polls_[kept++] = polls_[i];
    }
    polls_.resize(kept);
  }
  polls_.push_back({started, position});
}

NodeFreshness PrimaryHistory::freshness(Lsn replayed) const {
  NodeFreshness result;
  if (polls_.empty()) return result;
  const auto after = std::upper_bound(polls_.begin(), polls_.end(), replayed,
                                      [](Lsn lsn, const Poll& poll) { return lsn < poll.position; });
  if (after != polls_.begin()) result.fresh_until = std::prev(after)->started;
  const Lsn newest = polls_.back().position;
  result.lag_bytes = newest > replayed ? newest - replayed : 0;
  return result;
}

void PrimaryProofs::add(const Poll& poll) {
  inserted_.add(poll.started, poll.position);
  // What was acknowledged that long ago is on disk by now, whatever else the insert position stands for.
  flushed_.add(poll.started - poll.flush_delay, poll.flushed);
  if (poll.position != position_) {
    position_ = poll.position;
    unchanged_since_ = poll.answered;
  } else if (poll.started - unchanged_since_ >= poll.flush_delay) {
    // Nothing has been inserted for so long that what is not on disk yet belongs to no commit.
    flushed_.add(poll.started, poll.flushed);
  }
}

void PrimaryProofs::clear() noexcept {
  inserted_.clear();
  flushed_.clear();
  position_ = 0;
  unchanged_since_ = {};
}

NodeFreshness PrimaryProofs::freshness(Lsn replayed) const {
  NodeFreshness result = inserted_.freshness(replayed);
  result.fresh_until = std::max(result.fresh_until, flushed_.freshness(replayed).fresh_until);
  return result;
}

}  // namespace pgweir::routing
