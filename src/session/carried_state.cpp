// Settings under transactions and savepoints; see carried_state.h.
#include "session/carried_state.h"

#include <algorithm>
#include <array>
#include <functional>
#include <span>
#include <utility>

#include "session/consistency.h"
#include "session/settings_text.h"

namespace pgweir::session {

namespace {
using pool::SettingText;
using sql::StatementKind;

constexpr std::string_view kRole = "role";
constexpr std::string_view kAuthorization = "session_authorization";

/// Change how long or how a statement runs, or how its result looks, but not what its text says.
constexpr std::array<std::string_view, 10> kSayNothingOfTexts{"application_name",
                                                              "bytea_output",
                                                              "client_min_messages",
                                                              "extra_float_digits",
                                                              "idle_in_transaction_session_timeout",
                                                              "idle_session_timeout",
                                                              "lock_timeout",
                                                              kConsistencySetting,
                                                              "statement_timeout",
                                                              "transaction_timeout"};

/// What names in a text refer to; PostgreSQL looks them up again when these change.
constexpr std::array<std::string_view, 3> kNames{"role", "search_path", "session_authorization"};

/// Sorted by key, so that equal settings are equal lists.
template <class Map>
auto place_of(Map& map, std::string_view key) {
  return std::lower_bound(map.begin(), map.end(), key,
                          [](const SettingText& one, std::string_view k) { return one.key.compare(k) < 0; });
}

void put(std::vector<SettingText>& map, std::string_view key, std::string_view text) {
  const auto place = place_of(map, key);
  if (place != map.end() && place->key == key)
    place->text = text;
  else
    map.insert(place, {std::string(key), std::string(text)});
}

void remove(std::vector<SettingText>& map, std::string_view key) {
  std::erase_if(map, [&](const SettingText& one) { return one.key == key; });
}

bool is_one_of(std::string_view key, std::span<const std::string_view> keys) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

CarriedState::Meaning meaning_of(const std::vector<SettingText>& map) {
  CarriedState::Meaning meaning;
  for (const SettingText& one : map) {
    if (is_one_of(one.key, kSayNothingOfTexts)) continue;
    const std::hash<std::string_view> hash;
    std::uint64_t& number = is_one_of(one.key, kNames) ? meaning.names : meaning.texts;
    number = (number ^ hash(one.key)) * 0x9e3779b97f4a7c15ULL;
    number = (number ^ hash(one.text)) * 0x9e3779b97f4a7c15ULL;
  }
  return meaning;
}
}  // namespace

void CarriedState::begin_with(pool::SettingsPtr beginning) {
  beginning_ = std::move(beginning);
  settings_ = beginning_;
  known_.reset();
}

void CarriedState::completed(const Effect& effect, std::string_view tag) {
  switch (effect.kind) {
    case StatementKind::begin:
      // What the same query string or pipeline did before now belongs to the transaction (access/transam/xact.c).
      if (levels_.empty()) levels_.push_back({{}, std::exchange(outside_, {})});
      break;
    case StatementKind::commit:
    case StatementKind::two_phase:
      // The answer to COMMIT in a failed transaction is ROLLBACK.
      if (tag == "ROLLBACK")
        drop_levels();
      else
        commit_levels();
      if (effect.chain) levels_.emplace_back();
      known_.reset();
      break;
    case StatementKind::rollback:
      drop_levels();
      drop(std::exchange(outside_, {}));
      if (effect.chain) levels_.emplace_back();
      known_.reset();
      break;
    case StatementKind::savepoint:
      if (!levels_.empty()) levels_.push_back({effect.name, {}});
      break;
    case StatementKind::rollback_to_savepoint: roll_back_to(effect.name); break;
    case StatementKind::release_savepoint: release(effect.name); break;
    default: break;
  }
  if (effect.settings.empty()) return;
  change(effect.settings);
  // DISCARD ALL is committed at once, whatever follows it in a pipeline (access/transam/xact.c,
  // PreventInTransactionBlock).
  const bool whole = std::any_of(effect.settings.begin(), effect.settings.end(),
                                 [](const SettingChange& one) { return one.key == kWholeSession; });
  if (whole && levels_.empty()) keep(std::exchange(outside_, {}));
}

void CarriedState::ready(wire::TransactionStatus status, bool had_error) {
  if (outside_.empty() && levels_.empty()) return;
  const auto outside = std::exchange(outside_, {});
  if (had_error)
    drop(outside);
  else
    keep(outside);
  if (status == wire::TransactionStatus::idle) drop_levels();
  known_.reset();
}

void CarriedState::replace(std::vector<SettingText> settings) {
  if (beginning_)
    for (const SettingText& one : *beginning_)
      if (const auto place = place_of(settings, one.key); place == settings.end() || place->key != one.key)
        settings.insert(place, one);
  publish(std::move(settings));
}

void CarriedState::change(const std::vector<SettingChange>& changes) {
  auto& there = levels_.empty() ? outside_ : levels_.back().changes;
  there.insert(there.end(), changes.begin(), changes.end());
  known_.reset();
}

/// With the implicit transaction of a query string: COMMIT without BEGIN ends that one.
void CarriedState::commit_levels() {
  keep(std::exchange(outside_, {}));
  for (const auto& level : levels_) keep(level.changes);
  levels_.clear();  // and keep their memory for the next transaction
}

void CarriedState::roll_back_to(std::string_view savepoint) {
  if (levels_.empty()) return;
  std::vector<SettingChange> undone;
  const auto undo = [&] {
    auto& changes = levels_.back().changes;
    undone.insert(undone.end(), changes.begin(), changes.end());
    changes.clear();
  };
  for (; levels_.size() > 1 && levels_.back().savepoint != savepoint; levels_.pop_back()) undo();
  undo();
  drop(undone);
  known_.reset();
}

void CarriedState::release(std::string_view savepoint) {
  const auto found =
      std::find_if(levels_.rbegin(), levels_.rend(), [&](const Level& level) { return level.savepoint == savepoint; });
  if (levels_.empty() || found == levels_.rend()) return;
  const auto first = static_cast<std::size_t>(std::distance(levels_.begin(), found.base())) - 1;
  if (first == 0) return;
  for (std::size_t i = first; i < levels_.size(); ++i)
    for (auto& one : levels_[i].changes) levels_[first - 1].changes.push_back(std::move(one));
  levels_.resize(first);
}

void CarriedState::keep(const std::vector<SettingChange>& changes) {
  // SET LOCAL of a setting that nobody has defined leaves it there, empty.
  const auto stays = [](const SettingChange& one) { return !one.local || is_custom(one.key); };
  if (std::none_of(changes.begin(), changes.end(), stays)) return;
  Map map = settings_ ? *settings_ : Map{};
  for (const SettingChange& one : changes) {
    if (!one.local)
      apply(map, one);
    else if (const auto place = place_of(map, one.key); stays(one) && (place == map.end() || place->key != one.key))
      put(map, one.key, reset_text(one.key));
  }
  publish(std::move(map));
}

/// Rolled back: but a setting that nobody has defined stays known, empty.
void CarriedState::drop(const std::vector<SettingChange>& changes) {
  std::vector<SettingChange> known;
  for (const SettingChange& one : changes)
    if (is_custom(one.key)) known.push_back({one.key, {}, true});
  keep(known);
}

void CarriedState::drop_levels() {
  for (const Level& level : levels_) drop(level.changes);
  levels_.clear();
}

/// To what the session began with.
void CarriedState::restore(Map& map, std::string_view key) const {
  remove(map, key);
  if (beginning_) {
    const auto place = place_of(*beginning_, key);
    if (place != beginning_->end() && place->key == key) return put(map, key, place->text);
  }
  // It stays known, with its default.
  if (is_custom(key)) put(map, key, reset_text(key));
}

void CarriedState::apply(Map& map, const SettingChange& one) const {
  if (one.key == kWholeSession || one.key == kAllSettings) {
    const auto restore_all = [&](const Map& keys) {
      for (const SettingText& old : keys) {
        const bool identity = old.key == kRole || old.key == kAuthorization;
        // RESET ALL leaves the role alone (GUC_NO_RESET_ALL).
        if (one.key == kWholeSession || !identity) restore(map, old.key);
      }
    };
    restore_all(Map(map));
    if (beginning_) restore_all(*beginning_);
  } else {
    // SET SESSION AUTHORIZATION undoes SET ROLE, RESET of it goes back to the role of the beginning.
    if (one.key == kAuthorization) {
      if (one.text.empty())
        restore(map, kRole);
      else
        remove(map, kRole);
    }
    if (one.text.empty())
      restore(map, one.key);
    else
      put(map, one.key, one.text);
  }
}

void CarriedState::publish(Map map) {
  if (beginning_ && map == *beginning_)
    settings_ = beginning_;
  else
    settings_ = map.empty() ? nullptr : std::make_shared<const Map>(std::move(map));
  known_.reset();
}

pool::SettingsPtr CarriedState::effective() const {
  if (!has_open_changes()) return settings_;
  Map map = settings_ ? *settings_ : Map{};
  for (const Level& level : levels_)
    for (const SettingChange& one : level.changes) apply(map, one);
  for (const SettingChange& one : outside_) apply(map, one);
  return std::make_shared<const Map>(std::move(map));
}

CarriedState::Known CarriedState::learn() const {
  const pool::SettingsPtr now = effective();
  if (!now) return {};
  return {meaning_of(*now), consistency_said(now)};
}

bool CarriedState::creates_in_temporary() const {
  const pool::SettingsPtr now = effective();
  if (!now) return false;
  const auto place = place_of(*now, "search_path");
  if (place == now->end() || place->key != "search_path") return false;
  std::string text = place->text;
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text.find("pg_temp") != std::string::npos;
}

bool CarriedState::is_serializable() const {
  if (!settings_) return false;
  const auto place = place_of(*settings_, "default_transaction_isolation");
  return place != settings_->end() && place->key == "default_transaction_isolation" &&
         place->text.find("erializable") != std::string::npos;
}

bool CarriedState::has_open_changes() const {
  return !outside_.empty() ||
         std::any_of(levels_.begin(), levels_.end(), [](const Level& level) { return !level.changes.empty(); });
}

bool CarriedState::has_local() const {
  return std::any_of(levels_.begin(), levels_.end(), [](const Level& level) {
    return std::any_of(level.changes.begin(), level.changes.end(), [](const SettingChange& one) { return one.local; });
  });
}

}  // namespace pgweir::session
