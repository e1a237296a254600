// The protocol's rules about which message answers which: each rule of "Message Flow" as one small conversation.
#include "session/reply_queue.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "doctest/doctest.h"
#include "wire/messages/backend.h"

namespace {

using namespace pgweir::session;
using Kind = ReplyQueue::Taken::Kind;

constexpr std::string_view kUnasked = "12376CDEGHIKSTVWZcdnst";

// A queue under test with what it has reported.
struct Server {
  ReplyQueue queue;
  std::vector<Expected> dropped;
  Expected completed;

  void push(Expect what, Action action = Action::forward) { queue.push({.what = what, .action = action}); }
  void push_all(std::initializer_list<Expect> all) {
    for (const Expect what : all) push(what);
  }
  ReplyQueue::Taken take(char type) {
    dropped.clear();
    completed = {};
    return queue.take(type, dropped, completed);
  }
  Kind kind(char type) { return take(type).kind; }
};

// Takes all of `types`, all but the last being parts of the front entry; true when the last one completes it.
bool completes(Server& server, std::string_view types) {
  for (const char type : types.substr(0, types.size() - 1))
    if (server.kind(type) != Kind::part) return false;
  return server.kind(types.back()) == Kind::complete;
}

}  // namespace

TEST_CASE("a query is answered by everything up to ReadyForQuery") {
  for (const std::string_view answer :
       {"TDDCZ", "CZ", "IZ", "TDCTDCCZ", "GCZ", "HddcCZ", "EZ", "TDDEZ", "CCEZ", "WdcCZ"}) {
    CAPTURE(answer);
    Server server;
    server.push(Expect::query);
    for (const char type : answer.substr(0, answer.size() - 1))
      CHECK(server.kind(type) == (type == 'E' ? Kind::error : Kind::part));
    CHECK(server.queue.size() == 1);
    const auto last = server.take('Z');
    CHECK(last.kind == Kind::complete);
    CHECK(last.what == Expect::query);
    CHECK(server.completed.what == Expect::query);
    CHECK(server.queue.empty());
    CHECK_FALSE(server.queue.skipping());
  }
}

TEST_CASE("nothing of the extended protocol answers a simple query") {
  for (const char type : std::string_view("123tnsVRK")) {
    CAPTURE(type);
    Server server;
    server.push_all({Expect::query, Expect::query});
    CHECK_FALSE(server.queue.accepts(type));
    CHECK(server.kind(type) == Kind::violation);
    CHECK(server.kind('T') == Kind::part);
    CHECK(server.kind(type) == Kind::violation);
    CHECK(server.queue.size() == 2);
    CHECK(completes(server, "DCZ"));
  }
}

TEST_CASE("a second ReadyForQuery is not the answer to what comes next") {
  Server server;
  server.push_all({Expect::query, Expect::query, Expect::function_call, Expect::query});
  CHECK(completes(server, "TDCZ"));
  CHECK_FALSE(server.queue.accepts('Z'));
  CHECK(server.kind('Z') == Kind::violation);
  CHECK(completes(server, "IZ"));
  CHECK(server.kind('Z') == Kind::violation);
  CHECK(completes(server, "VZ"));
  CHECK(server.kind('Z') == Kind::violation);
  CHECK(server.kind('T') == Kind::part);
  CHECK(server.kind('Z') == Kind::violation);  // rows, and no end of them
  CHECK(server.kind('E') == Kind::error);
  CHECK(server.kind('Z') == Kind::complete);
}

TEST_CASE("a query is not over before its last statement is") {
  for (const std::string_view begun : {"CT", "CTD", "CG", "IG", "CH", "CHdc", "CW"}) {
    CAPTURE(begun);
    Server server;
    server.push(Expect::query);
    for (const char type : begun) CHECK(server.kind(type) == Kind::part);
    CHECK_FALSE(server.queue.accepts('Z'));
    CHECK(server.kind('Z') == Kind::violation);
    CHECK(completes(server, "CZ"));
    CHECK_FALSE(server.queue.copying_in());
  }
}

