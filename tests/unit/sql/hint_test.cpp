// Hints count in comments before the first token, and nowhere else.
#include <vector>

#include "doctest/doctest.h"
#include "sql/classifier.h"

using pgweir::sql::Hint;
using pgweir::sql::hint_of;

TEST_CASE("hints are read from leading comments") {
  struct Case {
    std::string_view text;
    Hint::Kind kind;
    std::string_view node{};
  };
  const std::vector<Case> cases = {
      {"SELECT 1", Hint::Kind::none},
      {"/* pgweir: primary */ SELECT 1", Hint::Kind::primary},
      {"  /*pgweir:standby*/SELECT 1", Hint::Kind::standby},
      {"--pgweir: primary\nSELECT 1", Hint::Kind::primary},
      {"-- other\n/* more */ -- pgweir: standby\n SELECT 1", Hint::Kind::standby},
      {"/* pgweir: node=pg2 */ SELECT 1", Hint::Kind::node, "pg2"},
      {"/* pgweir: node = pg-2.a */ SELECT 1", Hint::Kind::node, "pg-2.a"},
      {"/* pgweir: node= */ SELECT 1", Hint::Kind::invalid},
      {"/* pgweir: node=a b */ SELECT 1", Hint::Kind::invalid},
      {"/* pgweir: anywhere */ SELECT 1", Hint::Kind::invalid},
      {"/* pgweir: */ SELECT 1", Hint::Kind::invalid},
      {"/* the pgweir: primary */ SELECT 1", Hint::Kind::none},
      {"SELECT /* pgweir: primary */ 1", Hint::Kind::none},
      {"; /* pgweir: primary */ SELECT 1", Hint::Kind::none},
      {"/* pgweir: primary", Hint::Kind::none},
      {"", Hint::Kind::none},
  };
  for (const Case& one : cases) {
    CAPTURE(one.text);
    const Hint hint = hint_of(one.text);
    CHECK(hint.kind == one.kind);
    CHECK(hint.node == one.node);
  }
}
