// The statements that the micro-benchmarks share: from the shortest to what a reporting page sends.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace pgweir::bench {

struct NamedText {
  const char* name;
  std::string text;
};

inline std::string list_of_constants(int count) {
  std::string text = "SELECT id, name FROM t WHERE id IN (0";
  for (int i = 1; i < count; ++i) text += ", " + std::to_string(i * 37);
  return text + ")";
}

inline const std::vector<NamedText>& statements() {
  static const std::vector<NamedText> all = {
      {"select_1", "SELECT 1"},
      {"pgbench", "SELECT abalance FROM pgbench_accounts WHERE aid = 48211;"},
      {"orm",
       "SELECT \"o\".\"id\", \"o\".\"customer_id\", \"o\".\"state\", \"o\".\"created_at\" FROM \"orders\" \"o\" "
       "INNER JOIN \"customers\" \"c\" ON \"c\".\"id\" = \"o\".\"customer_id\" WHERE \"c\".\"region\" = 'north' AND "
       "\"o\".\"state\" IN ('open', 'paid') ORDER BY \"o\".\"created_at\" DESC LIMIT 20 /* app:shop */"},
      {"update", "UPDATE pgbench_accounts SET abalance = abalance + -3482 WHERE aid = 48211;"},
      {"in_1000", list_of_constants(1000)},
  };
  return all;
}

}  // namespace pgweir::bench
