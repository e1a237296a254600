// What clients are told at login: the parameters that a server has reported for the same database, user and start-up
// parameters. Bounded by forgetting all.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "session/settings_text.h"

namespace pgweir::session {

using ParametersPtr = std::shared_ptr<const Parameters>;

/// What a client is told, and what follows from it.
struct Welcome {
  explicit Welcome(ParametersPtr told);
  ParametersPtr parameters;
  std::uint64_t hash;    ///< pool::hash_of
  bool unsafe_encoding;  ///< is_unsafe_encoding
  std::string messages;  ///< a ParameterStatus for each
};
using WelcomePtr = std::shared_ptr<const Welcome>;

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
  [[nodiscard]] WelcomePtr find(std::string_view key, const Parameters& parameters) const;
  void remember(const std::string& key, WelcomePtr welcome);

 private:
  std::map<std::string, WelcomePtr, std::less<>> known_;
};

}  // namespace pgweir::session
