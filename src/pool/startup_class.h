// The start-up parameters that a server connection was opened with. Connections of one class are interchangeable once
// they have been reset, because RESET and DISCARD ALL go back to what start-up said.
#pragma once
#include <string>
#include <utility>
#include <vector>

namespace pgweir::pool {

/// Immutable. Parameters are sorted by name; of several values for one name the last one counts, as in PostgreSQL.
class StartupClass {
 public:
  StartupClass() = default;
  StartupClass(std::vector<std::pair<std::string, std::string>> parameters, const std::string& replication);

  [[nodiscard]] const std::vector<std::pair<std::string, std::string>>& parameters() const { return parameters_; }
  /// A connection to a WAL sender: it cannot be reset, so it is not used twice.
  [[nodiscard]] bool replication() const { return replication_; }
  friend bool operator==(const StartupClass& a, const StartupClass& b) { return a.parameters_ == b.parameters_; }
  /// A key for maps; different for different classes.
  [[nodiscard]] const std::string& key() const { return key_; }

 private:
  std::vector<std::pair<std::string, std::string>> parameters_;
  std::string key_;
  bool replication_ = false;
};

/// Whether the value of the start-up parameter "replication" asks for a WAL sender (backend/postmaster, parse_bool or
/// "database").
[[nodiscard]] bool asks_for_replication(const std::string& value);

}  // namespace pgweir::pool