TEST_CASE("every end of a statement ends its COPY IN") {
  for (const std::string_view answer : {"GCZ", "GIZ", "GEZ"}) {
    CAPTURE(answer);
    Server server;
    server.push(Expect::query);
    for (const char type : answer) server.take(type);
    CHECK_FALSE(server.queue.copying_in());
    server.push(Expect::sync);
    CHECK(server.queue.size() == 1);
  }
}

TEST_CASE("only FunctionCallResponse answers a function call") {
  for (const char type : std::string_view("TDC12I")) {
    CAPTURE(type);
    Server server;
    server.push(Expect::function_call);
    CHECK(server.kind(type) == Kind::violation);
  }
}

TEST_CASE("rows are no answer to what has none") {
  for (const Expect what : {Expect::parse, Expect::bind, Expect::describe, Expect::close, Expect::sync,
                            Expect::function_call, Expect::execution}) {
    Server server;
    CHECK_FALSE(server.queue.front_has_rows());
    server.push(what);
    CHECK_FALSE(server.queue.front_has_rows());
  }
  for (const Expect what : {Expect::query, Expect::execute}) {
    Server server;
    server.push(what);
    CHECK(server.queue.front_has_rows());
  }
  Server server;
  server.queue.push({.what = Expect::query, .whole = true});
  CHECK_FALSE(server.queue.front_has_rows());
  CHECK(server.kind('T') == Kind::part);
  CHECK(server.queue.front_has_rows());
}

TEST_CASE("an error in a simple query drops nothing and skips nothing") {
  Server server;
  server.push_all({Expect::query, Expect::query});
  const auto error = server.take('E');
  CHECK(error.kind == Kind::error);
  CHECK(error.what == Expect::query);
  CHECK(server.dropped.empty());
  CHECK_FALSE(server.queue.skipping());
  CHECK(server.kind('Z') == Kind::complete);
  CHECK(server.queue.size() == 1);
  CHECK(completes(server, "TDCZ"));
}

TEST_CASE("a function call is answered by everything up to ReadyForQuery") {
  Server server;
  server.push(Expect::function_call);
  CHECK(completes(server, "VZ"));
  server.push(Expect::function_call);
  CHECK(server.kind('E') == Kind::error);
  CHECK(server.kind('Z') == Kind::complete);
  CHECK(server.queue.empty());
}

TEST_CASE("each message of the extended protocol has its own end") {
  struct Row {
    Expect what;
    std::string_view answer;
  };
  for (const Row& row :
       {Row{Expect::parse, "1"}, Row{Expect::bind, "2"}, Row{Expect::close, "3"}, Row{Expect::describe, "T"},
        Row{Expect::describe, "n"}, Row{Expect::describe, "tT"}, Row{Expect::describe, "tn"}, Row{Expect::execute, "C"},
        Row{Expect::execute, "DDDC"}, Row{Expect::execute, "DDs"}, Row{Expect::execute, "s"}, Row{Expect::execute, "I"},
        Row{Expect::execute, "GC"}, Row{Expect::execute, "HddcC"}, Row{Expect::execute, "WddcC"},
        Row{Expect::sync, "Z"}}) {
    CAPTURE(row.answer);
    Server server;
    server.push(row.what);
    CHECK(completes(server, row.answer));
    CHECK(server.completed.what == row.what);
    CHECK(server.queue.empty());
  }
}

TEST_CASE("a pipeline of several exchanges is answered in order") {
  Server server;
  server.push_all({Expect::parse, Expect::bind, Expect::describe, Expect::execute, Expect::sync, Expect::bind,
                   Expect::execute, Expect::sync, Expect::query});
  for (const std::string_view answer : {"1", "2", "T", "DDC", "Z", "2", "DC", "Z", "TDCZ"})
    CHECK(completes(server, answer));
  CHECK(server.queue.empty());
}

