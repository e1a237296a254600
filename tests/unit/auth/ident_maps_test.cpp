// Ident maps: which outside name may be which user.
#include "auth/ident_maps.h"

#include <string>
#include <vector>

#include "doctest/doctest.h"
#include "unit/auth/memory_files.h"

using namespace pgweir;
using namespace pgweir::auth;
using Verdict = IdentMaps::Verdict;

namespace {

config::Checked<IdentMaps> parse(const std::string& text) {
  const test::MemoryFiles memory({{"/ident", text}, {"/more", "m x y\n"}});
  return parse_ident_maps("/ident", memory.files());
}

IdentMaps maps(const std::string& text) {
  auto parsed = parse(text);
  if (!parsed) FAIL(parsed.error().front().text());
  return *parsed;
}

Verdict verdict(const std::string& text, const std::string& outside, const std::string& user) {
  static const Memberships roles{"alice", "staff"};
  return maps(text).allows("m", outside, user, &roles);
}

bool allows(const std::string& text, const std::string& outside, const std::string& user) {
  return verdict(text, outside, user) == Verdict::yes;
}

}  // namespace

TEST_CASE("names, maps") {
  CHECK(allows("m ann alice", "ann", "alice"));
  CHECK_FALSE(allows("m ann alice", "ann", "ann"));
  CHECK_FALSE(allows("m ann alice", "Ann", "alice"));
  CHECK_FALSE(allows("other ann alice", "ann", "alice"));
  CHECK_FALSE(allows("", "ann", "ann"));
  CHECK(allows("m bob bob\nm ann alice # and more\n", "ann", "alice"));
  CHECK(allows("m \"ann b\" \"al ice\"", "ann b", "al ice"));
  CHECK(allows("m ann alice and more fields", "ann", "alice"));
  CHECK(allows("include more", "x", "y"));
}

TEST_CASE("expressions and what they find") {
  const std::string text = "m /^(.*)@example\\.com$ \\1\nm /^(.*)@other$ guest_\\1_x\n";
  CHECK(allows(text, "alice@example.com", "alice"));
  CHECK_FALSE(allows(text, "alice@example.com", "bob"));
  CHECK_FALSE(allows(text, "alice@example.org", "alice"));
  CHECK(allows(text, "bob@other", "guest_bob_x"));
  CHECK(allows("m /. alice", "anybody", "alice"));
  CHECK_FALSE(allows("m /^ann \\1", "ann", "\\1"));  // no group: an error of the map, nobody comes in
  CHECK(allows("m ann \\1", "ann", "\\1"));
  CHECK(allows("m ann /^ali", "ann", "alice"));
  CHECK_FALSE(allows("m ann /^bob", "ann", "alice"));
}

TEST_CASE("all and groups, but not as part of what a client says of itself") {
  CHECK(allows("m ann all", "ann", "whoever"));
  CHECK_FALSE(allows("m ann \"all\"", "ann", "whoever"));
  CHECK(allows("m ann \"all\"", "ann", "all"));
  CHECK(allows("m ann +staff", "ann", "alice"));
  CHECK_FALSE(allows("m ann +boss", "ann", "alice"));
  CHECK_FALSE(allows("m /(.*) \\1", "all", "alice"));
  CHECK_FALSE(allows("m /(.*) \\1", "+staff", "alice"));
  CHECK_FALSE(allows("m /(.*) \\1", "/.*", "alice"));
  CHECK(maps("m ann +staff").allows("m", "ann", "alice", nullptr) == Verdict::needs_memberships);
  CHECK(maps("m ann +staff\nm ann alice").allows("m", "ann", "alice", nullptr) == Verdict::yes);
  CHECK(maps("m bob +staff").allows("m", "ann", "alice", nullptr) == Verdict::no);
}

TEST_CASE("problems, all at once") {
  const auto parsed = parse("m\nm a\nm a b\nm,n a b\nm a,b c\nm /( x\nm x /[\n@none\n");
  REQUIRE_FALSE(parsed.has_value());
  std::vector<int> lines;
  for (const auto& problem : parsed.error()) lines.push_back(problem.line);
  CHECK(lines == std::vector<int>{1, 2, 4, 5, 6, 7, 8});
  CHECK(parsed.error()[0].text() ==
        "/ident:1: has 1 of 3 fields; allowed is: map name, system user name, PostgreSQL user name");
  CHECK(parse("# nothing").has_value());
  CHECK_FALSE(load_ident_maps("/nonexistent/ident").has_value());
}
