// Settings under transactions and savepoints, compared with a naive model that keeps a whole copy per level.
#include "session/carried_state.h"

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "doctest/doctest.h"
#include "session/settings_text.h"

namespace {

using namespace pgweir;
using namespace pgweir::session;
using sql::StatementKind;
using wire::TransactionStatus;

Effect effect(StatementKind kind, std::string name = {}) {
  Effect made;
  made.kind = kind;
  made.name = std::move(name);
  return made;
}

enum class Lasts : std::uint8_t { session, transaction };

// An empty value: RESET.
Effect set(const std::string& name, const std::string& value, Lasts lasts = Lasts::session) {
  const bool local = lasts == Lasts::transaction;
  Effect made = effect(local ? StatementKind::set_local : StatementKind::set, name);
  made.settings = {{name, value.empty() ? std::string() : "SET " + name + " = " + value, local}};
  return made;
}

Effect set_local(const std::string& name, const std::string& value) { return set(name, value, Lasts::transaction); }
Effect reset(const std::string& name) { return set(name, {}); }

Effect reset_all() {
  Effect made = effect(StatementKind::set);
  made.settings = {{std::string(kAllSettings), {}, false}};
  return made;
}

Effect discard_all() {
  Effect made = effect(StatementKind::discard, "all");
  made.all = true;
  made.settings = {{std::string(kWholeSession), {}, false}};
  return made;
}

using Texts = std::vector<std::string>;

Texts texts(const pool::SettingsPtr& settings) {
  Texts out;
  if (!settings) return out;
  CHECK(std::is_sorted(settings->begin(), settings->end(), [](const auto& a, const auto& b) { return a.key < b.key; }));
  for (const pool::SettingText& one : *settings) out.push_back(one.text);
  return out;
}

// What would be made on a fresh connection, in the order of the keys.
Texts texts(const CarriedState& state) { return texts(state.settings()); }

// "a" = "1" as SET would say it; sorted by whoever calls.
pool::SettingsPtr settings_of(const std::vector<std::pair<std::string, std::string>>& values) {
  std::vector<pool::SettingText> made;
  for (const auto& [key, value] : values) made.push_back({key, "SET " + key + " = " + value});
  return std::make_shared<const std::vector<pool::SettingText>>(std::move(made));
}

// One statement in a Query of its own, outside of a transaction block before and after.
void alone(CarriedState& state, const Effect& what, std::string_view tag = "SET") {
  state.completed(what, tag);
  state.ready(TransactionStatus::idle, false);
}

void begin(CarriedState& state) {
  state.completed(effect(StatementKind::begin), "BEGIN");
  state.ready(TransactionStatus::in_transaction, false);
}

void within(CarriedState& state, const Effect& what, std::string_view tag = "SET") {
  state.completed(what, tag);
  state.ready(TransactionStatus::in_transaction, false);
}

}  // namespace

TEST_CASE("a setting outside a transaction block holds when the exchange ended well") {
  CarriedState state;
  CHECK(state.settings() == nullptr);
  state.completed(set("a", "1"), "SET");
  CHECK(state.settings() == nullptr);
  CHECK(texts(state.effective()) == Texts{"SET a = 1"});
  state.ready(TransactionStatus::idle, false);
  CHECK(texts(state) == Texts{"SET a = 1"});

  state.completed(set("a", "2"), "SET");
  state.completed(set("b", "1"), "SET");
  state.ready(TransactionStatus::idle, true);  // the query string's implicit transaction was rolled back
  CHECK(texts(state) == Texts{"SET a = 1"});
  CHECK(texts(state.effective()) == Texts{"SET a = 1"});
}

TEST_CASE("a search_path with the temporary schema") {
  CarriedState state;
  CHECK_FALSE(state.creates_in_temporary());
  alone(state, set("search_path", "public"));
  CHECK_FALSE(state.creates_in_temporary());
  begin(state);
  within(state, set_local("search_path", "\"$user\", PG_TEMP"));
  CHECK(state.creates_in_temporary());
  alone(state, effect(StatementKind::commit), "COMMIT");
  CHECK_FALSE(state.creates_in_temporary());
  alone(state, set("application_name", "pg_temp"));
  CHECK_FALSE(state.creates_in_temporary());
}