TEST_CASE("what nobody asked for is a violation") {
  struct Row {
    Expect what;
    std::string_view allowed;  // with E, which is always allowed
  };
  for (const Row& row : {Row{Expect::parse, "1"}, Row{Expect::bind, "2"}, Row{Expect::close, "3"},
                         Row{Expect::describe, "tTn"}, Row{Expect::execute, "CIsDGHWdc"}, Row{Expect::sync, "Z"}}) {
    for (const char type : kUnasked) {
      if (type == 'E' || row.allowed.find(type) != std::string_view::npos) continue;
      CAPTURE(static_cast<int>(row.what));
      CAPTURE(type);
      Server server;
      server.push(row.what);
      CHECK(server.kind(type) == Kind::violation);
      CHECK(server.queue.size() == 1);
    }
  }
  Server idle;
  for (const char type : kUnasked) CHECK(idle.kind(type) == Kind::violation);
}

TEST_CASE("an error in the extended protocol drops what follows, up to Sync") {
  Server server;
  server.push_all({Expect::parse, Expect::bind, Expect::execute, Expect::sync, Expect::bind, Expect::sync});
  CHECK(server.kind('1') == Kind::complete);
  const auto error = server.take('E');
  CHECK(error.kind == Kind::error);
  CHECK(error.what == Expect::bind);
  REQUIRE(server.dropped.size() == 2);
  CHECK(server.dropped[0].what == Expect::bind);  // the failed one comes first
  CHECK(server.dropped[1].what == Expect::execute);
  CHECK_FALSE(server.queue.skipping());  // the Sync had been sent
  for (const std::string_view answer : {"Z", "2", "Z"}) CHECK(completes(server, answer));
  CHECK(server.queue.empty());
}

TEST_CASE("an error before the Sync was sent: everything up to it is ignored by the server") {
  Server server;
  server.push_all({Expect::parse, Expect::bind});
  CHECK(server.kind('E') == Kind::error);
  CHECK(server.dropped.size() == 2);
  CHECK(server.queue.empty());
  CHECK(server.queue.skipping());
  for (const Expect what : {Expect::parse, Expect::bind, Expect::describe, Expect::execute, Expect::close,
                            Expect::query, Expect::function_call}) {
    server.push(what);
    CHECK(server.queue.empty());
  }
  server.push(Expect::sync);
  CHECK_FALSE(server.queue.skipping());
  server.push(Expect::bind);
  CHECK(server.queue.size() == 2);
  CHECK(completes(server, "Z"));
  CHECK(completes(server, "2"));
}

TEST_CASE("an error in the place of ReadyForQuery leaves the Sync owed") {
  // A deferred constraint fails when Sync commits the implicit transaction.
  Server server;
  server.push_all({Expect::execute, Expect::sync});
  CHECK(completes(server, "C"));
  const auto error = server.take('E');
  CHECK(error.kind == Kind::error);
  CHECK(error.what == Expect::sync);
  CHECK(server.dropped.empty());
  CHECK(server.queue.size() == 1);
  CHECK_FALSE(server.queue.skipping());
  CHECK(completes(server, "Z"));
}

TEST_CASE("dropped entries keep what they are about") {
  Server server;
  const auto statement = pgweir::base::make_local<PreparedStatement>();
  server.queue.push({.what = Expect::parse, .action = Action::swallow, .statement = statement});
  server.queue.push({.what = Expect::close, .action = Action::forward, .statement = statement});
  const auto error = server.take('E');
  CHECK(error.action == Action::swallow);
  REQUIRE(server.dropped.size() == 2);
  CHECK(server.dropped[0].statement == statement);
  CHECK(server.dropped[1].what == Expect::close);
  CHECK(server.dropped[1].action == Action::forward);
}

TEST_CASE("the action of an entry comes with each of its messages") {
  Server server;
  server.push(Expect::query, Action::swallow);
  server.push(Expect::execute, Action::forward);
  CHECK(server.take('T').action == Action::swallow);
  CHECK(server.take('E').action == Action::swallow);
  CHECK(server.take('Z').action == Action::swallow);
  CHECK(server.completed.action == Action::swallow);
  CHECK(server.take('D').action == Action::forward);
  CHECK(server.take('C').action == Action::forward);
}

