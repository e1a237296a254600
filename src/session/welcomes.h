// What clients are told at login: the parameters that a server has reported for the same database, user and start-up
// parameters. Bounded by forgetting all.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "session/settings_text.h"

namespace pgweir::session {

using ParametersPtr = std::shared_ptr<const Parameters>;
/// Whether the tokenizer could misread texts under these settings: backslashes in plain strings, or a client encoding
/// whose characters may end in a byte that looks like ASCII.
[[nodiscard]] bool is_unsafe_encoding(const Parameters& parameters);

/// One worker's memory of them; one thread.
class Welcomes {
 public:
  /// application_name does not count: it is as the client says.
  [[nodiscard]] static std::string key(std::string_view database, std::string_view user, const Parameters& parameters,
                                       const std::string& replication);
  /// Null for the first of its kind. `parameters`: the client's.
  [[nodiscard]] ParametersPtr find(std::string_view key, const Parameters& parameters) const;
  void remember(const std::string& key, ParametersPtr parameters);

 private:
  std::map<std::string, ParametersPtr, std::less<>> known_;
};

}  // namespace pgweir::session