TEST_CASE("a later change of the same setting replaces the earlier one") {
  CarriedState state;
  alone(state, set("b", "1"));
  alone(state, set("a", "1"));
  alone(state, set("b", "2"));
  CHECK(texts(state) == Texts{"SET a = 1", "SET b = 2"});
  // What did not change is the same object still, so that comparing it costs nothing.
  const pool::SettingsPtr before = state.settings();
  alone(state, effect(StatementKind::query), "SELECT");
  CHECK(state.settings() == before);
  CHECK(state.effective() == before);
}

TEST_CASE("RESET takes a setting away") {
  CarriedState state;
  alone(state, set("a", "1"));
  alone(state, set("b", "1"));
  alone(state, reset("a"));
  CHECK(texts(state) == Texts{"SET b = 1"});
  alone(state, reset("b"));
  CHECK(state.settings() == nullptr);  // as on a new connection
}

TEST_CASE("a transaction's settings come with COMMIT and go with ROLLBACK") {
  CarriedState state;
  begin(state);
  within(state, set("a", "1"));
  CHECK(texts(state).empty());
  SUBCASE("COMMIT") {
    alone(state, effect(StatementKind::commit), "COMMIT");
    CHECK(texts(state) == Texts{"SET a = 1"});
  }
  SUBCASE("ROLLBACK") {
    alone(state, effect(StatementKind::rollback), "ROLLBACK");
    CHECK(texts(state).empty());
  }
  SUBCASE("COMMIT of a failed transaction is answered ROLLBACK") {
    state.ready(TransactionStatus::failed, true);
    alone(state, effect(StatementKind::commit), "ROLLBACK");
    CHECK(texts(state).empty());
  }
  SUBCASE("PREPARE TRANSACTION commits settings") {
    alone(state, effect(StatementKind::two_phase), "PREPARE");
    CHECK(texts(state) == Texts{"SET a = 1"});
  }
  SUBCASE("the server says that the transaction is over, whatever was seen") {
    state.ready(TransactionStatus::idle, true);
    CHECK(texts(state).empty());
    alone(state, set("b", "1"));
    CHECK(texts(state) == Texts{"SET b = 1"});
  }
}

TEST_CASE("AND CHAIN goes on in a new transaction") {
  CarriedState state;
  begin(state);
  within(state, set("a", "1"));
  SUBCASE("COMMIT AND CHAIN") {
    Effect commit = effect(StatementKind::commit);
    commit.chain = true;
    within(state, commit, "COMMIT");
    CHECK(texts(state) == Texts{"SET a = 1"});
  }
  SUBCASE("ROLLBACK AND CHAIN") {
    Effect rollback = effect(StatementKind::rollback);
    rollback.chain = true;
    within(state, rollback, "ROLLBACK");
    CHECK(texts(state).empty());
  }
  const auto before = texts(state);
  within(state, set("b", "1"));
  CHECK(texts(state) == before);
  alone(state, effect(StatementKind::rollback), "ROLLBACK");
  CHECK(texts(state) == before);
}

TEST_CASE("savepoints") {
  CarriedState state;
  begin(state);
  within(state, set("a", "1"));
  within(state, effect(StatementKind::savepoint, "s"), "SAVEPOINT");
  within(state, set("a", "2"));
  within(state, effect(StatementKind::savepoint, "t"), "SAVEPOINT");
  within(state, set("b", "2"));
  const auto commit = [&] { alone(state, effect(StatementKind::commit), "COMMIT"); };
  SUBCASE("all of it") {
    commit();
    CHECK(texts(state) == Texts{"SET a = 2", "SET b = 2"});
  }
  SUBCASE("back to the inner one, which stays") {
    within(state, effect(StatementKind::rollback_to_savepoint, "t"), "ROLLBACK");
    within(state, set("c", "3"));
    within(state, effect(StatementKind::rollback_to_savepoint, "t"), "ROLLBACK");
    commit();
    CHECK(texts(state) == Texts{"SET a = 2"});
  }
  SUBCASE("back to the outer one takes the inner one along") {
    within(state, effect(StatementKind::rollback_to_savepoint, "s"), "ROLLBACK");
    commit();
    CHECK(texts(state) == Texts{"SET a = 1"});
  }
  SUBCASE("a released savepoint's settings belong to the level around it") {
    within(state, effect(StatementKind::release_savepoint, "t"), "RELEASE");
    within(state, effect(StatementKind::rollback_to_savepoint, "s"), "ROLLBACK");
    commit();
    CHECK(texts(state) == Texts{"SET a = 1"});
  }
  SUBCASE("releasing the outer one releases the inner one") {
    within(state, effect(StatementKind::release_savepoint, "s"), "RELEASE");
    commit();
    CHECK(texts(state) == Texts{"SET a = 2", "SET b = 2"});
  }
  SUBCASE("of two with one name, the newer one is meant") {
    within(state, effect(StatementKind::savepoint, "s"), "SAVEPOINT");
    within(state, set("c", "3"));
    within(state, effect(StatementKind::rollback_to_savepoint, "s"), "ROLLBACK");
    commit();
    CHECK(texts(state) == Texts{"SET a = 2", "SET b = 2"});
  }
}