TEST_CASE("synthesised entries keep their place in the order") {
  Server server;
  const auto synthesise = [&](std::string text) {
    server.queue.push({.what = Expect::execute, .action = Action::synthesise, .synthesised = std::move(text)});
  };
  std::string text;
  synthesise("first");
  server.push(Expect::bind);
  synthesise("second");
  synthesise("third");
  server.push(Expect::sync);

  // Before it is taken, no server message can belong to it.
  for (const char type : kUnasked) CHECK(server.kind(type) == Kind::violation);
  CHECK(server.queue.take_synthesised(text));
  CHECK(text == "first");
  CHECK_FALSE(server.queue.take_synthesised(text));  // a server's answer comes first
  CHECK(completes(server, "2"));
  CHECK(server.queue.take_synthesised(text));
  CHECK(text == "second");
  CHECK(server.queue.take_synthesised(text));
  CHECK(text == "third");
  CHECK_FALSE(server.queue.take_synthesised(text));
  CHECK(completes(server, "Z"));
  CHECK_FALSE(server.queue.take_synthesised(text));
}

TEST_CASE("an error drops synthesised answers too, up to Sync") {
  Server server;
  server.push(Expect::bind);
  server.queue.push({.what = Expect::execute, .action = Action::synthesise, .synthesised = "never"});
  server.push(Expect::sync);
  CHECK(server.kind('E') == Kind::error);
  REQUIRE(server.dropped.size() == 2);
  CHECK(server.dropped[1].action == Action::synthesise);
  std::string text;
  CHECK_FALSE(server.queue.take_synthesised(text));
  CHECK(completes(server, "Z"));
}

TEST_CASE("COPY IN by a simple query") {
  Server server;
  server.push(Expect::query);
  CHECK_FALSE(server.queue.copying_in());
  CHECK_FALSE(server.take('G').syncs_eaten);
  CHECK(server.queue.copying_in());
  SUBCASE("ends with the client") {
    server.queue.copy_in_ended();
    CHECK_FALSE(server.queue.copying_in());
    CHECK(completes(server, "CZ"));
  }
  SUBCASE("ends with an error") {
    CHECK(server.kind('E') == Kind::error);
    CHECK_FALSE(server.queue.copying_in());
    CHECK(completes(server, "Z"));
    CHECK_FALSE(server.queue.skipping());
  }
  SUBCASE("twice in one query string") {
    CHECK(server.kind('C') == Kind::part);
    CHECK_FALSE(server.queue.copying_in());
    CHECK(server.kind('G') == Kind::part);
    CHECK(server.queue.copying_in());
    CHECK(completes(server, "CZ"));
  }
}

TEST_CASE("COPY IN in the extended protocol eats the Syncs right behind it") {
  Server server;
  server.push_all({Expect::bind, Expect::execute, Expect::sync, Expect::sync});
  CHECK(completes(server, "2"));
  const auto copy = server.take('G');
  CHECK(copy.kind == Kind::part);
  CHECK(copy.syncs_eaten);
  CHECK(server.queue.size() == 1);
  server.push(Expect::sync);  // the server reads it as part of the COPY
  CHECK(server.queue.size() == 1);
  server.queue.copy_in_ended();
  server.push(Expect::sync);
  CHECK(completes(server, "C"));
  CHECK(completes(server, "Z"));
  CHECK(server.queue.empty());
}

