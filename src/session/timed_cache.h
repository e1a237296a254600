// Answers that hold for a while, by name. Pure: times are passed in. Bounded: when it is full, all is forgotten and
// asked for again.
#pragma once
#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "base/clock.h"

namespace pgweir::session {

template <class Value>
class TimedCache {
 public:
  static constexpr std::size_t kMost = 100'000;

  /// Null when there is none that holds. Good until the next call.
  [[nodiscard]] const Value* find(std::string_view name, base::Time now) const {
    const auto found = entries_.find(name);
    return found != entries_.end() && now < found->second.until ? &found->second.value : nullptr;
  }
  /// Also when it does not hold any more.
  [[nodiscard]] const Value* last(std::string_view name) const {
    const auto found = entries_.find(name);
    return found != entries_.end() ? &found->second.value : nullptr;
  }
  void store(std::string_view name, Value value, base::Time now, base::Duration holds_for) {
    if (entries_.size() >= kMost) entries_.clear();
    entries_.insert_or_assign(std::string(name), Entry{std::move(value), now, now + holds_for});
  }
  /// Somebody has reason to believe that it is out of date: it does not hold any more if it is older than `age`.
  void distrust(std::string_view name, base::Time now, base::Duration age) {
    const auto found = entries_.find(name);
    if (found != entries_.end() && now - found->second.asked >= age) entries_.erase(found);
  }
  void clear() { entries_.clear(); }

 private:
  struct Entry {
    Value value;
    base::Time asked, until;
  };
  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace pgweir::session