TEST_CASE("RESET ALL forgets all settings but role and session authorization") {
  CarriedState state;
  alone(state, set("a", "1"));
  alone(state, set("session_authorization", "x"));
  alone(state, set("role", "y"));
  alone(state, reset_all());
  CHECK(texts(state) == Texts{"SET role = y", "SET session_authorization = x"});
  alone(state, set("b", "1"));
  CHECK(texts(state).front() == "SET b = 1");
  alone(state, reset_all());
  CHECK(texts(state) == Texts{"SET role = y", "SET session_authorization = x"});
}

TEST_CASE("SET SESSION AUTHORIZATION undoes SET ROLE") {
  CarriedState state;
  alone(state, set("role", "y"));
  alone(state, set("session_authorization", "x"));
  CHECK(texts(state) == Texts{"SET session_authorization = x"});
  alone(state, set("role", "z"));
  CHECK(texts(state) == Texts{"SET role = z", "SET session_authorization = x"});
  alone(state, reset("session_authorization"));
  CHECK(state.settings() == nullptr);
}

TEST_CASE("DISCARD ALL forgets everything") {
  CarriedState state;
  alone(state, set("role", "y"));
  alone(state, set("a", "1"));
  alone(state, discard_all(), "DISCARD");
  CHECK(state.settings() == nullptr);
  alone(state, effect(StatementKind::discard, "plans"), "DISCARD");
  alone(state, set("a", "1"));
  alone(state, effect(StatementKind::discard, "temp"), "DISCARD");
  CHECK(texts(state) == Texts{"SET a = 1"});
}

TEST_CASE("SET LOCAL counts in its transaction, and is gone with it") {
  CarriedState state;
  alone(state, set("a", "1"));
  begin(state);
  CHECK_FALSE(state.has_local());
  CHECK_FALSE(state.has_open_changes());
  within(state, set_local("a", "2"));
  CHECK(state.has_open_changes());
  within(state, set_local("b", "2"));
  within(state, effect(StatementKind::set_transaction));
  CHECK(state.has_local());
  CHECK(texts(state) == Texts{"SET a = 1"});
  CHECK(texts(state.effective()) == Texts{"SET a = 2", "SET b = 2"});
  SUBCASE("committed") { alone(state, effect(StatementKind::commit), "COMMIT"); }
  SUBCASE("rolled back") { alone(state, effect(StatementKind::rollback), "ROLLBACK"); }
  SUBCASE("over, whatever was seen") { state.ready(TransactionStatus::idle, false); }
  CHECK_FALSE(state.has_local());
  CHECK_FALSE(state.has_open_changes());
  CHECK(texts(state) == Texts{"SET a = 1"});
  CHECK(state.effective() == state.settings());
}

TEST_CASE("SET LOCAL and SET of one setting in one transaction") {
  CarriedState state;
  begin(state);
  SUBCASE("the local one later") {
    within(state, set("a", "1"));
    within(state, set_local("a", "2"));
    CHECK(texts(state.effective()) == Texts{"SET a = 2"});
  }
  SUBCASE("the local one earlier") {
    within(state, set_local("a", "2"));
    within(state, set("a", "1"));
    CHECK(texts(state.effective()) == Texts{"SET a = 1"});
  }
  SUBCASE("the local one in a savepoint that is released") {
    within(state, set("a", "1"));
    within(state, effect(StatementKind::savepoint, "s"), "SAVEPOINT");
    within(state, set_local("a", "2"));
    within(state, effect(StatementKind::release_savepoint, "s"), "RELEASE");
    CHECK(state.has_local());
    CHECK(texts(state.effective()) == Texts{"SET a = 2"});
  }
  SUBCASE("the local one in a savepoint that is rolled back") {
    within(state, set("a", "1"));
    within(state, effect(StatementKind::savepoint, "s"), "SAVEPOINT");
    within(state, set_local("a", "2"));
    within(state, effect(StatementKind::rollback_to_savepoint, "s"), "ROLLBACK");
    CHECK_FALSE(state.has_local());
    CHECK(texts(state.effective()) == Texts{"SET a = 1"});
  }
  alone(state, effect(StatementKind::commit), "COMMIT");
  CHECK(texts(state) == Texts{"SET a = 1"});
}