TEST_CASE("COPY IN whose end was sent before CopyInResponse came") {
  Server server;
  SUBCASE("the Sync behind the end is answered") {
    server.push(Expect::execute);
    server.queue.copy_in_ended();
    server.push(Expect::sync);
    CHECK_FALSE(server.take('G').syncs_eaten);
    CHECK_FALSE(server.queue.copying_in());
    CHECK(completes(server, "C"));
    CHECK(completes(server, "Z"));
  }
  SUBCASE("the Sync before the end is eaten, the one behind it is answered") {
    server.push_all({Expect::execute, Expect::sync});
    server.queue.copy_in_ended();
    server.push(Expect::sync);
    CHECK_FALSE(server.take('G').syncs_eaten);
    CHECK_FALSE(server.queue.copying_in());
    CHECK(completes(server, "C"));
    CHECK(completes(server, "Z"));
  }
  SUBCASE("the Sync before the end is eaten, and another has to come") {
    server.push_all({Expect::execute, Expect::sync});
    server.queue.copy_in_ended();
    CHECK(server.take('G').syncs_eaten);
    CHECK_FALSE(server.queue.copying_in());
    CHECK(completes(server, "C"));
    server.push(Expect::sync);
    CHECK(completes(server, "Z"));
  }
  SUBCASE("two in one query string, and a query behind them") {
    server.push(Expect::query);
    server.queue.copy_in_ended();
    server.queue.copy_in_ended();
    server.push(Expect::query);
    for (int copy = 0; copy < 2; ++copy) {
      CHECK(server.kind('G') == Kind::part);
      CHECK_FALSE(server.queue.copying_in());
      CHECK(server.kind('C') == Kind::part);
    }
    CHECK(completes(server, "Z"));
    CHECK(completes(server, "TDCZ"));
  }
  SUBCASE("one of two in a query string") {
    server.push(Expect::query);
    server.queue.copy_in_ended();
    CHECK(server.kind('G') == Kind::part);
    CHECK_FALSE(server.queue.copying_in());
    CHECK(completes(server, "CGCZ"));
  }
  SUBCASE("refused") {
    server.push(Expect::execute);
    server.queue.copy_in_ended();
    server.push(Expect::sync);
    CHECK(server.kind('E') == Kind::error);
    CHECK(completes(server, "Z"));
  }
  CHECK(server.queue.empty());
  CHECK_FALSE(server.queue.skipping());
}

TEST_CASE("a message other than Sync behind COPY IN is answered by an error") {
  Server server;
  server.push_all({Expect::execute, Expect::parse, Expect::sync});
  CHECK_FALSE(server.take('G').syncs_eaten);
  const auto error = server.take('E');
  CHECK(error.kind == Kind::error);
  CHECK(error.what == Expect::execute);
  CHECK(server.dropped.size() == 2);
  CHECK_FALSE(server.queue.copying_in());
  CHECK(completes(server, "Z"));
}

TEST_CASE("an error within COPY IN whose Sync was eaten waits for the next Sync") {
  Server server;
  server.push_all({Expect::execute, Expect::sync});
  CHECK(server.take('G').syncs_eaten);
  CHECK(server.kind('E') == Kind::error);
  CHECK(server.queue.skipping());
  server.push(Expect::sync);
  CHECK(completes(server, "Z"));
  CHECK(server.queue.empty());
}

// COPY fails after CopyInResponse and before the server has read the Sync behind Execute (a statement trigger that
// raises, COPY FREEZE): that Sync then ends the skipping and is answered.
TEST_CASE("an error between CopyInResponse and the first byte read leaves the Sync behind alive") {
  Server server;
  server.push_all({Expect::execute, Expect::sync});
  CHECK(server.kind('G') == Kind::part);
  CHECK(server.kind('E') == Kind::error);
  CHECK(server.kind('Z') == Kind::complete);
  CHECK_FALSE(server.queue.skipping());
  CHECK(server.kind('Z') == Kind::violation);
}

TEST_CASE("a COPY that succeeds has eaten its Syncs for good") {
  Server server;
  server.push_all({Expect::execute, Expect::sync});
  CHECK(server.take('G').syncs_eaten);
  CHECK(server.kind('C') == Kind::complete);
  CHECK(server.kind('Z') == Kind::violation);
}

TEST_CASE("COPY OUT and COPY BOTH eat nothing") {
  for (const char type : {'H', 'W'}) {
    Server server;
    server.push_all({Expect::execute, Expect::sync});
    CHECK_FALSE(server.take(type).syncs_eaten);
    CHECK_FALSE(server.queue.copying_in());
    CHECK(server.queue.size() == 2);
  }
}

