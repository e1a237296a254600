// Whether the code of a function can change the session that runs it: read from its text, never from what it returned.
// Says "quiet" only where that is certain; whatever is not understood is not quiet.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace pgweir::routing {

enum class CodeLanguage : std::uint8_t { sql, plpgsql };

struct CodeFacts {
  /// Nothing in the text itself changes the session. What it uses may: see the names. When false the rest is empty.
  bool quiet = false;
  bool writes = false;  ///< may write to the tables among `names`
  /// All words and quoted identifiers, keywords too, folded as PostgreSQL folds them; each once, sorted. Whatever the
  /// text calls, reads or writes is among them by its bare name.
  std::vector<std::string> names;
  std::vector<std::string> operators;  ///< as written, and all those that the grammar may imply
};

/// The body of a function (pg_proc.prosrc) of PL/pgSQL or SQL. Empty (BEGIN ATOMIC): not quiet.
[[nodiscard]] CodeFacts read_code(std::string_view body, CodeLanguage language);

/// Whether no function written in C of this extension changes the session, nor runs text or functions that it is given.
[[nodiscard]] bool is_quiet_extension(std::string_view name);

}  // namespace pgweir::routing
