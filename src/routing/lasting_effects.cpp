// Words rather than grammar: code is mostly inside of strings, and what it runs may be put together from pieces.
#include "routing/lasting_effects.h"

#include <algorithm>
#include <array>
#include <utility>

#include "routing/catalog.h"
#include "sql/tokenizer.h"

namespace pgweir::routing {
namespace {

bool is_word_byte(char c) {
  const char folded = sql::fold(c);
  return (folded >= 'a' && folded <= 'z') || (folded >= '0' && folded <= '9') || folded == '_' || folded == '$' ||
         static_cast<unsigned char>(folded) >= 0x80;
}

LastingEffects of_function(const sql::QualifiedName& name) {
  LastingEffects effects;
  effects.seed = name.name == "setseed";
  effects.server = binds_connection(name);
  return effects;
}

/// Calls `visit(word, before, after)` for each word, in lower case; `before`: the word before it when only white space
/// stands between, else empty; `after`: what stands behind it.
template <class Visit>
void for_each_word(std::string_view text, Visit&& visit) {
  constexpr std::size_t kLongest = 63;
  std::string word, before;
  for (std::size_t i = 0; i < text.size();) {
    if (!is_word_byte(text[i])) {
      if (!sql::is_space(text[i])) before.clear();
      ++i;
      continue;
    }
    const std::size_t begin = i;
    while (i < text.size() && is_word_byte(text[i])) ++i;
    word.assign(text.substr(begin, std::min(i - begin, kLongest)));
    for (char& c : word) c = sql::fold(c);
    visit(std::string_view(word), std::string_view(before), text.substr(i));
    before.swap(word);
  }
}

/// The name of a file is a string, or is put together; a column or a function of that name has other things behind it.
bool is_followed_by_file(std::string_view after) {
  constexpr std::string_view kBeginnings = "'\"$%|\\{";
  while (!after.empty() && sql::is_space(after.front())) after.remove_prefix(1);
  if (after.empty()) return false;
  const bool quoted_by_letter = after.size() > 1 && (after[1] == '\'' || after[1] == '&');
  return kBeginnings.find(after.front()) != std::string_view::npos || quoted_by_letter || after.starts_with("--") ||
         after.starts_with("/*");
}

/// Spreads what is known from name to name until nothing changes.
class Spreader {
 public:
  explicit Spreader(const CatalogRows& rows) : rows_(rows) {}

  LastingByName run() {
    do {
      changed_ = false;
      through_code();
      through_relations();
    } while (changed_);
    return std::move(found_);
  }

 private:
  void note(LastingByName::Map& map, const std::string& name, const LastingEffects& effects) {
    if (!effects.any()) return;
    LastingEffects& known = map[name];
    const LastingEffects before = known;
    known.add(effects);
    changed_ = changed_ || !(known == before);
  }

  void through_code() {
    for (const auto& row : rows_.functions) {
      for (const auto& code : row.code) note(found_.functions, row.name, lasting_effects_in(code.body, found_));
      if (!row.expressions.empty()) note(found_.functions, row.name, lasting_effects_in(row.expressions, found_));
    }
  }

  void through_relations() {
    for (const auto& reach : rows_.reaches) {
      const bool is_function = reach.target == CatalogRows::Reach::Target::function;
      if (!reach.name.empty())
        note(found_.relations, reach.name,
             LastingByName::of(is_function ? found_.functions : found_.relations, reach.target_name));
    }
    for (const auto& row : rows_.relations) {
      if (!row.definition.empty()) note(found_.relations, row.name, lasting_effects_in(row.definition, found_));
      for (const std::string& policy : row.policies)
        note(found_.relations, row.name, lasting_effects_in(policy, found_));
    }
  }

  const CatalogRows& rows_;
  LastingByName found_;
  bool changed_ = false;
};

}  // namespace

LastingEffects lasting_effects_of(const sql::StatementFacts& statement) {
  using sql::StatementKind;
  LastingEffects effects;
  if (statement.kind == StatementKind::prepare) return effects;
  for (const auto& name : statement.functions) effects.add(of_function(name));
  const bool is_set = statement.kind == StatementKind::set || statement.kind == StatementKind::set_local;
  effects.seed = effects.seed || (is_set && statement.name == "seed" && !statement.to_default);
  effects.library = statement.kind == StatementKind::load;
  return effects;
}

LastingEffects lasting_effects_in(std::string_view text, const LastingByName& known) {
  LastingEffects effects;
  for_each_word(text, [&](std::string_view word, std::string_view before, std::string_view after) {
    if (word == "load") effects.library = effects.library || is_followed_by_file(after);
    if (word == "seed") effects.seed = effects.seed || before == "set" || before == "session" || before == "local";
    if (word == "setseed" || word.starts_with("pg_")) effects.add(of_function({"", std::string(word)}));
    if (known.functions.empty() && known.relations.empty()) return;
    const std::string name(word);
    effects.add(LastingByName::of(known.functions, name));
    effects.add(LastingByName::of(known.relations, name));
  });
  return effects;
}

LastingEffects lasting_effects_of_function(std::uint32_t oid) {
  constexpr std::uint32_t kSetseed = 1599;  // catalog/pg_proc.dat, all below
  // pg_backup_start (pg_start_backup), pg_create_physical_replication_slot, pg_create_logical_replication_slot,
  // pg_copy_physical_replication_slot (2), pg_copy_logical_replication_slot (3), pg_replication_origin_session_setup
  constexpr std::array<std::uint32_t, 9> kServer = {2172, 3779, 3786, 4220, 4221, 4222, 4223, 4224, 6006};
  LastingEffects effects;
  effects.seed = oid == kSetseed;
  effects.server = std::find(kServer.begin(), kServer.end(), oid) != kServer.end();
  return effects;
}

LastingByName lasting_effects_of(const CatalogRows& rows) { return Spreader(rows).run(); }

}  // namespace pgweir::routing