TEST_CASE("clear forgets everything, modes too") {
  Server server;
  server.push_all({Expect::execute, Expect::bind});
  CHECK(server.kind('G') == Kind::part);
  server.queue.clear();
  CHECK(server.queue.empty());
  CHECK_FALSE(server.queue.copying_in());
  server.push(Expect::bind);
  CHECK(server.kind('E') == Kind::error);
  CHECK(server.queue.skipping());
  server.queue.clear();
  CHECK_FALSE(server.queue.skipping());
  server.push(Expect::query);
  CHECK(server.queue.size() == 1);
}

TEST_CASE("the client's query learns that what it depends on has failed") {
  Server server;
  SUBCASE("pgweir's own queries before it are passed over") {
    server.queue.push({.what = Expect::query, .action = Action::swallow, .purpose = Purpose::settings});
    server.push(Expect::sync, Action::swallow);
    server.queue.push({.what = Expect::query, .runs_prepared = true});
    server.push(Expect::query);
    CHECK(server.queue.front_is(Purpose::settings));
    CHECK(server.queue.tell_error_of_next_query());
    CHECK_FALSE(server.queue.front_is_told());
    CHECK(server.kind('E') == Kind::error);
    CHECK(completes(server, "Z"));
    CHECK(completes(server, "Z"));
    CHECK(server.queue.front_is_told());
    CHECK(server.queue.front_is(Purpose::none));
    CHECK(server.kind('E') == Kind::error);
    CHECK(completes(server, "Z"));
    CHECK(server.completed.error_told);
    CHECK_FALSE(server.queue.front_is_told());  // the next one has to tell its own
  }
  SUBCASE("there is nothing of the client's") {
    CHECK_FALSE(server.queue.tell_error_of_next_query());
    server.push(Expect::query, Action::swallow);
    CHECK_FALSE(server.queue.tell_error_of_next_query());
    CHECK_FALSE(server.queue.front_is_told());
  }
  SUBCASE("the client's message is of the extended protocol, where the server skips it") {
    server.push(Expect::query, Action::swallow);
    server.push(Expect::parse);
    server.push(Expect::query);
    CHECK_FALSE(server.queue.tell_error_of_next_query());
  }
  SUBCASE("the answer is pgweir's own") {
    server.push(Expect::query, Action::swallow);
    server.push(Expect::query, Action::synthesise);
    CHECK_FALSE(server.queue.tell_error_of_next_query());
  }
}

TEST_CASE("what pgweir asked for, and what it asks for itself") {
  Server server;
  CHECK_FALSE(server.queue.front_is(Purpose::none));
  CHECK_FALSE(server.queue.answers_here());
  server.queue.push({.what = Expect::query, .action = Action::swallow, .purpose = Purpose::audit, .text_hash = 7});
  server.push(Expect::execute, Action::synthesise);
  CHECK(server.queue.front_is(Purpose::audit));
  CHECK_FALSE(server.queue.front_is(Purpose::settings));
  CHECK_FALSE(server.queue.answers_here());
  CHECK(completes(server, "TDDCZ"));
  CHECK(server.completed.purpose == Purpose::audit);
  CHECK(server.completed.text_hash == 7);
  CHECK(server.queue.answers_here());
  std::string text;
  CHECK(server.queue.take_synthesised(text));
  CHECK_FALSE(server.queue.answers_here());
}

TEST_CASE("whether the client is to get an answer") {
  Server server;
  CHECK_FALSE(server.queue.owes_client());
  server.push_all({Expect::query});
  CHECK(server.queue.owes_client());
  CHECK(completes(server, "CZ"));
  server.push(Expect::query, Action::swallow);
  server.push(Expect::sync, Action::swallow);
  CHECK_FALSE(server.queue.owes_client());
  server.push(Expect::execute, Action::synthesise);
  CHECK(server.queue.owes_client());
}