TEST_CASE("SET LOCAL outside of a transaction block ends with its query string") {
  CarriedState state;
  state.completed(set_local("a", "1"), "SET");
  CHECK(texts(state.effective()) == Texts{"SET a = 1"});
  state.ready(TransactionStatus::idle, false);
  CHECK(state.settings() == nullptr);
  CHECK(state.effective() == nullptr);
}

TEST_CASE("one statement may make several settings") {
  CarriedState state;
  Effect characteristics = effect(StatementKind::set_session_characteristics);
  characteristics.settings = {{"default_transaction_read_only", "R", false},
                              {"default_transaction_isolation", "I", false}};
  alone(state, characteristics);
  CHECK(texts(state) == Texts{"I", "R"});
}

TEST_CASE("whether transactions are SERIALIZABLE unless they say otherwise") {
  CarriedState state;
  CHECK_FALSE(state.is_serializable());
  const auto say = [&](std::string text) {
    Effect made = effect(StatementKind::set);
    made.settings = {{"default_transaction_isolation", std::move(text), false}};
    alone(state, made);
  };
  say("SET default_transaction_isolation = serializable");
  CHECK(state.is_serializable());
  say("SET default_transaction_isolation TO 'repeatable read'");
  CHECK_FALSE(state.is_serializable());
  say("SELECT pg_catalog.set_config('default_transaction_isolation','serializable',false)");
  CHECK(state.is_serializable());
  alone(state, set("default_transaction_read_only", "serializable"));
  say({});
  CHECK_FALSE(state.is_serializable());
}

TEST_CASE("RESET goes back to what the session began with") {
  CarriedState state;
  CHECK_FALSE(state.begins_with_settings());
  state.begin_with(settings_of({}));
  CHECK_FALSE(state.begins_with_settings());
  const pool::SettingsPtr beginning = settings_of({{"a", "0"}, {"b", "0"}});
  state.begin_with(beginning);
  CHECK(state.begins_with_settings());
  CHECK(state.settings() == beginning);
  CHECK(state.effective() == beginning);
  alone(state, set("a", "1"));
  alone(state, set("c", "1"));
  alone(state, set("role", "y"));
  CHECK(texts(state) == Texts{"SET a = 1", "SET b = 0", "SET c = 1", "SET role = y"});
  SUBCASE("one of them") {
    alone(state, reset("a"));
    CHECK(texts(state) == Texts{"SET a = 0", "SET b = 0", "SET c = 1", "SET role = y"});
    alone(state, reset("c"));
    alone(state, reset("role"));
    CHECK(state.settings() == beginning);  // the same object
  }
  SUBCASE("all of them") {
    alone(state, reset_all());
    CHECK(texts(state) == Texts{"SET a = 0", "SET b = 0", "SET role = y"});
    alone(state, discard_all(), "DISCARD");
    CHECK(state.settings() == beginning);
  }
  SUBCASE("in a transaction that is rolled back") {
    begin(state);
    within(state, reset_all());
    CHECK(texts(state.effective()) == Texts{"SET a = 0", "SET b = 0", "SET role = y"});
    alone(state, effect(StatementKind::rollback), "ROLLBACK");
    CHECK(texts(state) == Texts{"SET a = 1", "SET b = 0", "SET c = 1", "SET role = y"});
  }
}

