// How many clients there are: in the process, in each database, of each user. A client takes its place when it says who
// it is, and names it when it has proved that: whoever only claims to be a user takes none of the user's places.
#pragma once
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "config/settings.h"

namespace pgweir::session {

/// All methods: any thread.
class ClientPlaces {
  using Names = std::map<std::string, std::uint32_t, std::less<>>;

 public:
  /// One client's place; given back when it is destroyed. Outlived by its ClientPlaces.
  class Place {
   public:
    Place() = default;
    Place(Place&& other) noexcept
        : of_(std::exchange(other.of_, nullptr)),
          database_(std::exchange(other.database_, nullptr)),
          user_(std::exchange(other.user_, nullptr)) {}
    Place& operator=(Place&& other) noexcept {
      if (this == &other) return *this;
      give_back();
      of_ = std::exchange(other.of_, nullptr);
      database_ = std::exchange(other.database_, nullptr);
      user_ = std::exchange(other.user_, nullptr);
      return *this;
    }
    ~Place() { give_back(); }
    explicit operator bool() const { return of_ != nullptr; }
    void give_back();

   private:
    friend class ClientPlaces;
    ClientPlaces* of_ = nullptr;
    Names::value_type* database_ = nullptr;  ///< null: not named yet
    Names::value_type* user_ = nullptr;
  };

  /// Errors: 53300, there are `limit` clients already.
  [[nodiscard]] base::Result<Place> enter(std::uint32_t limit);
  /// Counts a place of `enter` among those of its database and its user. Errors: 53300, naming the limit; the place is
  /// as before.
  [[nodiscard]] base::Result<bool> name(Place& place, const std::string& database, const std::string& user,
                                        const config::Settings& settings);

  [[nodiscard]] std::uint32_t total() const { return total_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint32_t in_database(std::string_view name) const { return count(databases_, name); }
  [[nodiscard]] std::uint32_t of_user(std::string_view name) const { return count(users_, name); }

 private:
  [[nodiscard]] std::uint32_t count(const Names& names, std::string_view name) const;
  static void leave(Names& names, Names::value_type* one);

  std::atomic<std::uint32_t> total_{0};
  mutable std::mutex mutex_;  ///< of what follows: taken at a login and at an end
  Names databases_;           ///< without those that have no client
  Names users_;
};

}  // namespace pgweir::session