TEST_CASE("the key and the change in the books stay with the entry pushed last") {
  using pgweir::pool::StatementKey;
  Server server;
  server.queue.note_key({1, 1});  // nothing is there: nobody has it
  server.push(Expect::close, Action::swallow);
  auto closed = std::make_unique<PreparedChange>();
  closed->name = "a";
  closed->removed.push_back({"a", {1, 2}, 10, {}});
  server.queue.attach(std::move(closed));
  server.push(Expect::parse);
  auto parsed = std::make_unique<PreparedChange>();
  parsed->name = "b";
  parsed->added = {3, 4};
  server.queue.attach(std::move(parsed));
  server.queue.note_key({3, 4});
  server.push(Expect::bind);

  CHECK(server.kind('3') == Kind::complete);
  REQUIRE(server.completed.change);
  CHECK(server.completed.change->name == "a");
  CHECK(server.completed.on_server == StatementKey{});
  CHECK_FALSE(server.completed.server_name_is("a"));
  CHECK(server.kind('E') == Kind::error);
  REQUIRE(server.dropped.size() == 2);
  REQUIRE(server.dropped[0].change);  // to be taken back
  CHECK(server.dropped[0].change->name == "b");
  CHECK(server.dropped[0].change->added == StatementKey{3, 4});
  CHECK_FALSE(server.dropped[0].change->removed.size() > 0);
  CHECK(server.dropped[0].on_server == StatementKey{3, 4});
  CHECK(server.dropped[0].server_name_is(SharedName({3, 4}).view()));
  CHECK_FALSE(server.dropped[0].server_name_is(SharedName({4, 3}).view()));
  CHECK(server.dropped[1].change == nullptr);
  CHECK(server.dropped[1].on_server == StatementKey{});
}

TEST_CASE("ends of COPY that were sent ahead count for the message they stand behind") {
  Server server;
  SUBCASE("three in three query strings, all sent at once") {
    for (int i = 0; i < 3; ++i) {
      server.push(Expect::query);
      server.queue.copy_in_ended();
    }
    for (int i = 0; i < 3; ++i) {
      CHECK(server.kind('G') == Kind::part);
      CHECK_FALSE(server.queue.copying_in());
      CHECK(completes(server, "CZ"));
    }
  }
  SUBCASE("the first query copies nothing: the server ignores what follows it") {
    server.push(Expect::query);
    server.queue.copy_in_ended();
    server.push(Expect::query);
    CHECK(completes(server, "CZ"));
    CHECK(server.kind('G') == Kind::part);
    CHECK(server.queue.copying_in());  // its own end is still to come
    server.queue.copy_in_ended();
    CHECK(completes(server, "CZ"));
  }
  SUBCASE("the end within the COPY is not counted for the next one") {
    server.push(Expect::query);
    CHECK(server.kind('G') == Kind::part);
    server.queue.copy_in_ended();
    CHECK(server.kind('C') == Kind::part);
    CHECK(server.kind('G') == Kind::part);
    CHECK(server.queue.copying_in());
    server.queue.copy_in_ended();
    CHECK(completes(server, "CZ"));
  }
  SUBCASE("with nothing under way it means nothing") {
    server.queue.copy_in_ended();
    CHECK_FALSE(server.queue.copying_in());
    server.push(Expect::query);
    CHECK(server.kind('G') == Kind::part);
    CHECK(server.queue.copying_in());
    server.queue.copy_in_ended();
    CHECK(completes(server, "CZ"));
  }
  CHECK(server.queue.empty());
}

TEST_CASE("a Sync that a COPY may have eaten is something that may come") {
  Server server;
  CHECK(server.queue.expects_nothing());
  server.push_all({Expect::execute, Expect::sync});
  CHECK_FALSE(server.queue.expects_nothing());
  CHECK(server.take('G').syncs_eaten);
  CHECK(server.kind('E') == Kind::error);
  CHECK(server.queue.empty());
  CHECK_FALSE(server.queue.expects_nothing());
  SUBCASE("it comes") { CHECK(server.kind('Z') == Kind::complete); }
  SUBCASE("another Sync is answered instead") {
    server.push(Expect::sync);
    CHECK(completes(server, "Z"));
  }
  SUBCASE("all is forgotten") { server.queue.clear(); }
  CHECK(server.queue.expects_nothing());
}

