// What is asked of a server, and what its rows say about the session.
#include "session/audit.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "doctest/doctest.h"
#include "session/settings_text.h"
#include "sql/classifier.h"
#include "unit/messages.h"
#include "unit/sql/on_parser_stack.h"

namespace {

using namespace pgweir;
using namespace pgweir::session;
using pool::SettingText;
using Settings = std::vector<SettingText>;
using Columns = std::vector<std::optional<std::string>>;
constexpr std::nullopt_t kNull = std::nullopt;

// The body of a DataRow.
std::string row(const Columns& columns) {
  std::string body{'\0', static_cast<char>(columns.size())};
  for (const auto& column : columns) {
    body += column ? test::big_endian(static_cast<std::uint32_t>(column->size())) : std::string(4, '\xff');
    if (column) body += *column;
  }
  return body;
}

std::string in_hex(std::string_view value) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex;
  for (const char c : value) {
    hex += kDigits[static_cast<unsigned char>(c) >> 4U];
    hex += kDigits[static_cast<unsigned char>(c) & 15U];
  }
  return hex;
}

AuditReader reader(Audit audit = Audit::all, Settings known = {}) {
  return {audit, "alice", {"mentioned.x"}, std::make_shared<const Settings>(std::move(known))};
}

// The settings that one row makes.
Settings made_by(const Columns& columns, Settings known = {}) {
  AuditReader one = reader(Audit::all, std::move(known));
  one.take_row(row(columns));
  CHECK_FALSE(one.failed());
  CHECK_FALSE(one.pins().any());
  return one.take_settings();
}

bool fails(std::string_view body) {
  AuditReader one = reader();
  one.take_row(body);
  return one.failed();
}

bool asks_for(const std::string& query, std::string_view name) {
  return query.find("'" + std::string(name) + "'") != std::string::npos;
}

}  // namespace

TEST_CASE("the queries are one read each, and safe under any search_path") {
  constexpr auto kKnown = FunctionNames::known;
  for (const std::string& query : {audit_query(Audit::pins, {"a.b"}, kKnown), audit_query(Audit::all, {}, kKnown),
                                   audit_query(Audit::all, {"a.b", "it's.x", "work_mem"}, kKnown),
                                   audit_query(Audit::all, {}, FunctionNames::looked_for)}) {
    CAPTURE(query);
    sql::QueryFacts facts;
    test::on_parser_stack([&] { facts = sql::facts_of(query, sql::ClassifierLimits{}); });
    REQUIRE(facts.statements.size() == 1);
    const sql::StatementFacts& statement = facts.statements.front();
    CHECK(statement.kind == sql::StatementKind::query);
    CHECK(statement.reads_only);
    for (const auto* names : {&statement.functions, &statement.relations, &statement.types, &statement.operators})
      for (const auto& name : *names) {
        CAPTURE(name.name);
        CHECK(name.schema == "pg_catalog");
      }
  }
}

TEST_CASE("each query asks for its part") {
  const std::string pins = audit_query(Audit::pins, {"a.b"}, FunctionNames::known);
  const std::string all = audit_query(Audit::all, {}, FunctionNames::known);
  const std::string custom = audit_query(Audit::all, {"a.b", "it's.x", R"(c.\d)"}, FunctionNames::known);
  for (const std::string& query : {pins, all, custom}) {
    CAPTURE(query);
    for (const PinReasonRow& each : kPinReasons) {
      // These no server knows.
      const bool asked = each.reason != PinReason::unknown &&
                         std::find(kLastingPins.begin(), kLastingPins.end(), each.reason) == kLastingPins.end();
      CHECK(asks_for(query, each.name) == asked);
    }
    for (const std::string_view what : {"setting", "role", "authorization", "prepared"})
      CHECK(asks_for(query, what) == (query != pins));
    CHECK(asks_for(query, "custom") == (query == custom));
  }
  CHECK(custom.find(R"(ARRAY['a.b','it''s.x', E'c.\\d']::pg_catalog.text[])") != std::string::npos);
}

TEST_CASE("a setting that is hidden from the role of now is what it was") {
  const std::string text = audit_query(Audit::all, {"a.b", "work_mem"}, FunctionNames::known);
  CHECK(text.find("'hidden', n, NULL FROM pg_catalog.unnest(ARRAY['work_mem']::pg_catalog.text[])") !=
        std::string::npos);
  CHECK(text.find("ARRAY['a.b']") != std::string::npos);
  CHECK(made_by({"hidden", "work_mem", kNull}, {{"work_mem", "SET work_mem = 1"}}) ==
        Settings{{"work_mem", "SET work_mem = 1"}});
  CHECK(made_by({"hidden", "work_mem", kNull}).empty());
}

TEST_CASE("names beyond ASCII are asked for in ASCII") {
  const std::string text = audit_query(Audit::all,
                                       {"a.b",
                                        "gr\xc3\xb6\xc3\x9f"
                                        "e.x",
                                        "\xe4.x"},
                                       FunctionNames::known);
  CHECK(text.find("'a.b',pg_catalog.convert_from(pg_catalog.decode('6772c3b6c39f652e78','hex'),'UTF8'),'\xe4.x'") !=
        std::string::npos);
}

