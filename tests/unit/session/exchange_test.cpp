// An exchange in one piece, and what it is when it has been taken apart.
#include "session/exchange.h"

#include <string>
#include <vector>

#include "doctest/doctest.h"
#include "unit/messages.h"

namespace {

using namespace pgweir;
using namespace pgweir::session;

StatementPtr statement(const char* name) {
  auto made = base::make_local<PreparedStatement>();
  made->name = name;
  made->query.entry = base::make_local<sql::CachedFacts>();
  return made;
}

std::string bytes_of_execution(bool parses, std::string_view name) {
  return test::encoded([&](auto& out) {
    if (parses) wire::encode_parse(out, {}, "SELECT 1", std::string_view("\0\0", 2));
    wire::encode_bind(out, {}, name);
    wire::encode_execute(out, {});
    wire::encode_bare(out, wire::frontend::kSync);
  });
}

}  // namespace

TEST_CASE("one that is an execution says the same in one piece and taken apart") {
  for (const bool parses : {false, true}) {
    CAPTURE(parses);
    const StatementPtr what = statement(parses ? "" : "s1");
    const std::string bytes = bytes_of_execution(parses, what->name);
    Exchange exchange;
    exchange.set({what, parses, false}, bytes);
    const auto looks_right = [&] {
      CHECK_FALSE(exchange.empty());
      CHECK(exchange.is_ordinary());
      CHECK(is_closed(exchange));
      CHECK(runs_prepared(exchange) == !parses);
      CHECK(exchange.bytes() == bytes);
    };
    REQUIRE(exchange.execution());
    looks_right();
    REQUIRE(exchange.execution());
    std::string types, all;
    for (const GatheredMessage& message : exchange.messages()) {
      types += message.type;
      all += exchange.bytes_of(message);
      CHECK(message.ordinary);
      CHECK((message.statement == what) == (message.type != 'S'));
      CHECK((message.query != nullptr) == (message.type == 'E'));
    }
    CHECK(types == (parses ? "PBES" : "BES"));
    CHECK(all == bytes);
    CHECK_FALSE(exchange.execution());
    looks_right();
    CHECK(is_parsed_in(exchange, *what) == parses);
    exchange.clear();
    CHECK(exchange.empty());
    CHECK(exchange.messages().empty());
  }
}
