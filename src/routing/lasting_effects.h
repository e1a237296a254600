// What a statement may do that lasts as long as its server connection and that no view of PostgreSQL shows, so that
// nobody can ask for it afterwards. Told from names and words alone; where in doubt, it is there.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "sql/statement_facts.h"

namespace pgweir::routing {

struct CatalogRows;

struct LastingEffects {
  bool library = false;  ///< LOAD
  bool seed = false;     ///< setseed(), SET SEED
  bool server = false;   ///< a session's replication origin, a temporary replication slot, a backup

  [[nodiscard]] bool any() const { return library || seed || server; }
  void add(const LastingEffects& more) {
    library = library || more.library;
    seed = seed || more.seed;
    server = server || more.server;
  }
  friend bool operator==(const LastingEffects&, const LastingEffects&) = default;
};

/// What users' code may do, by the bare names of functions and of relations: reading or writing these runs it.
struct LastingByName {
  using Map = std::unordered_map<std::string, LastingEffects>;
  Map functions, relations;

  [[nodiscard]] static LastingEffects of(const Map& map, const std::string& name) {
    const auto found = map.find(name);
    return found == map.end() ? LastingEffects{} : found->second;
  }
};

/// What the statement itself says. PREPARE does nothing yet.
[[nodiscard]] LastingEffects lasting_effects_of(const sql::StatementFacts& statement);
/// What a text may run, be it the code of a DO block or a parameter: looks for words, in strings and comments too, and
/// for the names of users' code in `known`.
[[nodiscard]] LastingEffects lasting_effects_in(std::string_view text, const LastingByName& known = {});
/// Of a built-in function, by its oid (a function call of the protocol).
[[nodiscard]] LastingEffects lasting_effects_of_function(std::uint32_t oid);

/// Follows the words in bodies of SQL and PL/pgSQL, triggers and the like, and views. Code in other languages is not
/// read.
[[nodiscard]] LastingByName lasting_effects_of(const CatalogRows& rows);

}  // namespace pgweir::routing