// utils/misc/guc.c: what makes a setting with a dot known is not undone with the transaction.
TEST_CASE("a setting that nobody has defined stays known, with its default") {
  const std::string known = reset_text("x.a");
  CarriedState state;
  SUBCASE("RESET") {
    alone(state, set("x.a", "1"));
    alone(state, reset("x.a"));
  }
  SUBCASE("RESET ALL") {
    alone(state, set("x.a", "1"));
    alone(state, reset_all());
  }
  SUBCASE("DISCARD ALL") {
    alone(state, set("x.a", "1"));
    alone(state, discard_all(), "DISCARD");
  }
  SUBCASE("an error in its query string") {
    state.completed(set("x.a", "1"), "SET");
    state.ready(TransactionStatus::idle, true);
  }
  SUBCASE("ROLLBACK in its query string") {
    state.completed(set("x.a", "1"), "SET");
    alone(state, effect(StatementKind::rollback), "ROLLBACK");
  }
  SUBCASE("SET LOCAL outside of a transaction block") { alone(state, set_local("x.a", "1")); }
  SUBCASE("in a transaction block") {
    begin(state);
    SUBCASE("SET LOCAL") {
      within(state, set_local("x.a", "1"));
      alone(state, effect(StatementKind::commit), "COMMIT");
    }
    SUBCASE("ROLLBACK") {
      within(state, set("x.a", "1"));
      alone(state, effect(StatementKind::rollback), "ROLLBACK");
    }
    SUBCASE("COMMIT of a failed transaction") {
      within(state, set("x.a", "1"));
      alone(state, effect(StatementKind::commit), "ROLLBACK");
    }
    SUBCASE("ROLLBACK TO") {
      within(state, effect(StatementKind::savepoint, "s"), "SAVEPOINT");
      within(state, effect(StatementKind::savepoint, "t"), "SAVEPOINT");
      within(state, set("x.a", "1"));
      within(state, effect(StatementKind::rollback_to_savepoint, "s"), "ROLLBACK");
      CHECK(texts(state.effective()) == Texts{known});
      alone(state, effect(StatementKind::commit), "COMMIT");
    }
  }
  CHECK(texts(state) == Texts{known});
}

TEST_CASE("staying known changes no value") {
  CarriedState state;
  alone(state, set("x.a", "1"));
  begin(state);
  within(state, set("x.a", "2"));
  within(state, effect(StatementKind::savepoint, "s"), "SAVEPOINT");
  within(state, set("x.a", "3"));
  within(state, effect(StatementKind::rollback_to_savepoint, "s"), "ROLLBACK");
  CHECK(texts(state.effective()) == Texts{"SET x.a = 2"});
  SUBCASE("COMMIT") {
    alone(state, effect(StatementKind::commit), "COMMIT");
    CHECK(texts(state) == Texts{"SET x.a = 2"});
  }
  SUBCASE("ROLLBACK") {
    alone(state, effect(StatementKind::rollback), "ROLLBACK");
    CHECK(texts(state) == Texts{"SET x.a = 1"});
  }
}

TEST_CASE("SET SESSION AUTHORIZATION undoes a role of the beginning too, until it is reset") {
  CarriedState state;
  state.begin_with(settings_of({{"role", "r"}}));
  alone(state, set("session_authorization", "x"));
  CHECK(texts(state) == Texts{"SET session_authorization = x"});
  SUBCASE("RESET") { alone(state, reset("session_authorization")); }
  SUBCASE("DISCARD ALL") { alone(state, discard_all(), "DISCARD"); }
  CHECK(texts(state) == Texts{"SET role = r"});
}

TEST_CASE("what a server says about the settings replaces what was believed") {
  CarriedState state;
  state.begin_with(settings_of({{"b", "0"}, {"d", "0"}}));
  alone(state, set("a", "1"));
  alone(state, set("b", "1"));
  state.replace({{"b", "SET b = 7"}, {"c", "SET c = 7"}});
  // d has its value from the beginning, which the server does not list as one of the session.
  CHECK(texts(state) == Texts{"SET b = 7", "SET c = 7", "SET d = 0"});
  state.replace({});
  CHECK(state.settings() == state.beginning());

  CarriedState plain;
  alone(plain, set("a", "1"));
  plain.replace({});
  CHECK(plain.settings() == nullptr);
}

