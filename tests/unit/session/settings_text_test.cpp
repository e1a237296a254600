// Quoting, the statements between two sets of settings, and a client's start-up parameters taken apart.
#include "session/settings_text.h"

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "doctest/doctest.h"

namespace {

using namespace pgweir;
using namespace pgweir::session;
using pool::SettingsPtr;
using pool::SettingText;

// Each "a=1" as {"a", "SET a=1"}, in the order in which they stand here: that of the keys.
SettingsPtr settings(std::initializer_list<std::string_view> all) {
  std::vector<SettingText> list;
  for (const std::string_view one : all)
    list.push_back({std::string(one.substr(0, one.find('='))), "SET " + std::string(one)});
  return std::make_shared<const std::vector<SettingText>>(std::move(list));
}

using Statements = std::vector<std::string>;

Statements between(const SettingsPtr& from, const SettingsPtr& to) {
  const std::string text = statements_between(from, to);
  Statements out;
  constexpr std::string_view kBetween = "\n;";
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(kBetween, begin), text.size());
    out.push_back(text.substr(begin, end - begin));
    begin = end + kBetween.size();
  }
  return out;
}

using Names = std::vector<std::string>;

Names custom_names(std::string_view text) {
  Names names;
  add_custom_names(text, 100, names);
  return names;
}

Statements texts(const std::vector<SettingText>& settings) {
  Statements out;
  for (const SettingText& one : settings) out.push_back(one.text);
  return out;
}

// What is made of the parameter "options" alone: statements, or nothing, and it stays as it is.
Statements options(const std::string& text) {
  const StartupParts parts = split_startup({{"options", text}});
  if (parts.of_connection.empty()) return texts(parts.settings);
  CHECK(parts.settings.empty());
  CHECK(parts.of_connection == Parameters{{"options", text}});
  return {"as it is"};
}

}  // namespace

