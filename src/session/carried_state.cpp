// Settings under transactions and savepoints; see carried_state.h.
#include "session/carried_state.h"

#include <algorithm>
#include <utility>

namespace pgweir::session {

namespace {
using sql::StatementKind;

constexpr std::string_view kResetAll = "reset all";
constexpr std::string_view kDiscardAll = "discard all";

/// DISCARD ALL resets the role too, which RESET ALL does not.
bool survives_reset_all(std::string_view key) {
  return key == "role" || key == "session_authorization" || key == kDiscardAll;
}
}  // namespace

void CarriedState::completed(const Effect& effect, std::string_view tag) {
  unknown_ = unknown_ || effect.unknown_state;
  has_temporary_ = has_temporary_ || effect.creates_temporary;
  holds_cursor_ = holds_cursor_ || effect.with_hold;
  holds_lock_ = holds_lock_ || effect.takes_session_lock;
  switch (effect.kind) {
    case StatementKind::begin:
      // What the same query string or pipeline did before now belongs to the transaction (access/transam/xact.c).
      if (levels_.empty()) levels_.push_back({{}, std::exchange(outside_, {})});
      break;
    case StatementKind::commit:
    case StatementKind::two_phase:
      // The answer to COMMIT in a failed transaction is ROLLBACK.
      if (tag == "ROLLBACK")
        levels_.clear();
      else
        commit_levels();
      if (effect.chain) levels_.emplace_back();
      break;
    case StatementKind::rollback:
      levels_.clear();
      outside_.clear();
      if (effect.chain) levels_.emplace_back();
      break;
    case StatementKind::savepoint:
      if (!levels_.empty()) levels_.push_back({effect.name, {}});
      break;
    case StatementKind::rollback_to_savepoint: roll_back_to(effect.name); break;
    case StatementKind::release_savepoint: release(effect.name); break;
    case StatementKind::set: change_setting({0, effect.all ? std::string(kResetAll) : effect.name, effect.text}); break;
    case StatementKind::set_session_characteristics: change_setting({0, effect.text, effect.text}); break;
    case StatementKind::listen: listens_ = true; break;
    case StatementKind::unlisten:
      if (effect.name.empty()) listens_ = false;
      break;
    case StatementKind::load: unknown_ = true; break;
    case StatementKind::discard:
      if (effect.all) discard_all();
      if (effect.name == "temp") has_temporary_ = false;
      break;
    default: break;
  }
}

void CarriedState::ready(wire::TransactionStatus status, bool had_error) {
  auto outside = std::exchange(outside_, {});
  if (!had_error)
    for (auto& change : outside) keep(std::move(change));
  if (status == wire::TransactionStatus::idle) levels_.clear();
}

void CarriedState::change_setting(SettingChange change) {
  (levels_.empty() ? outside_ : levels_.back().changes).push_back(std::move(change));
}

/// With the implicit transaction of a query string: COMMIT without BEGIN ends that one.
void CarriedState::commit_levels() {
  for (auto& change : std::exchange(outside_, {})) keep(std::move(change));
  auto levels = std::exchange(levels_, {});
  for (auto& level : levels)
    for (auto& change : level.changes) keep(std::move(change));
}

void CarriedState::roll_back_to(std::string_view savepoint) {
  while (levels_.size() > 1 && levels_.back().savepoint != savepoint) levels_.pop_back();
  if (!levels_.empty()) levels_.back().changes.clear();
}

void CarriedState::release(std::string_view savepoint) {
  const auto found =
      std::find_if(levels_.rbegin(), levels_.rend(), [&](const Level& level) { return level.savepoint == savepoint; });
  if (levels_.empty() || found == levels_.rend()) return;
  const auto first = static_cast<std::size_t>(std::distance(levels_.begin(), found.base())) - 1;
  if (first == 0) return;
  for (std::size_t i = first; i < levels_.size(); ++i)
    for (auto& change : levels_[i].changes) levels_[first - 1].changes.push_back(std::move(change));
  levels_.resize(first);
}

/// A later change of the same setting replaces the earlier one.
void CarriedState::keep(SettingChange change) {
  change.sequence = ++sequence_;
  std::erase_if(settings_, [&](const SettingChange& old) {
    if (change.key == kResetAll) return !survives_reset_all(old.key);
    // SET SESSION AUTHORIZATION undoes SET ROLE.
    return old.key == change.key || (change.key == "session_authorization" && old.key == "role");
  });
  settings_.push_back(std::move(change));
}

void CarriedState::discard_all() {
  settings_.clear();
  outside_.clear();
  levels_.clear();
  has_temporary_ = unknown_ = listens_ = holds_cursor_ = holds_lock_ = false;
  settings_.push_back({++sequence_, std::string(kDiscardAll), "DISCARD ALL"});
}

}  // namespace pgweir::session