TEST_CASE("what settings make of a text") {
  CarriedState state;
  using Meaning = CarriedState::Meaning;
  const auto same = [](Meaning a, Meaning b) { return a.texts == b.texts && a.names == b.names; };
  CHECK(same(state.meaning(), Meaning{}));
  SUBCASE("names and texts count apart, and other settings not at all") {
    alone(state, set("application_name", "x"));
    alone(state, set("statement_timeout", "1"));
    CHECK(same(state.meaning(), Meaning{}));
    alone(state, set("search_path", "s"));
    const Meaning path = state.meaning();
    CHECK(path.texts == 0);
    CHECK(path.names != 0);
    alone(state, set("role", "y"));
    CHECK(state.meaning().texts == 0);
    CHECK(state.meaning().names != path.names);
    alone(state, set("datestyle", "german"));
    CHECK(state.meaning().texts != 0);
  }
  SUBCASE("equal settings, equal numbers, whatever the way") {
    CarriedState other;
    alone(state, set("datestyle", "german"));
    alone(state, set("intervalstyle", "iso_8601"));
    alone(other, set("intervalstyle", "iso_8601"));
    alone(other, set("datestyle", "iso"));
    CHECK_FALSE(same(state.meaning(), other.meaning()));
    alone(other, set("datestyle", "german"));
    CHECK(same(state.meaning(), other.meaning()));
    alone(other, reset("intervalstyle"));
    CHECK_FALSE(same(state.meaning(), other.meaning()));
  }
  SUBCASE("an exchange of two values is another meaning") {
    CarriedState other;
    alone(state, set("x.a", "1"));
    alone(state, set("x.b", "2"));
    alone(other, set("x.a", "2"));
    alone(other, set("x.b", "1"));
    CHECK_FALSE(same(state.meaning(), other.meaning()));
  }
  SUBCASE("those of the open transaction count, SET LOCAL too, and no longer than it") {
    begin(state);
    within(state, set("datestyle", "german"));
    const Meaning one = state.meaning();
    CHECK(one.texts != 0);
    within(state, effect(StatementKind::savepoint, "s"), "SAVEPOINT");
    within(state, set_local("search_path", "s"));
    CHECK(state.meaning().names != 0);
    within(state, effect(StatementKind::rollback_to_savepoint, "s"), "ROLLBACK");
    CHECK(same(state.meaning(), one));
    within(state, set_local("search_path", "s"));
    SUBCASE("committed") {
      alone(state, effect(StatementKind::commit), "COMMIT");
      CHECK(same(state.meaning(), one));
    }
    SUBCASE("rolled back") {
      alone(state, effect(StatementKind::rollback), "ROLLBACK");
      CHECK(same(state.meaning(), Meaning{}));
    }
  }
  SUBCASE("those of the exchange under way count until it has failed") {
    state.completed(set("datestyle", "german"), "SET");
    CHECK(state.meaning().texts != 0);
    state.ready(TransactionStatus::idle, true);
    CHECK(same(state.meaning(), Meaning{}));
  }
  SUBCASE("those of the beginning, and those that a server has told") {
    state.begin_with(settings_of({{"datestyle", "german"}}));
    const Meaning one = state.meaning();
    CHECK(one.texts != 0);
    state.replace({{"search_path", "SET search_path = s"}});
    CHECK(state.meaning().texts == one.texts);
    CHECK(state.meaning().names != 0);
  }
}

// tcop/postgres.c and access/transam/xact.c: the statements of one Query string are one implicit transaction; BEGIN in
// its midst makes it an ordinary one, with what came before in it; COMMIT and ROLLBACK end it with a warning.
TEST_CASE("statements before BEGIN in the same string belong to its transaction") {
  CarriedState state;
  state.completed(set("a", "1"), "SET");
  state.completed(effect(StatementKind::begin), "BEGIN");
  SUBCASE("rolled back within the string") {
    state.completed(effect(StatementKind::rollback), "ROLLBACK");
    state.ready(TransactionStatus::idle, false);
    CHECK(texts(state).empty());
  }
  SUBCASE("rolled back later") {
    state.ready(TransactionStatus::in_transaction, false);
    CHECK(texts(state).empty());
    alone(state, effect(StatementKind::rollback), "ROLLBACK");
    CHECK(texts(state).empty());
  }
  SUBCASE("committed, whatever fails afterwards") {
    state.completed(effect(StatementKind::commit), "COMMIT");
    state.completed(set("b", "1"), "SET");
    state.ready(TransactionStatus::idle, true);
    CHECK(texts(state) == Texts{"SET a = 1"});
  }
}

