// Words for consistency; see consistency.h.
#include "session/consistency.h"

#include <algorithm>
#include <string>

#include "base/sqlstate.h"
#include "config/choices.h"
#include "session/settings_text.h"

namespace pgweir::session {

namespace {

using config::Consistency;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same_word(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

}  // namespace

std::optional<Consistency> consistency_named(std::string_view word) {
  for (const auto& choice : config::kChoices<Consistency>)
    if (same_word(word, choice.name)) return choice.value;
  return std::nullopt;
}

base::Error bad_consistency(std::string_view word) {
  std::string names;
  for (const auto& choice : config::kChoices<Consistency>) names.append(names.empty() ? "" : ", ").append(choice.name);
  return {base::sqlstate::invalid_parameter_value,
          "invalid value for parameter \"" + std::string(kConsistencySetting) + "\": \"" + std::string(word) + "\"",
          {},
          "Available values: " + names + "."};
}

std::optional<Consistency> consistency_said(const pool::SettingsPtr& settings) {
  if (!settings) return std::nullopt;
  const auto found = std::find_if(settings->begin(), settings->end(),
                                  [](const pool::SettingText& one) { return one.key == kConsistencySetting; });
  if (found == settings->end() || found->text == reset_text(kConsistencySetting)) return std::nullopt;
  for (const auto& choice : config::kChoices<Consistency>)
    if (same_word(found->text, set_config_text(kConsistencySetting, choice.name))) return choice.value;
  // SET LOCAL, and SET in a transaction that was rolled back, leave it there without a value.
  if (found->text == set_config_text(kConsistencySetting, "")) return std::nullopt;
  return Consistency::strict;
}

}  // namespace pgweir::session
