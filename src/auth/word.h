// One word of an HBA file or an ident map.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "auth/regex.h"
#include "base/result.h"

namespace pgweir::auth {

struct Word {
  std::string text;
  bool quoted = false;                   ///< begins with a quote: then it is no keyword
  std::shared_ptr<const Regex> regex{};  ///< of one that begins with a slash, in quotes too, once it is compiled

  [[nodiscard]] bool is_keyword(std::string_view keyword) const { return !quoted && text == keyword; }
  /// "+role": whoever is a member of the role.
  [[nodiscard]] bool is_group() const { return !quoted && text.starts_with('+'); }
  [[nodiscard]] std::string_view group() const { return std::string_view(text).substr(1); }
  [[nodiscard]] bool matches(std::string_view name) const {
    return regex ? regex->find(name).has_value() : text == name;
  }
  /// Compiles the expression of a word that begins with a slash. The reason when it is none; empty when all is well.
  [[nodiscard]] std::string compile();
};

/// The word behind a problem's "found".
[[nodiscard]] std::string shown(const Word& word);

}  // namespace pgweir::auth