TEST_CASE("COMMIT and ROLLBACK end the implicit transaction of a query string") {
  CarriedState state;
  state.completed(set("a", "1"), "SET");
  SUBCASE("COMMIT") {
    state.completed(effect(StatementKind::commit), "COMMIT");
    state.ready(TransactionStatus::idle, true);
    CHECK(texts(state) == Texts{"SET a = 1"});
  }
  SUBCASE("ROLLBACK") {
    state.completed(effect(StatementKind::rollback), "ROLLBACK");
    state.completed(set("b", "1"), "SET");
    state.ready(TransactionStatus::idle, false);
    CHECK(texts(state) == Texts{"SET b = 1"});
  }
}

namespace {

using Values = std::map<std::string, std::string>;

// What a server does, in the plainest way: every transaction and savepoint keeps a copy of all values to go back to.
struct ModelServer {
  struct Both {
    Values now;      // what SHOW says
    Values lasting;  // what it will say when the transaction has been committed: without SET LOCAL
  };
  struct Level {
    std::string savepoint;
    Both before;
  };
  Values beginning;
  Both values;
  std::vector<Level> levels;
  std::set<std::string> known;  // settings with a dot that have ever been named
  Both before_string;           // of the query string that runs, or since the last COMMIT in it
  bool failed = false;

  void reset_all(Values& map) const {
    Values fresh = beginning;
    for (const char* identity : {"role", "session_authorization"}) {
      fresh.erase(identity);
      if (const auto found = map.find(identity); found != map.end()) fresh[identity] = found->second;
    }
    map = std::move(fresh);
  }
  // An empty value: RESET.
  void assign(Values& map, const std::string& name, const std::string& value) const {
    if (name == "session_authorization") {
      map.erase("role");
      if (value.empty() && beginning.contains("role")) map["role"] = beginning.at("role");
    }
    if (!value.empty()) {
      map[name] = value;
    } else if (const auto first = beginning.find(name); first != beginning.end()) {
      map[name] = first->second;
    } else {
      map.erase(name);
    }
  }
  void forget_local() { values.now = values.lasting; }
  [[nodiscard]] Values with_known(Values map) const {
    for (const std::string& name : known) map.emplace(name, "");
    return map;
  }
};

Values values_of(const pool::SettingsPtr& settings) {
  Values values;
  if (!settings) return values;
  for (const pool::SettingText& one : *settings) {
    if (one.text.starts_with("RESET")) {
      CHECK(one.text == reset_text(one.key));
      values[one.key];
      continue;
    }
    const auto equals = one.text.find(" = ");
    CHECK(one.text.substr(4, equals - 4) == one.key);
    values[one.key] = one.text.substr(equals + 3);
  }
  return values;
}

class RandomSession {
 public:
  explicit RandomSession(unsigned seed) : random_(seed) {
    if (pick(2) == 0) return;
    server_.beginning = {{"a", "begin"}, {"role", "begin"}, {"x.b", "begin"}};
    server_.values = {server_.beginning, server_.beginning};
    state_.begin_with(settings_of({{"a", "begin"}, {"role", "begin"}, {"x.b", "begin"}}));
  }

  void run(int strings) {
    for (int i = 0; i < strings; ++i) {
      query_string();
      INFO("after: " << trace_);
      if (!server_.failed) REQUIRE(values_of(state_.effective()) == server_.with_known(server_.values.now));
      if (server_.levels.empty()) REQUIRE(values_of(state_.settings()) == server_.with_known(server_.values.lasting));
      CarriedState fresh;
      fresh.begin_with(state_.effective());
      REQUIRE(fresh.meaning().texts == state_.meaning().texts);
      REQUIRE(fresh.meaning().names == state_.meaning().names);
    }
  }

 private:
  unsigned pick(unsigned count) { return std::uniform_int_distribution<unsigned>(0, count - 1)(random_); }

  // One Query with up to four statements, as PostgreSQL runs it.
  void query_string() {
    server_.before_string = server_.values;
    bool error = false;
    const unsigned count = 1 + pick(4);
    for (unsigned i = 0; i < count && !error; ++i) error = !statement(count == 1);
    if (error) {
      if (server_.levels.empty())
        server_.values = server_.before_string;
      else
        server_.failed = true;
    }
    if (server_.levels.empty()) server_.forget_local();
    trace_ += error ? " ERROR; " : "; ";
    const auto status = server_.levels.empty() ? TransactionStatus::idle
                        : server_.failed       ? TransactionStatus::failed
                                               : TransactionStatus::in_transaction;
    state_.ready(status, error);
  }

