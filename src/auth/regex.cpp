// Regular expressions; see regex.h. The only file that includes pcre2.h.
#define PCRE2_CODE_UNIT_WIDTH 8
#include "auth/regex.h"

#include <pcre2.h>

#include <array>
#include <utility>

namespace pgweir::auth {

namespace {

// As PostgreSQL's own expressions: a dollar is the very end, a dot is any character.
constexpr std::uint32_t kOptions =
    PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_DOTALL | PCRE2_NEVER_BACKSLASH_C;
// A name has 63 bytes at most where it counts: no honest expression comes near.
constexpr std::uint32_t kMostSteps = 100'000;
constexpr std::uint32_t kMostHeapKiB = 1024;

pcre2_code* code(void* held) { return static_cast<pcre2_code*>(held); }

}  // namespace

base::Result<std::shared_ptr<const Regex>> Regex::compile(std::string_view pattern) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* compiled =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), kOptions, &error, &offset, nullptr);
  if (compiled) return std::shared_ptr<const Regex>(new Regex(compiled));
  std::array<PCRE2_UCHAR, 256> reason{};
  pcre2_get_error_message(error, reason.data(), reason.size());
  return base::fail(
      base::sqlstate::invalid_regular_expression,
      std::string(reinterpret_cast<const char*>(reason.data())) + " at character " + std::to_string(offset + 1));
}

Regex::~Regex() { pcre2_code_free(code(code_)); }

std::optional<Regex::Match> Regex::find(std::string_view text) const {
  pcre2_match_context* limits = pcre2_match_context_create(nullptr);
  pcre2_match_data* data = pcre2_match_data_create_from_pattern(code(code_), nullptr);
  std::optional<Match> found;
  if (limits && data) {
    pcre2_set_match_limit(limits, kMostSteps);
    pcre2_set_depth_limit(limits, kMostSteps);
    pcre2_set_heap_limit(limits, kMostHeapKiB);
    const int groups =
        pcre2_match(code(code_), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, 0, data, limits);
    if (groups > 0) {
      found.emplace();
      const PCRE2_SIZE* const at = pcre2_get_ovector_pointer(data);
      if (groups > 1 && at[2] != PCRE2_UNSET) found->first_group = text.substr(at[2], at[3] - at[2]);
    }
  }
  pcre2_match_data_free(data);
  pcre2_match_context_free(limits);
  return found;
}

}  // namespace pgweir::auth
