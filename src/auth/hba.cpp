// The decision; see hba.h.
#include "auth/hba.h"

#include <algorithm>
#include <array>

namespace pgweir::auth {

namespace {

using What = Decision::What;
using Type = HbaLine::Type;

/// Whether something holds; `unknown` where it takes what has not been found out.
enum class Holds : std::uint8_t { no, yes, unknown };

Holds is_member(const Asking& asking, std::string_view role) {
  if (!asking.memberships) return Holds::unknown;
  return asking.memberships->contains(role) ? Holds::yes : Holds::no;
}

/// The first word that matches is enough; one that may match counts when no other does.
template <class Matches>
Holds any_of(const std::vector<Word>& words, Matches matches_one) {
  Holds found = Holds::no;
  for (const Word& word : words) {
    const Holds one = matches_one(word);
    if (one == Holds::yes) return one;
    if (one == Holds::unknown) found = one;
  }
  return found;
}

Holds holds(bool it) { return it ? Holds::yes : Holds::no; }

bool type_fits(Type type, const Asking& asking) {
  if ((type == Type::local) != asking.from.is_local()) return false;
  switch (type) {
    case Type::hostssl: return asking.tls;
    case Type::hostnossl: return !asking.tls;
    case Type::hostgssenc: return false;  // GSSAPI encryption is never spoken
    default: return true;
  }
}

Holds comes_from(const HbaLine& line, const Asking& asking) {
  switch (line.from) {
    case HbaLine::From::all: return Holds::yes;
    case HbaLine::From::network: return holds(is_in(asking.from, line.network, line.mask));
    default: break;
  }
  if (!asking.interfaces) return Holds::unknown;
  return holds(std::any_of(asking.interfaces->begin(), asking.interfaces->end(), [&](const Interface& one) {
    const bool whole = line.from == HbaLine::From::same_host;
    return is_in(asking.from, one.address, whole ? mask_of(one.address.family, 128) : one.mask);
  }));
}

Holds is_database(const HbaLine& line, const Asking& asking) {
  return any_of(line.databases, [&](const Word& word) {
    // A connection for physical replication has no database: nothing but the keyword is for it.
    if (asking.replication == wire::Replication::physical) return holds(word.is_keyword("replication"));
    if (word.is_keyword("all")) return Holds::yes;
    if (word.is_keyword("sameuser")) return holds(asking.database == asking.user);
    if (word.is_keyword("samerole") || word.is_keyword("samegroup")) return is_member(asking, asking.database);
    if (word.is_keyword("replication")) return Holds::no;
    return holds(word.matches(asking.database));
  });
}

Holds is_user(const HbaLine& line, const Asking& asking) {
  return any_of(line.users, [&](const Word& word) {
    if (word.is_group()) return is_member(asking, word.group());
    return holds(word.is_keyword("all") || word.matches(asking.user));
  });
}

}  // namespace

std::string_view name_of(Method method) {
  static constexpr std::array<std::string_view, 9> kNames{"trust", "reject", "password", "md5", "scram-sha-256",
                                                          "peer",  "cert",   "ldap",     "pam"};
  return kNames[static_cast<std::size_t>(method)];
}

std::string HbaLine::place() const { return number > 0 ? file + ":" + std::to_string(number) : std::string(); }

Hba for_everybody(Method method) {
  Hba rules(2);
  rules[0].type = Type::local;
  for (HbaLine& line : rules) {
    line.databases = {Word{"all"}, Word{"replication"}};
    line.users = {Word{"all"}};
    line.method = method;
  }
  return rules;
}

Decision decide(const Hba& rules, const Asking& asking) {
  for (const HbaLine& line : rules) {
    if (!type_fits(line.type, asking)) continue;
    const Holds from = comes_from(line, asking);
    if (from == Holds::no) continue;
    const Holds database = is_database(line, asking);
    if (database == Holds::no) continue;
    const Holds user = is_user(line, asking);
    if (user == Holds::no) continue;
    if (from == Holds::unknown) return {What::needs_interfaces};
    if (database == Holds::unknown || user == Holds::unknown) return {What::needs_memberships};
    return {What::line, &line};
  }
  return {What::no_line};
}

}  // namespace pgweir::auth