  bool statement(bool alone) {
    const unsigned what = pick(18);
    if (server_.failed && !(what >= 8 && what <= 11)) return false;
    switch (what) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 16: return assign();
      case 4:
        server_.reset_all(server_.values.now);
        server_.reset_all(server_.values.lasting);
        return completed(::reset_all(), "RESET", "RESET ALL");
      case 5:
        if (!alone || !server_.levels.empty()) return false;
        server_.values = {server_.beginning, server_.beginning};
        return completed(::discard_all(), "DISCARD ALL", "DISCARD ALL");
      case 6:
      case 7:
        if (server_.levels.empty()) server_.levels.push_back({"", server_.before_string});
        return completed(effect(StatementKind::begin), "BEGIN", "BEGIN");
      case 8: return end(true);
      case 9: return end(false);
      case 10:
      case 11: return roll_back_to();
      case 12:
      case 13:
        if (server_.levels.empty()) return false;
        server_.levels.push_back({name(), server_.values});
        return completed(effect(StatementKind::savepoint, server_.levels.back().savepoint), "SAVEPOINT", "SAVEPOINT");
      case 14: return release();
      default: return false;  // an error
    }
  }

  bool assign() {
    static const std::vector<std::string> kNames{"a", "b", "x.a", "x.b", "role", "session_authorization"};
    const std::string& setting = kNames[pick(static_cast<unsigned>(kNames.size()))];
    const std::string value = pick(4) == 0 ? std::string() : std::to_string(++value_);
    const bool local = pick(3) == 0;
    server_.assign(server_.values.now, setting, value);
    if (is_custom(setting)) server_.known.insert(setting);
    if (!local) server_.assign(server_.values.lasting, setting, value);
    return completed(set(setting, value, local ? Lasts::transaction : Lasts::session), "SET",
                     setting + "=" + value + (local ? " (local)" : ""));
  }

  bool end(bool commit) {
    const bool keeps = commit && !server_.failed;
    const bool in_block = !server_.levels.empty();
    const bool chain = in_block && pick(4) == 0;
    if (!keeps) server_.values = in_block ? server_.levels.front().before : server_.before_string;
    server_.forget_local();
    server_.levels.clear();
    server_.failed = false;
    server_.before_string = server_.values;
    if (chain) server_.levels.push_back({"", server_.values});
    Effect made = effect(commit ? StatementKind::commit : StatementKind::rollback);
    made.chain = chain;
    return completed(made, keeps ? "COMMIT" : "ROLLBACK",
                     std::string(commit ? "COMMIT" : "ROLLBACK") + (chain ? " AND CHAIN" : ""));
  }

  bool roll_back_to() {
    const std::string to = name();
    for (std::size_t i = server_.levels.size(); i-- > 1;) {
      if (server_.levels[i].savepoint != to) continue;
      server_.values = server_.levels[i].before;
      server_.levels.resize(i + 1);
      server_.failed = false;
      return completed(effect(StatementKind::rollback_to_savepoint, to), "ROLLBACK", "ROLLBACK TO");
    }
    return false;
  }

  bool release() {
    const std::string which = name();
    for (std::size_t i = server_.levels.size(); i-- > 1;) {
      if (server_.levels[i].savepoint != which) continue;
      server_.levels.resize(i);
      return completed(effect(StatementKind::release_savepoint, which), "RELEASE", "RELEASE");
    }
    return false;
  }

  bool completed(const Effect& what, std::string_view tag, const std::string& shown) {
    trace_ += " " + shown + (what.settings.empty() && !what.name.empty() ? " " + what.name : "");
    state_.completed(what, tag);
    return true;
  }

  std::string name() { return std::string(1, static_cast<char>('s' + pick(3))); }

  std::mt19937 random_;
  CarriedState state_;
  ModelServer server_;
  std::string trace_;
  int value_ = 0;
};

}  // namespace

TEST_CASE("what is carried equals what a server has, over random sessions") {
  constexpr unsigned kFirstSeed = 20250;
  MESSAGE("seeds from " << kFirstSeed);
  for (unsigned seed = kFirstSeed; seed < kFirstSeed + 400; ++seed) {
    CAPTURE(seed);
    RandomSession(seed).run(30);
  }
}