TEST_CASE("pins") {
  for (const PinReasonRow& each : kPinReasons) {
    AuditReader one = reader(Audit::pins);
    one.take_row(row({"pin", std::string(each.name), kNull}));
    CHECK_FALSE(one.failed());
    Pins expected;
    expected.add(each.reason);
    CHECK(one.pins() == expected);
  }
  AuditReader both = reader(Audit::pins);
  both.take_row(row({"pin", "listen", in_hex("news")}));
  both.take_row(row({"pin", "listen", in_hex("\xe4")}));
  both.take_row(row({"pin", "hold_cursor", kNull}));
  CHECK(both.audit() == Audit::pins);
  CHECK(both.pins().has(PinReason::listen));
  CHECK(both.take_channels() == std::vector<std::string>{"news", "\xe4"});
  CHECK(both.pins().has(PinReason::cursor));
  CHECK_FALSE(both.pins().has(PinReason::temporary));
}

TEST_CASE("settings, each as a statement that makes it") {
  CHECK(made_by({"setting", "work_mem", in_hex("1MB")}) == Settings{{"work_mem", set_config_text("work_mem", "1MB")}});
  CHECK(made_by({"setting", "DateStyle", in_hex("ISO, DMY")}) ==
        Settings{{"datestyle", set_config_text("DateStyle", "ISO, DMY")}});
  CHECK(made_by({"setting", "search_path", in_hex(R"("it's", b)")}) ==
        Settings{{"search_path", set_config_text("search_path", R"("it's", b)")}});
  CHECK(made_by({"setting", "search_path", in_hex("")}) ==
        Settings{{"search_path", set_config_text("search_path", "")}});
}

TEST_CASE("who the session is") {
  CHECK(made_by({"role", "none", kNull}).empty());
  CHECK(made_by({"role", "A\"b", kNull}) == Settings{{"role", R"(SET ROLE "A""b")"}});
  CHECK(made_by({"authorization", "alice", kNull}).empty());
  CHECK(made_by({"authorization", "Bob", kNull}) ==
        Settings{{"session_authorization", R"(SET SESSION AUTHORIZATION "Bob")"}});
}

TEST_CASE("custom settings, which no view lists") {
  CHECK(made_by({"custom", "a.b", in_hex("x")}) == Settings{{"a.b", set_config_text("a.b", "x")}});
  CHECK(made_by({"custom", "a.b", kNull}).empty());
  CHECK(made_by({"custom", "mentioned.x", kNull}).empty());
  CHECK(made_by({"custom", "mentioned.x", ""}) == Settings{{"mentioned.x", set_config_text("mentioned.x", "")}});
  const std::string text =
      "SELECT FROM pg_catalog.set_config('a.b',pg_catalog.convert_from(pg_catalog.decode('c3bc',"
      "'hex'),'UTF8'),false)";
  CHECK(made_by({"custom", "a.b", in_hex("\xc3\xbc")}) == Settings{{"a.b", text}});
  // Empty: another session has had it on this connection, unless this session is known to have it.
  CHECK(made_by({"custom", "a.b", in_hex("")}).empty());
  CHECK(made_by({"custom", "a.b", in_hex("")}, {{"a.c", "SET a.c = 1"}}).empty());
  CHECK(made_by({"custom", "a.b", in_hex("")}, {{"a.b", "SET a.b = 1"}}) ==
        Settings{{"a.b", set_config_text("a.b", "")}});
}

TEST_CASE("custom settings when the session has none at all") {
  AuditReader one(Audit::all, "alice", {}, nullptr);
  one.take_row(row({"custom", "a.b", ""}));
  one.take_row(row({"custom", "a.c", in_hex("1")}));
  CHECK(one.take_settings() == Settings{{"a.c", set_config_text("a.c", "1")}});
}

TEST_CASE("which statements are prepared") {
  AuditReader one = reader();
  const std::string none = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
  CHECK(digest_of({}) == none);
  CHECK(digest_of({"gr\xc3\xb6\xc3\x9f"
                   "e"}) == none);
  CHECK(digest_of({"b", "a"}) == digest_of({"a", "b"}));
  CHECK(digest_of({"a", "b"}) != digest_of({"a", "c"}));
  CHECK(digest_of({std::string(70, 'x')}) == digest_of({std::string(63, 'x')}));
  one.take_row(row({"prepared", "2", digest_of({"a", "b"})}));
  CHECK(one.are_prepared({"b", "a"}));
  CHECK_FALSE(one.are_prepared({"a", "c"}));
  CHECK_FALSE(one.are_prepared({"a"}));
  CHECK_FALSE(one.failed());
  CHECK(fails(row({"prepared", "many", none})));
  CHECK(fails(row({"prepared", kNull, kNull})));
  CHECK(fails(row({"prepared", "2", kNull})));
}

TEST_CASE("the settings come sorted, whatever the order of the rows") {
  AuditReader one = reader();
  for (const char* name : {"work_mem", "a.b", "TimeZone"}) one.take_row(row({"setting", name, in_hex("x")}));
  one.take_row(row({"role", "r", kNull}));
  std::vector<std::string> keys;
  for (const SettingText& each : one.take_settings()) keys.push_back(each.key);
  CHECK(keys == std::vector<std::string>{"a.b", "role", "timezone", "work_mem"});
}

TEST_CASE("rows that cannot be are a failure, and it stays") {
  const std::string good = row({"setting", "work_mem", in_hex("1MB")});
  CHECK_FALSE(fails(good));
  CHECK(fails(row({"something", "else", "here"})));
  CHECK(fails(row({kNull, "else", "here"})));
  CHECK(fails(row({"pin", "listen"})));
  CHECK(fails(row({"pin", "listen", kNull, kNull})));
  for (std::size_t size = 0; size < good.size(); ++size) {
    CAPTURE(size);
    CHECK(fails(std::string_view(good).substr(0, size)));
  }
  AuditReader one = reader();
  one.fail();
  one.take_row(good);
  CHECK(one.failed());
}
