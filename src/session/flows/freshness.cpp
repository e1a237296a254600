// How fresh a read must be, and what the session has seen so far (docs/architecture.md, "Freshness").
#include <utility>

#include "session/consistency.h"
#include "session/session.h"

namespace pgweir::session {

using config::Consistency;

namespace {
/// Reads that are on the primary for freshness alone stay there for this long before one of them waits for a standby.
constexpr std::chrono::seconds kLongOnPrimary{1};
}  // namespace

Consistency Session::consistency() const {
  if (const auto said = carried_.consistency()) return *said;
  return began_with_.value_or(rules_->consistency);
}

/// What a node must have for the session's next read.
routing::Wanted Session::freshness_wanted() const {
  routing::Wanted wanted;
  wanted.nodes = work_->plan.nodes;
  const Consistency level = consistency();
  if (level == Consistency::eventual) return wanted;
  wanted.not_before = level == Consistency::strict ? worker_.process().last_write.when() : last_write_;
  wanted.seen = seen_;
  wanted.seen_on = seen_on_;
  return wanted;
}

/// The transaction that has just ended on that node wrote, or read what was there then.
void Session::note_seen(base::NodeId node) {
  const bool is_alone = worker_.topology().nodes.size() < 2;
  if (is_alone && !work_->transaction_wrote) return;
  // Read here and not from the loop's time: the moment must not lie before what was seen, or acknowledged
  // (routing/freshness.h).
  seen_ = base::Clock::now();
  seen_on_ = node;
  if (work_->transaction_wrote) note_write(seen_);
}

/// It was acknowledged at that time, or may have been done.
void Session::note_write(base::Time when) {
  last_write_ = when;
  worker_.process().last_write.note(when);
}

/// A server that comes back may show older data than it has shown before it went.
void Session::forget_seen_on(base::NodeId node) {
  if (seen_on_ == node) seen_on_.reset();
}

/// No standby is fresh enough for a read. True when it waits for one (`Session::try_again`, `check_hold`): a client
/// that never pauses would stay on the primary for ever, because each read there is newer than the last look at the
/// standbys.
bool Session::waits_for_freshness() {
  const base::Duration limit = worker_.settings().routing.freshness_wait;
  const base::Time now = worker_.loop().now();
  if (primary_reads_since_ == base::Time{}) primary_reads_since_ = now;
  const Hold& hold = std::as_const(work_)->hold;
  if (hold.for_freshness && now - hold.since < limit) {
    work_->wait = Wait::node;
    return true;
  }
  if (hold.for_freshness) {
    end_hold();
    primary_reads_since_ = now;
    return false;
  }
  const bool begins = hold.place == 0 && now - primary_reads_since_ >= kLongOnPrimary &&
                      limit > base::Duration::zero() && !gone_timer_ &&
                      worker_.any_standby_but_for_freshness(work_->plan.nodes);
  if (begins) hold_for_freshness();
  return begins;
}

}  // namespace pgweir::session
