// Both protocols over the admin database, with commands that the test makes up: "now" answers at once, "later" when the
// test says so, "bad" is none.
#include "session/flows/console.h"

#include <string>
#include <vector>

#include "doctest/doctest.h"
#include "wire/messages/frontend.h"

using namespace pgweir;
using namespace pgweir::session;

namespace {

class Commands final : public LocalCommands {
 public:
  base::Result<LocalTable> show(std::string_view, const LocalAsker&) const override { return LocalTable{}; }
  base::Result<std::vector<std::string_view>> columns(std::string_view) const override {
    return std::vector<std::string_view>{};
  }
  bool is_console(std::string_view) const override { return true; }
  base::Result<bool> may_enter(std::string_view) const override { return true; }
  std::vector<std::string_view> split(std::string_view text) const override {
    std::vector<std::string_view> parts;
    while (!text.empty()) {
      const auto end = std::min(text.find(';'), text.size());
      if (end > 0) parts.push_back(text.substr(0, end));
      text.remove_prefix(std::min(end + 1, text.size()));
    }
    return parts;
  }
  base::Result<ConsoleStatementPtr> read(std::string_view text, const LocalAsker& asker) const override {
    CHECK(asker.user == "alice");
    if (text == "bad") return base::fail(base::sqlstate::syntax_error, "bad");
    auto statement = std::make_shared<ConsoleStatement>();
    if (text == "BEGIN") statement->kind = ConsoleStatement::Kind::begin;
    if (text == "COMMIT") statement->kind = ConsoleStatement::Kind::end;
    if (text == "SET") statement->kind = ConsoleStatement::Kind::nothing;
    statement->tag = text;
    statement->argument = text;
    if (statement->kind == ConsoleStatement::Kind::command) statement->columns = {"a"};
    return statement;
  }
  std::optional<base::Result<LocalTable>> run(const ConsoleStatement&, const LocalAsker&, Answer) const override {
    return {};
  }
};

struct Talk {
  Commands commands;
  ConsoleFlow flow{commands, "alice"};
  base::ByteQueue in;

  /// What is answered to what was put into `in`: the types of the messages, with the status of ReadyForQuery. A command
  /// that waits is answered unless it is "later".
  std::string answers() {
    base::ByteQueue out;
    std::string bytes(in.view());
    in = {};
    std::size_t used = 0;
    for (;;) {
      used += flow.take(std::string_view(bytes).substr(used), out);
      if (!flow.wanted() || flow.wanted()->argument == "later") break;
      flow.answer(table(), out);
    }
    rest = bytes.substr(used);
    return types(out);
  }
  static LocalTable table() { return {{"a"}, {{"1"}, {"2"}}, "SHOW"}; }
  static std::string types(const base::ByteQueue& out) {
    std::string found;
    std::string_view bytes = out.view();
    wire::Frame frame;
    while (wire::read_frame(bytes, frame) == wire::FrameStatus::ok) {
      found += frame.type;
      if (frame.type == 'Z') found += frame.body;
      bytes.remove_prefix(frame.bytes_here());
    }
    return found;
  }
  Talk& query(std::string_view text) { return wire::encode_query(in, text), *this; }
  Talk& parse(std::string_view name, std::string_view text) {
    return wire::encode_parse(in, name, text, std::string_view("\0\0", 2)), *this;
  }
  Talk& bind(std::string_view name) { return wire::encode_bind(in, "", name), *this; }
  Talk& describe(char what, std::string_view name) {
    wire::encode_close(in, what, name);
    std::string bytes(in.view());
    bytes[bytes.size() - name.size() - 7] = 'D';
    in = {};
    in.append(bytes);
    return *this;
  }
  Talk& execute() { return wire::encode_execute(in, ""), *this; }
  Talk& sync() { return wire::encode_bare(in, 'S'), *this; }
  std::string rest;
};

}  // namespace

TEST_CASE("simple queries: one, several, none, and one that is bad") {
  Talk talk;
  CHECK(talk.query("now").answers() == "TDDCZI");
  CHECK(talk.query("now;SET;now").answers() == "TDDCCTDDCZI");
  CHECK(talk.query("").answers() == "IZI");
  CHECK(talk.query("now;bad;now").answers() == "TDDCEZI");
}

TEST_CASE("transactions are only remembered") {
  Talk talk;
  CHECK(talk.query("BEGIN").answers() == "CZT");
  CHECK(talk.query("now").answers() == "TDDCZT");
  CHECK(talk.query("bad").answers() == "EZE");
  CHECK(talk.query("now").answers() == "EZE");
  CHECK(talk.query("COMMIT").answers() == "CZI");
}

TEST_CASE("the extended protocol, prepared once and run twice") {
  Talk talk;
  CHECK(talk.parse("s", "now").describe('S', "s").bind("s").execute().sync().answers() == "1tT2DDCZI");
  CHECK(talk.bind("s").describe('P', "").execute().sync().answers() == "2TDDCZI");
  CHECK(talk.parse("", "").bind("").execute().sync().answers() == "12IZI");
  CHECK(talk.parse("", "SET").describe('S', "").sync().answers() == "1tnZI");
}

TEST_CASE("after an error everything up to the Sync is skipped") {
  Talk talk;
  CHECK(talk.parse("", "bad").bind("").execute().sync().answers() == "EZI");
  CHECK(talk.bind("nothing").execute().sync().answers() == "EZI");
  CHECK(talk.parse("s", "now").parse("s", "now").sync().answers() == "1EZI");
  CHECK(talk.parse("", "now;now").sync().answers() == "EZI");
  CHECK(talk.execute().sync().answers() == "EZI");
  CHECK(talk.describe('P', "gone").sync().answers() == "EZI");
}

TEST_CASE("nothing is taken while a command runs; its answer goes on with the rest") {
  Talk talk;
  CHECK(talk.query("later;now").query("now").answers() == "");
  REQUIRE(talk.flow.wanted() != nullptr);
  CHECK_FALSE(talk.rest.empty());
  base::ByteQueue out;
  talk.flow.answer(base::fail(base::sqlstate::query_canceled, "canceled"), out);
  CHECK(Talk::types(out) == "EZI");
  talk.in.append(talk.rest);
  CHECK(talk.answers() == "TDDCZI");
  CHECK(talk.parse("", "later").bind("").execute().sync().answers() == "12");
  base::ByteQueue late;
  talk.flow.answer(Talk::table(), late);
  CHECK(Talk::types(late) == "DDC");
  talk.in.append(talk.rest);
  CHECK(talk.answers() == "ZI");
}

TEST_CASE("Terminate, a message that is too long, and one that there is not") {
  for (const std::string& bytes : {std::string("X\0\0\0\4", 5), std::string("Q\0\7\0\0", 5),
                                   std::string("?\0\0\0\4", 5), std::string("Q\0\0\0\1", 5)}) {
    Talk talk;
    talk.in.append(bytes);
    CHECK(talk.answers() == (bytes[0] == 'X' ? "" : "E"));
    CHECK(talk.flow.over());
  }
}

TEST_CASE("names are bounded") {
  Talk talk;
  for (std::size_t i = 0; i < ConsoleFlow::kMostNames; ++i) {
    talk.parse("s" + std::to_string(i), "now");
    CHECK(talk.answers() == "1");
  }
  CHECK(talk.parse("more", "now").sync().answers() == "EZI");
}

TEST_CASE("drivers are told a version and UTF8") {
  base::ByteQueue out;
  ConsoleFlow::welcome(out);
  CHECK(Talk::types(out).find_first_not_of('S') == std::string::npos);
  CHECK(out.view().find("server_version") != std::string_view::npos);
}