TEST_CASE("literals and identifiers") {
  CHECK(to_literal("") == "''");
  CHECK(to_literal("a b") == "'a b'");
  CHECK(to_literal("it's") == "'it''s'");
  CHECK(to_literal(R"(a\b)") == R"( E'a\\b')");  // with a space: it may stand behind a word
  CHECK(to_literal(R"(\')") == R"( E'\\''')");
  CHECK(to_identifier("a") == R"("a")");
  CHECK(to_identifier(R"(A"b)") == R"("A""b")");
  CHECK(to_identifier("") == R"("")");
  CHECK(set_config_text("a.b", "it's") == "SELECT pg_catalog.set_config('a.b','it''s',false)");
}

TEST_CASE("texts that mean the same everywhere") {
  CHECK(is_portable(""));
  CHECK(is_portable("SET a = 'b''c' -- \t\n\x7f"));
  CHECK_FALSE(is_portable(R"(a\b)"));
  CHECK_FALSE(is_portable("caf\xc3\xa9"));
  CHECK_FALSE(is_portable("\x80"));
}

TEST_CASE("nothing to do between equal settings") {
  const auto one = settings({"a=1"});
  CHECK(statements_between(nullptr, nullptr).empty());
  CHECK(statements_between(one, one).empty());
  CHECK(statements_between(one, settings({"a=1"})).empty());
  CHECK(statements_between(settings({}), nullptr).empty());
  CHECK(statements_between(nullptr, settings({})).empty());
}

TEST_CASE("only what differs is said") {
  CHECK(between(nullptr, settings({"a=1", "b=1"})) == Statements{"SET a=1", "SET b=1"});
  CHECK(between(settings({"a=1", "b=1"}), settings({"a=1", "b=2", "c=1"})) == Statements{"SET b=2", "SET c=1"});
  CHECK(between(settings({"a=1", "b=1", "c=1"}), settings({"a=1"})) == Statements{R"(RESET "b")", R"(RESET "c")"});
  CHECK(between(settings({"a=1", "b=1"}), nullptr) == Statements{R"(RESET "a")", R"(RESET "b")"});
  CHECK(between(settings({"a=1", "b=1"}), settings({"b=2", "c=3"})) ==
        Statements{R"(RESET "a")", "SET b=2", "SET c=3"});
}

TEST_CASE("names in RESET are quoted part by part") {
  CHECK(between(settings({"my.se\"tting=1"}), nullptr) == Statements{R"(RESET "my"."se""tting")"});
  CHECK(between(settings({"a.b.c=1"}), nullptr) == Statements{R"(RESET "a"."b"."c")"});
}

TEST_CASE("a comment at the end of a statement does not swallow the next one") {
  const auto commented = std::make_shared<const std::vector<SettingText>>(
      std::vector<SettingText>{{"a", "SET a = 1 -- so"}, {"b", "SET b = 1"}});
  CHECK(statements_between(nullptr, commented) == "SET a = 1 -- so\n;SET b = 1");
}

TEST_CASE("the encoding comes before the texts that are read in it") {
  CHECK(between(nullptr, settings({"application_name=x", "client_encoding=latin1", "datestyle=iso"})) ==
        Statements{"SET client_encoding=latin1", "SET application_name=x", "SET datestyle=iso"});
  CHECK(between(settings({"application_name=x", "client_encoding=latin1"}),
                settings({"application_name=y", "client_encoding=utf8"})) ==
        Statements{"SET client_encoding=utf8", "SET application_name=y"});
  // Already there.
  CHECK(between(settings({"client_encoding=latin1"}), settings({"application_name=y", "client_encoding=latin1"})) ==
        Statements{"SET application_name=y"});
  // Back to the connection's own: that is how the other texts are read then.
  CHECK(between(settings({"client_encoding=latin1"}), settings({"application_name=y"})) ==
        Statements{R"(RESET "client_encoding")", "SET application_name=y"});
}

TEST_CASE("who the session is comes last, and other settings are made by who logged in") {
  const std::string back = "RESET SESSION AUTHORIZATION", no_role = "RESET ROLE";
  SUBCASE("nobody before") {
    CHECK(between(nullptr, settings({"a=1", "role=r", "session_authorization=s", "z=1"})) ==
          Statements{"SET a=1", "SET z=1", "SET session_authorization=s", "SET role=r"});
  }
  SUBCASE("back to who logged in, before all else") {
    CHECK(between(settings({"a=1", "role=r"}), settings({"a=2"})) == Statements{no_role, "SET a=2"});
    CHECK(between(settings({"role=r", "session_authorization=s"}), nullptr) == Statements{back, no_role});
    CHECK(between(settings({"a=1", "session_authorization=s"}), settings({"b=1"})) ==
          Statements{back, no_role, R"(RESET "a")", "SET b=1"});
  }
  SUBCASE("somebody else") {
    CHECK(between(settings({"role=r"}), settings({"role=q"})) == Statements{no_role, "SET role=q"});
    CHECK(between(settings({"session_authorization=s"}), settings({"session_authorization=t"})) ==
          Statements{back, no_role, "SET session_authorization=t"});
    CHECK(between(settings({"role=r", "session_authorization=s"}), settings({"role=q"})) ==
          Statements{back, no_role, "SET role=q"});
    CHECK(between(settings({"role=r"}), settings({"role=r", "session_authorization=s"})) ==
          Statements{no_role, "SET session_authorization=s", "SET role=r"});
  }
  SUBCASE("the same, around another setting") {
    CHECK(between(settings({"a=1", "role=r"}), settings({"a=2", "role=r"})) ==
          Statements{no_role, "SET a=2", "SET role=r"});
    CHECK(between(settings({"a=1", "role=r", "session_authorization=s"}),
                  settings({"role=r", "session_authorization=s"})) ==
          Statements{back, no_role, R"(RESET "a")", "SET session_authorization=s", "SET role=r"});
  }
}

TEST_CASE("settings that only the role may make") {
  CHECK(statements_between(settings({"role=q"}), settings({"a=1", "role=r", "session_authorization=s"}),
                           MadeBy::role) == "RESET ROLE\n;SET session_authorization=s\n;SET role=r\n;SET a=1");
  CHECK(statements_between(settings({"a=1"}), settings({"role=r"}), MadeBy::role) == "RESET \"a\"\n;SET role=r");
}

TEST_CASE("the statement timeout comes last") {
  CHECK(between(nullptr, settings({"role=r", "statement_timeout=1", "work_mem=1"})) ==
        Statements{"SET work_mem=1", "SET role=r", "SET statement_timeout=1"});
}

TEST_CASE("timeouts that could hit what makes the settings") {
  const auto with = [](const std::string& text) {
    return std::make_shared<const std::vector<SettingText>>(std::vector<SettingText>{{"statement_timeout", text}});
  };
  CHECK_FALSE(has_short_timeout(nullptr));
  CHECK_FALSE(has_short_timeout(settings({"a=1"})));
  for (const char* text :
       {"SET statement_timeout = 0", "SET statement_timeout = '30s'", "set STATEMENT_TIMEOUT to 1000",
        "SET SESSION statement_timeout = '1 min'", "SET statement_timeout TO '5000ms' ",
        "SELECT pg_catalog.set_config('statement_timeout','1000',false)",
        "SELECT pg_catalog.set_config('statement_timeout','2s',false)"}) {
    CAPTURE(text);
    CHECK(has_short_timeout(with(text)) == (std::string_view(text).find("1 min") != std::string_view::npos));
  }
  for (const char* text :
       {"SET statement_timeout = 1", "SET statement_timeout = '999ms'", "SET statement_timeout = '10us'",
        "SET statement_timeout = '0.5s'", "SET statement_timeout /* 30s */ = 5", "SET statement_timeout = -- so\n '5'",
        "SET statement_timeout = 5000 -- so", "SELECT pg_catalog.set_config('statement_timeout','1ms',false)",
        "SET statement_timeout"}) {
    CAPTURE(text);
    CHECK(has_short_timeout(with(text)));
  }
}

namespace {

// A server as far as settings go, which lets only who logged in change them, and wants the encoding first.
struct ModelServer {
  std::map<std::string, std::string> values;
  bool others_said = false;

  [[nodiscard]] bool is_who_logged_in() const {
    return !values.contains("role") && !values.contains("session_authorization");
  }
  void say(const std::string& statement) {
    if (statement == "RESET SESSION AUTHORIZATION") {
      values.erase("session_authorization");
      values.erase("role");
    } else if (statement == "RESET ROLE") {
      values.erase("role");
    } else if (statement.starts_with("RESET ")) {
      CHECK(is_who_logged_in());
      CHECK(values.erase(statement.substr(7, statement.size() - 8)) == 1);
    } else {
      const auto equals = statement.find('=');
      set(statement.substr(4, equals - 4), statement.substr(equals + 1));
    }
  }
  void set(const std::string& key, const std::string& value) {
    if (key == "session_authorization") {
      CHECK(is_who_logged_in());
    } else if (key != "role") {
      CHECK(is_who_logged_in());
      CHECK((key != "client_encoding" || !others_said));
      others_said = others_said || key != "client_encoding";
    }
    values[key] = value;
  }
};

}  // namespace

TEST_CASE("over random settings, the statements lead from one to the other") {
  constexpr unsigned kSeed = 20252;
  MESSAGE("seed " << kSeed);
  std::mt19937 random(kSeed);
  const auto pick = [&](unsigned count) { return std::uniform_int_distribution<unsigned>(0, count - 1)(random); };
  const auto any = [&] {
    std::vector<SettingText> list;
    for (const std::string key : {"a", "b", "client_encoding", "role", "session_authorization", "z"})
      if (pick(2) == 0) list.push_back({key, "SET " + key + "=" + std::to_string(pick(3))});
    return std::make_shared<const std::vector<SettingText>>(std::move(list));
  };
  const auto values_of = [](const SettingsPtr& all) {
    std::map<std::string, std::string> values;
    for (const SettingText& one : *all) values[one.key] = one.text.substr(one.text.find('=') + 1);
    return values;
  };
  for (int i = 0; i < 5000; ++i) {
    const SettingsPtr from = any(), to = any();
    ModelServer server{values_of(from)};
    CAPTURE(statements_between(from, to));
    for (const std::string& statement : between(from, to)) server.say(statement);
    REQUIRE(server.values == values_of(to));
  }
}

TEST_CASE("settings with the names of others") {
  const auto mine = settings({"datestyle=iso", "role=r", "search_path=s", "zone=z"});
  const auto others = settings({"datestyle=german", "search_path=t", "session_authorization=u"});
  CHECK(texts(*with_names_of(mine, others)) ==
        Statements{"SET datestyle=iso", "SET search_path=t", "SET session_authorization=u", "SET zone=z"});
  CHECK(texts(*with_names_of(nullptr, others)) == Statements{"SET search_path=t", "SET session_authorization=u"});
  CHECK(texts(*with_names_of(mine, nullptr)) == Statements{"SET datestyle=iso", "SET zone=z"});
  CHECK(with_names_of(nullptr, nullptr)->empty());
}

TEST_CASE("what looks like the name of a custom setting") {
  CHECK(custom_names("SELECT set_config('my.Setting', 'x', false)") == Names{"my.setting"});
  CHECK(custom_names("SELECT f(a.b), c.d FROM a.b") == Names{"a.b", "c.d"});
  CHECK(custom_names("a.b.c _x.$1") == Names{"a.b.c", "_x.$1"});
  CHECK(custom_names("x$y.z0") == Names{"y.z0", "x$y.z0"});
  CHECK(custom_names("$$a.b$$ $x$c.d$x$") == Names{"a.b", "c.d"});
  CHECK(custom_names(R"("a"."b" c."d" "e".f "g.h" i . j k. l)") == Names{"a.b", "c.d", "e.f", "g.h", "i.j", "k.l"});
  CHECK(custom_names("EXECUTE E'SET \\\"a\\\".b = 1'") == Names{"a.b"});
  CHECK(custom_names("gr\xc3\xb6\xc3\x9f"
                     "e.wert") == Names{"gr\xc3\xb6\xc3\x9f"
                                        "e.wert"});
  CHECK(custom_names("gr\xf6\xdf"
                     "e.wert")
            .empty());  // no UTF-8
  for (const std::string_view none : {"", "abc", "a b", ".a", "a.", "1.5", "1a.b", "$1.a", ".", "..", "a..b", "a,b"}) {
    CAPTURE(none);
    CHECK(custom_names(none).empty());
  }
  const std::string longest = "a." + std::string(1000, 'x');
  CHECK(custom_names(longest) == Names{longest});
}

TEST_CASE("the name of a custom setting in a parameter of Bind, behind its length") {
  CHECK(custom_names(std::string_view("\0\0\0\4my.x\0\0", 10)) == Names{"my.x"});
  // Lengths that look like part of a word.
  CHECK(custom_names(std::string("\0\0\0\x30", 4) + "a." + std::string(46, 'x')) == Names{"a." + std::string(46, 'x')});
  const Names found = custom_names(std::string("\0\0\0\x41", 4) + "a." + std::string(63, 'x'));
  CHECK(std::find(found.begin(), found.end(), "a." + std::string(63, 'x')) != found.end());
}

TEST_CASE("what is UTF-8") {
  for (const char* yes : {"", "a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xed\x9f\xbf"}) CHECK(is_utf8(yes));
  for (const char* no :
       {"\x80", "\xc3", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff", "\xe2\x82"})
    CHECK_FALSE(is_utf8(no));
}

TEST_CASE("custom names are collected once, and not without bound") {
  Names names{"a.b"};
  CHECK(add_custom_names("A.B c.d", 3, names));
  CHECK_FALSE(add_custom_names("A.B c.d a.b e.f g.h", 3, names));
  CHECK(names == Names{"a.b", "c.d", "e.f"});
  CHECK_FALSE(add_custom_names("i.j", 3, names));
  CHECK(add_custom_names("e.f", 3, names));
  CHECK(names.size() == 3);
  CHECK(add_custom_names("i.j", 4, names));
  CHECK(names.back() == "i.j");
}

TEST_CASE("start-up parameters become settings, sorted, in lower case") {
  const StartupParts parts = split_startup({{"TimeZone", "CET"}, {"application_name", "it's"}, {"my.x", ""}});
  CHECK(parts.of_connection.empty());
  REQUIRE(parts.settings.size() == 3);
  CHECK(parts.settings[0] == SettingText{"application_name", set_config_text("application_name", "it's")});
  CHECK(parts.settings[1] == SettingText{"my.x", set_config_text("my.x", "")});
  CHECK(parts.settings[2] == SettingText{"timezone", set_config_text("timezone", "CET")});
  CHECK(split_startup({}).settings.empty());
}

TEST_CASE("of two with one name the later one counts, and a parameter more than a switch") {
  CHECK(texts(split_startup({{"datestyle", "a"}, {"DateStyle", "b"}}).settings) ==
        Statements{set_config_text("datestyle", "b")});
  CHECK(texts(split_startup({{"datestyle", "a"}, {"options", "-c datestyle=b"}}).settings) ==
        Statements{set_config_text("datestyle", "a")});
  CHECK(options("-c a.b=1 -c a.b=2") == Statements{set_config_text("a.b", "2")});
}

TEST_CASE("what can only be said at start-up stays with the connection") {
  for (const auto& [name, value] : Parameters{{"application_name", "caf\xc3\xa9"},
                                              {"application_name", R"(a\b)"},
                                              {"Log_Connections", "on"},
                                              {"ignore_system_indexes", "on"},
                                              {"session_preload_libraries", "x"},
                                              {"caf\xc3\xa9", "x"}}) {
    CAPTURE(name);
    const StartupParts parts = split_startup({{name, value}, {"work_mem", "1MB"}});
    CHECK(parts.of_connection == Parameters{{name, value}});
    CHECK(texts(parts.settings) == Statements{set_config_text("work_mem", "1MB")});
  }
}

TEST_CASE("the switches in options") {
  const std::string work_mem = set_config_text("work_mem", "1MB");
  for (const char* text : {"-c work_mem=1MB", "-cwork_mem=1MB", "--work_mem=1MB", "--work-mem=1MB", "-c work-mem=1MB",
                           "--Work-Mem=1MB", " \t-c\n\rwork_mem=1MB\f\v"}) {
    CAPTURE(text);
    CHECK(options(text) == Statements{work_mem});
  }
  CHECK(options("--a-b=c-d") == Statements{set_config_text("a_b", "c-d")});
  CHECK(options("  -c\twork_mem=1MB\n -c a.b=2  ") == Statements{set_config_text("a.b", "2"), work_mem});
  CHECK(options("-c a.b=x=y") == Statements{set_config_text("a.b", "x=y")});
  CHECK(options("-c a.b=") == Statements{set_config_text("a.b", "")});
  CHECK(options("").empty());
  CHECK(options("   ").empty());
}

TEST_CASE("a backslash in options makes the next character an ordinary one") {
  CHECK(options(R"(-c a.b=x\ y)") == Statements{set_config_text("a.b", "x y")});
  CHECK(options("-c search_path=a,\\ b\\\tc") == Statements{set_config_text("search_path", "a, b\tc")});
  CHECK(options(R"(-c a.b=\x\y)") == Statements{set_config_text("a.b", "xy")});
  CHECK(options(R"(\-c a.b=1)") == Statements{set_config_text("a.b", "1")});
  // The value has a backslash of its own: it would not mean the same everywhere.
  CHECK(options(R"(-c a.b=x\\y)") == Statements{"as it is"});
}

TEST_CASE("options with anything else stay with the connection, all of them") {
  for (const char* text : {"-c work_mem=1MB -B 10", "-d 5", "-c", "-c work_mem", "-c =1", "--work_mem", "work_mem=1MB",
                           "-c work_mem=1MB --", "-e", "-c log_connections=on", "--log-connections=on -c a.b=1",
                           "-c a.b=caf\xc3\xa9", "-x -c work_mem=1MB"}) {
    CAPTURE(text);
    CHECK(options(text) == Statements{"as it is"});
  }
  const StartupParts parts = split_startup({{"options", "-B 10"}, {"work_mem", "1MB"}});
  CHECK(parts.of_connection == Parameters{{"options", "-B 10"}});
  CHECK(texts(parts.settings) == Statements{set_config_text("work_mem", "1MB")});
}
