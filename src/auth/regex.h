// Regular expressions of HBA files and ident maps. PCRE2 with bounds on what a match may cost: names come from
// strangers.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace pgweir::auth {

/// Immutable; any thread.
class Regex {
 public:
  /// 2201B with the reason and the place when `pattern` is no regular expression.
  [[nodiscard]] static base::Result<std::shared_ptr<const Regex>> compile(std::string_view pattern);
  ~Regex();
  Regex(const Regex&) = delete;
  Regex& operator=(const Regex&) = delete;

  struct Match {
    /// What the first pair of parentheses matched; nothing when there is none, or it took no part.
    std::optional<std::string> first_group;
  };
  /// Finds it anywhere in `text`. A match that costs too much is none.
  [[nodiscard]] std::optional<Match> find(std::string_view text) const;

 private:
  explicit Regex(void* code) : code_(code) {}
  void* code_;  ///< pcre2_code, owned
};

}  // namespace pgweir::auth
