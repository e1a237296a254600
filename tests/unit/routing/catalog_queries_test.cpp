// From text results to rows. The queries themselves run against a real server in tests/integration/test_corpus.py.
#include "routing/catalog_queries.h"

#include "doctest/doctest.h"

using namespace pgweir;
using routing::TextRow;
using routing::TextRows;

namespace {

std::vector<TextRows> results() {
  return {
      {TextRow{"public", "f", "t", "f", "f", "now()", "2"},
       TextRow{"pg_catalog", "g", "f", "t", "f", std::nullopt, "0"}},
      {TextRow{"public", "v", "v", "p", "f", " SELECT 1;"}, TextRow{"public", "t", "r", "u", "t", std::nullopt}},
      {TextRow{"public", "t", "a > 1"}, TextRow{"public", "t", "b > 1"}},
      {TextRow{"public", "d", "f"}},
      {TextRow{"public", "d", "(VALUE > 0)"}},
      {TextRow{"pg_catalog", "+", "f", "t"}},
      {TextRow{"public", "f", "sql", std::nullopt, "SELECT 1"}, TextRow{"public", "f", "c", "lo", std::nullopt}},
      {TextRow{"public", "t", "f", "public", "f"}, TextRow{"public", "v", "r", "public", "t"},
       TextRow{std::nullopt, std::nullopt, "f", "public", "f"}},
      {TextRow{"app.tenant"}, TextRow{"app.a.b"}},
  };
}

}  // namespace

TEST_CASE("rows are made of text results") {
  const auto rows = routing::rows_from(results());
  REQUIRE(rows.has_value());
  REQUIRE(rows->functions.size() == 2);
  CHECK(rows->functions[0].is_volatile);
  CHECK_FALSE(rows->functions[0].built_in);
  CHECK(rows->functions[0].expressions == "now()");
  CHECK_FALSE(rows->functions[1].is_volatile);
  CHECK(rows->functions[1].built_in);
  REQUIRE(rows->relations.size() == 2);
  CHECK(rows->relations[0].definition == " SELECT 1;");
  CHECK(rows->relations[1].persistence == 'u');
  CHECK(rows->relations[1].unsafe_part);
  CHECK(rows->relations[1].policies == std::vector<std::string>{"a > 1", "b > 1"});
  CHECK(rows->functions[0].volatile_users == 2);
  REQUIRE(rows->functions[0].code.size() == 2);
  CHECK(rows->functions[0].code[0].language == "sql");
  CHECK(rows->functions[0].code[0].extension.empty());
  CHECK(rows->functions[0].code[0].body == "SELECT 1");
  CHECK(rows->functions[0].code[1].extension == "lo");
  CHECK(rows->functions[1].code.empty());
  using Target = routing::CatalogRows::Reach::Target;
  REQUIRE(rows->reaches.size() == 3);
  CHECK(rows->reaches[0].target == Target::function);
  CHECK(rows->reaches[0].name == "t");
  CHECK(rows->reaches[1].target == Target::relation);
  CHECK(rows->reaches[1].target_name == "t");
  CHECK(rows->reaches[2].name.empty());
  CHECK(rows->custom_settings == std::vector<std::string>{"app.tenant", "app.a.b"});
  CHECK(rows->types[0].checks == std::vector<std::string>{"(VALUE > 0)"});
  CHECK_FALSE(rows->operators[0].is_volatile);
}

TEST_CASE("a missing flag is the unsafe one") {
  auto given = results();
  given[0][1][2] = std::nullopt;
  given[0][1][3] = std::nullopt;
  given[0][0][6] = std::nullopt;
  const auto rows = routing::rows_from(given);
  REQUIRE(rows.has_value());
  CHECK(rows->functions[1].is_volatile);
  CHECK_FALSE(rows->functions[1].built_in);
  CHECK(rows->functions[0].volatile_users > 1'000'000);
}

TEST_CASE("results of another shape are refused") {
  auto given = results();
  given[2][0].pop_back();
  CHECK_FALSE(routing::rows_from(given).has_value());
  given = results();
  given.pop_back();
  CHECK_FALSE(routing::rows_from(given).has_value());
}

TEST_CASE("there is a query for each result") {
  CHECK(routing::catalog_queries().size() == results().size());
  for (std::size_t i = 0; i < results().size(); ++i)
    CHECK(routing::catalog_queries()[i].columns == results()[i][0].size());
  CHECK(routing::catalog_fingerprint_query().starts_with("SELECT "));
  CHECK(routing::custom_settings_query().starts_with("SELECT "));
}
