// The list of prepared statements in the order of their use; see carried_on_server.h.
#include "pool/carried_on_server.h"

#include <algorithm>
#include <utility>

#include "base/assertion.h"

namespace pgweir::pool {

bool same_settings(const SettingsPtr& a, const SettingsPtr& b) {
  if (a == b) return true;
  const bool a_empty = !a || a->empty();
  const bool b_empty = !b || b->empty();
  if (a_empty || b_empty) return a_empty == b_empty;
  return *a == *b;
}

void CarriedOnServer::add_custom(std::string_view name) {
  const auto place = std::lower_bound(custom.begin(), custom.end(), name);
  if (place == custom.end() || *place != name) custom.emplace(place, name);
}

bool CarriedOnServer::has_custom(std::string_view name) const {
  return std::binary_search(custom.begin(), custom.end(), name);
}

const PreparedOnServer::Entry* PreparedOnServer::find(std::string_view name) {
  const auto found = index_.find(name);
  if (found == index_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found->second);
  return &*found->second;
}

void PreparedOnServer::add(Entry entry) {
  PGWEIR_ASSERT(!index_.contains(entry.name));
  bytes_ += entry.bytes;
  entries_.push_front(std::move(entry));
  index_.emplace(entries_.front().name, entries_.begin());
}

std::optional<PreparedOnServer::Entry> PreparedOnServer::remove(std::string_view name) {
  const auto found = index_.find(name);
  if (found == index_.end()) return std::nullopt;
  const auto place = found->second;
  index_.erase(found);  // before the name it points to
  Entry entry = std::move(*place);
  entries_.erase(place);
  bytes_ -= entry.bytes;
  return entry;
}

void PreparedOnServer::clear() {
  index_.clear();
  entries_.clear();
  bytes_ = 0;
  unnamed.reset();
}

const PreparedOnServer::Entry* PreparedOnServer::over(std::size_t budget) const {
  return bytes_ > budget && entries_.size() > 1 ? &entries_.back() : nullptr;
}

}  // namespace pgweir::pool
