// User name maps; see ident_maps.h.
#include "auth/ident_maps.h"

#include <optional>
#include <utility>

#include "fmt/format.h"

namespace pgweir::auth {

namespace {

using Verdict = IdentMaps::Verdict;

constexpr std::string_view kFirstGroup = "\\1";

Verdict verdict(bool allowed) { return allowed ? Verdict::yes : Verdict::no; }

/// What the user's word says once \1 stands for a part of the outside name. That part may be anything, so the result
/// means itself alone.
std::optional<Word> with_group(const Word& user, const Regex::Match& match) {
  const std::size_t at = user.regex ? std::string::npos : user.text.find(kFirstGroup);
  if (at == std::string::npos) return user;
  if (!match.first_group) return std::nullopt;
  Word made{user.text, true};
  made.text.replace(at, kFirstGroup.size(), *match.first_group);
  return made;
}

Verdict allows(const IdentMaps::Line& line, std::string_view outside, std::string_view user,
               const Memberships* memberships) {
  Word word = line.user;
  if (line.outside.regex) {
    const auto match = line.outside.regex->find(outside);
    auto made = match ? with_group(line.user, *match) : std::nullopt;
    if (!made) return Verdict::no;
    word = std::move(*made);
  } else if (line.outside.text != outside) {
    return Verdict::no;
  }
  if (word.is_keyword("all")) return Verdict::yes;
  if (!word.is_group()) return verdict(word.matches(user));
  return memberships ? verdict(memberships->contains(word.group())) : Verdict::needs_memberships;
}

std::string take_line(ConfigLine& from, std::vector<IdentMaps::Line>& to) {
  constexpr std::string_view kAllowed = "allowed is: map name, system user name, PostgreSQL user name";
  if (from.fields.size() < 3) return fmt::format("has {} of 3 fields; {}", from.fields.size(), kAllowed);
  for (std::size_t i = 0; i < 3; ++i)
    if (from.fields[i].size() > 1) return fmt::format("has several values in field {}; {}", i + 1, kAllowed);
  IdentMaps::Line line{from.fields[0].front().text, std::move(from.fields[1].front()),
                       std::move(from.fields[2].front())};
  for (Word* word : {&line.outside, &line.user})
    if (const std::string error = word->compile(); !error.empty())
      return fmt::format("{} is no regular expression: {}", shown(*word), error);
  to.push_back(std::move(line));
  return {};
}

}  // namespace

Verdict IdentMaps::allows(std::string_view map, std::string_view outside, std::string_view user,
                          const Memberships* memberships) const {
  Verdict found = Verdict::no;
  for (const Line& line : lines) {
    if (line.map != map) continue;
    const Verdict one = auth::allows(line, outside, user, memberships);
    if (one == Verdict::yes) return one;
    if (one == Verdict::needs_memberships) found = one;
  }
  return found;
}

config::Checked<IdentMaps> parse_ident_maps(const std::string& path, const Files& files) {
  IdentMaps maps;
  config::Problems problems;
  for (ConfigLine& from : read_config_lines(path, files))
    if (std::string error = from.error.empty() ? take_line(from, maps.lines) : from.error; !error.empty())
      problems.push_back({from.file, from.number, {}, std::move(error)});
  if (!problems.empty()) return tl::unexpected(std::move(problems));
  return maps;
}

config::Checked<IdentMaps> load_ident_maps(const std::string& path) { return parse_ident_maps(path, files_on_disk()); }

}  // namespace pgweir::auth