TEST_CASE("what changes a server's books is known until it is answered or skipped") {
  Server server;
  const auto push = [&](Expect what, const char* name) {
    server.push(what);
    auto change = std::make_unique<PreparedChange>();
    change->name = name;
    server.queue.attach(std::move(change));
  };
  CHECK_FALSE(server.queue.changes_prepared());
  push(Expect::parse, "a");
  server.push(Expect::bind);
  push(Expect::parse, "");
  server.push(Expect::sync);
  CHECK(server.queue.changes_prepared("a"));
  CHECK(server.queue.changes_prepared(""));
  CHECK_FALSE(server.queue.changes_prepared("b"));
  SUBCASE("answered") {
    CHECK(completes(server, "1"));
    CHECK_FALSE(server.queue.changes_prepared("a"));
    CHECK(completes(server, "2"));
    CHECK(server.queue.changes_prepared());
    CHECK(completes(server, "1"));
  }
  SUBCASE("skipped") { CHECK(server.kind('E') == Kind::error); }
  SUBCASE("forgotten") { server.queue.clear(); }
  CHECK_FALSE(server.queue.changes_prepared());
}

namespace {

Expected execution(bool parses, bool describes) {
  Expected entry{.what = Expect::execution};
  entry.parses = parses;
  entry.describes = describes;
  entry.whole = true;
  entry.on_server = {1, 2};
  return entry;
}

}  // namespace

TEST_CASE("an execution is answered as a whole, or message by message") {
  for (const std::string_view answer : {"12TDDCZ", "12nCZ", "2TDCZ", "2DCZ", "12IZ", "2CZ"}) {
    CAPTURE(answer);
    const bool parses = answer[0] == '1';
    const bool describes = answer.find('T') != answer.npos || answer.find('n') != answer.npos;
    Server server;
    server.queue.push(execution(parses, describes));
    if (parses) server.queue.attach_unnamed();
    server.push(Expect::query);
    REQUIRE(server.queue.front_is_whole());
    CHECK(server.queue.front_shape().parse == parses);
    CHECK(server.queue.front_shape().bind);
    CHECK(server.queue.front_shape().describe == describes);
    CHECK(server.queue.changes_prepared("") == parses);
    SUBCASE("as a whole") {
      server.queue.complete_whole(server.completed);
      CHECK(server.completed.what == Expect::execution);
    }
    SUBCASE("message by message") {
      for (const char type : answer) CHECK(server.kind(type) == (type == 'D' ? Kind::part : Kind::complete));
      CHECK(server.completed.what == Expect::sync);
    }
    CHECK_FALSE(server.queue.changes_prepared());
    CHECK_FALSE(server.queue.front_is_whole());
    CHECK(completes(server, "CZ"));
  }
}

TEST_CASE("an error in an execution skips the rest of it, and of nothing else") {
  for (const std::string_view before : {"", "1", "12", "12T", "12TD"}) {
    CAPTURE(before);
    Server server;
    server.queue.push(execution(true, true));
    server.queue.attach_unnamed();
    server.push(Expect::query);
    for (const char type : before) CHECK(server.kind(type) != Kind::violation);
    CHECK(server.kind('E') == Kind::error);
    CHECK(server.dropped.size() == 4 - before.substr(0, 3).size());
    CHECK((!server.dropped.empty() && server.dropped.front().sets_unnamed) == before.empty());
    CHECK_FALSE(server.queue.changes_prepared());
    CHECK(completes(server, "Z"));
    CHECK(completes(server, "CZ"));
    CHECK(server.queue.empty());
  }
}

TEST_CASE("an error before an execution skips it, too") {
  Server server;
  server.push(Expect::parse, Action::swallow);
  server.queue.push(execution(true, false));
  CHECK(server.kind('E') == Kind::error);
  CHECK(server.dropped.size() == 4);
  CHECK(completes(server, "Z"));
  CHECK(server.queue.empty());
}

TEST_CASE("what answers nothing is no part of an execution") {
  for (const char type : kUnasked) {
    CAPTURE(type);
    Server server;
    server.queue.push(execution(true, true));
    const auto kind = server.kind(type);
    CHECK(kind == (type == '1' ? Kind::complete : type == 'E' ? Kind::error : Kind::violation));
  }
}
