// From text results to rows. The queries themselves run against real servers in tests/integration/test_logical.py.
#include "routing/replication_queries.h"

#include "doctest/doctest.h"

using namespace pgweir;
using routing::TextRow;
using routing::TextRows;

TEST_CASE("a standby has what it has copied, as far as a publication that it subscribes to gives it whole") {
  const TextRows subscribed{TextRow{"public", "items", "p1"}, TextRow{"public", "items", "p2"},
                            TextRow{"public", "filtered", "p1"}, TextRow{"sales", "orders", "p2"}};
  const TextRows published{TextRow{"p1", "public", "items"}, TextRow{"p2", "public", "items"},
                           TextRow{"p3", "public", "filtered"}, TextRow{"p2", "sales", "orders"},
                           TextRow{"p2", "sales", "customers"}};
  const auto tables = routing::replicated_tables(subscribed, published);
  REQUIRE(tables.size() == 2);
  CHECK(tables[0] == sql::QualifiedName{"public", "items"});
  CHECK(tables[1] == sql::QualifiedName{"sales", "orders"});
  CHECK(routing::replicated_tables(subscribed, {}).empty());
  CHECK(routing::replicated_tables({TextRow{"public"}}, published).empty());
}

TEST_CASE("the query for one subscription quotes its name") {
  CHECK(routing::subscribed_tables_query("").find("s.subname = '") == std::string::npos);
  CHECK(routing::subscribed_tables_query("it's").find("s.subname = 'it''s'") != std::string::npos);
}

TEST_CASE("rows are made of text results, and only of results of the right form") {
  std::vector<TextRows> results{{TextRow{"public", "parts", "public", "p_1"}},
                                {TextRow{"public", "f", "sql", std::nullopt, "SELECT 1"}},
                                {TextRow{"public", "<->", "public", "f"}},
                                {TextRow{"public", "f"}}};
  const auto rows = routing::replication_rows_from(results);
  REQUIRE(rows.has_value());
  CHECK(rows->children[0].parent == sql::QualifiedName{"public", "parts"});
  CHECK(rows->children[0].child == sql::QualifiedName{"public", "p_1"});
  CHECK(rows->functions[0].language == "sql");
  CHECK(rows->functions[0].extension.empty());
  CHECK(rows->functions[0].body == "SELECT 1");
  CHECK(rows->operators[0].function == sql::QualifiedName{"public", "f"});
  CHECK(rows->unnamed[0] == sql::QualifiedName{"public", "f"});
  results[0][0].pop_back();
  CHECK_FALSE(routing::replication_rows_from(results).has_value());
  CHECK_FALSE(routing::replication_rows_from({}).has_value());
}
