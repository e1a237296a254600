// Settings under transactions and savepoints, compared with a naive model that keeps a whole copy per level.
#include "session/carried_state.h"

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "doctest/doctest.h"

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

Effect set(const std::string& name, const std::string& value) {
  Effect made = effect(StatementKind::set, name);
  made.text = "SET " + name + " = " + value;
  return made;
}

Effect reset_all() {
  Effect made = effect(StatementKind::set);
  made.all = true;
  made.text = "RESET ALL";
  return made;
}

Effect discard_all() {
  Effect made = effect(StatementKind::discard, "all");
  made.all = true;
  return made;
}

// The texts that would be replayed on a fresh connection, in order.
std::vector<std::string> texts(const CarriedState& state) {
  std::vector<std::string> out;
  for (const SettingChange& change : state.settings()) out.push_back(change.text);
  return out;
}

using Texts = std::vector<std::string>;

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
  CHECK(state.newest() == 0);
  state.completed(set("a", "1"), "SET");
  CHECK(state.settings().empty());
  state.ready(TransactionStatus::idle, false);
  CHECK(texts(state) == Texts{"SET a = 1"});
  CHECK(state.newest() == 1);

  state.completed(set("a", "2"), "SET");
  state.completed(set("b", "1"), "SET");
  state.ready(TransactionStatus::idle, true);  // the query string's implicit transaction was rolled back
  CHECK(texts(state) == Texts{"SET a = 1"});
  CHECK(state.newest() == 1);
}

TEST_CASE("a later change of the same setting replaces the earlier one and is newer than all") {
  CarriedState state;
  alone(state, set("a", "1"));
  alone(state, set("b", "1"));
  alone(state, set("a", "2"));
  CHECK(texts(state) == Texts{"SET b = 1", "SET a = 2"});
  REQUIRE(state.settings().size() == 2);
  CHECK(state.settings()[0].sequence == 2);
  CHECK(state.settings()[1].sequence == 3);
  CHECK(state.newest() == 3);
}

TEST_CASE("a transaction's settings come with COMMIT and go with ROLLBACK") {
  CarriedState state;
  begin(state);
  within(state, set("a", "1"));
  CHECK(state.settings().empty());
  SUBCASE("COMMIT") {
    alone(state, effect(StatementKind::commit), "COMMIT");
    CHECK(texts(state) == Texts{"SET a = 1"});
  }
  SUBCASE("ROLLBACK") {
    alone(state, effect(StatementKind::rollback), "ROLLBACK");
    CHECK(state.settings().empty());
  }
  SUBCASE("COMMIT of a failed transaction is answered ROLLBACK") {
    state.ready(TransactionStatus::failed, true);
    alone(state, effect(StatementKind::commit), "ROLLBACK");
    CHECK(state.settings().empty());
  }
  SUBCASE("PREPARE TRANSACTION commits settings") {
    alone(state, effect(StatementKind::two_phase), "PREPARE");
    CHECK(texts(state) == Texts{"SET a = 1"});
  }
  SUBCASE("the server says that the transaction is over, whatever was seen") {
    state.ready(TransactionStatus::idle, true);
    CHECK(state.settings().empty());
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
    CHECK(state.settings().empty());
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
  CHECK(texts(state) == Texts{"SET session_authorization = x", "SET role = y", "RESET ALL"});
  alone(state, set("b", "1"));
  CHECK(texts(state).back() == "SET b = 1");
  alone(state, reset_all());
  CHECK(texts(state) == Texts{"SET session_authorization = x", "SET role = y", "RESET ALL"});
}

TEST_CASE("SET SESSION AUTHORIZATION undoes SET ROLE") {
  CarriedState state;
  alone(state, set("role", "y"));
  alone(state, set("session_authorization", "x"));
  CHECK(texts(state) == Texts{"SET session_authorization = x"});
  alone(state, set("role", "z"));
  CHECK(texts(state) == Texts{"SET session_authorization = x", "SET role = z"});
}

TEST_CASE("DISCARD ALL forgets everything and is itself a change") {
  CarriedState state;
  alone(state, set("role", "y"));
  alone(state, effect(StatementKind::listen, "c"), "LISTEN");
  state.mark_unknown();
  CHECK(state.is_bound_to_server());
  alone(state, discard_all(), "DISCARD");
  CHECK(texts(state) == Texts{"DISCARD ALL"});
  CHECK(state.newest() == 2);
  CHECK_FALSE(state.is_bound_to_server());
  CHECK_FALSE(state.has_unknown());
}

TEST_CASE("SET LOCAL and SET TRANSACTION are not carried") {
  CarriedState state;
  begin(state);
  within(state, effect(StatementKind::set_local, "a"));
  within(state, effect(StatementKind::set_transaction));
  alone(state, effect(StatementKind::commit), "COMMIT");
  CHECK(state.settings().empty());
}

TEST_CASE("SET SESSION CHARACTERISTICS is carried") {
  CarriedState state;
  Effect characteristics = effect(StatementKind::set_session_characteristics);
  characteristics.text = "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY";
  alone(state, characteristics);
  CHECK(texts(state) == Texts{characteristics.text});
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
    CHECK(state.settings().empty());
  }
  SUBCASE("rolled back later") {
    state.ready(TransactionStatus::in_transaction, false);
    CHECK(state.settings().empty());
    alone(state, effect(StatementKind::rollback), "ROLLBACK");
    CHECK(state.settings().empty());
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

TEST_CASE("what cannot be carried binds the session to its server") {
  CarriedState state;
  CHECK_FALSE(state.is_bound_to_server());
  SUBCASE("temporary objects") {
    Effect made = effect(StatementKind::ddl);
    made.creates_temporary = true;
    alone(state, made, "CREATE");
    CHECK(state.has_temporary());
    CHECK(state.is_bound_to_server());
    alone(state, effect(StatementKind::discard, "temp"), "DISCARD");
    CHECK_FALSE(state.is_bound_to_server());
  }
  SUBCASE("LISTEN") {
    alone(state, effect(StatementKind::listen, "c"), "LISTEN");
    CHECK(state.is_bound_to_server());
    alone(state, effect(StatementKind::unlisten, "d"), "UNLISTEN");
    CHECK(state.is_bound_to_server());
    alone(state, effect(StatementKind::unlisten), "UNLISTEN");
    CHECK_FALSE(state.is_bound_to_server());
  }
  SUBCASE("WITH HOLD cursors, locks, LOAD, unknown effects") {
    Effect hold = effect(StatementKind::declare_cursor);
    hold.with_hold = true;
    Effect lock = effect(StatementKind::query);
    lock.takes_session_lock = true;
    Effect unknown = effect(StatementKind::call);
    unknown.unknown_state = true;
    for (const Effect& one : {hold, lock, unknown, effect(StatementKind::load)}) {
      CarriedState fresh;
      alone(fresh, one, "X");
      CHECK(fresh.is_bound_to_server());
      CHECK(fresh.has_unknown() == (one.unknown_state || one.kind == StatementKind::load));
    }
  }
}

namespace {

using Values = std::map<std::string, std::string>;

// What a server does, in the plainest way: every transaction and savepoint keeps a copy of all values to go back to.
struct ModelServer {
  struct Level {
    std::string savepoint;
    Values before;
  };
  Values values;
  std::vector<Level> levels;
  bool implicit = false;  // within a query string, outside of a block
  Values before_string;
  bool failed = false;

  void reset_all() {
    std::erase_if(values, [](const auto& one) { return one.first != "role" && one.first != "session_authorization"; });
  }
  void assign(const std::string& name, const std::string& value) {
    if (name == "session_authorization") values.erase("role");
    values[name] = value;
  }
};

// Plays what the session would replay on a fresh connection.
Values replay(const std::vector<SettingChange>& changes) {
  ModelServer fresh;
  std::uint64_t last = 0;
  for (const SettingChange& change : changes) {
    CHECK(change.sequence > last);
    last = change.sequence;
    if (change.text == "RESET ALL") {
      fresh.reset_all();
    } else if (change.text == "DISCARD ALL") {
      fresh.values.clear();
    } else {
      const auto equals = change.text.find(" = ");
      fresh.assign(change.text.substr(4, equals - 4), change.text.substr(equals + 3));
    }
  }
  return fresh.values;
}

class RandomSession {
 public:
  explicit RandomSession(unsigned seed) : random_(seed) {}

  void run(int strings) {
    for (int i = 0; i < strings; ++i) {
      query_string();
      if (!server_.levels.empty()) continue;
      INFO("after: " << trace_);
      REQUIRE(replay(state_.settings()) == server_.values);
      CHECK((state_.settings().empty() || state_.settings().back().sequence <= state_.newest()));
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
    trace_ += error ? " ERROR; " : "; ";
    const auto status = server_.levels.empty() ? TransactionStatus::idle
                        : server_.failed       ? TransactionStatus::failed
                                               : TransactionStatus::in_transaction;
    state_.ready(status, error);
  }

  bool statement(bool alone) {
    const unsigned what = pick(16);
    if (server_.failed && !(what >= 8 && what <= 11)) return false;
    switch (what) {
      case 0:
      case 1:
      case 2:
      case 3: return assign();
      case 4: {
        server_.reset_all();
        return completed(::reset_all(), "SET", "RESET ALL");
      }
      case 5:
        if (!alone || !server_.levels.empty()) return false;
        server_.values.clear();
        return completed(::discard_all(), "DISCARD", "DISCARD ALL");
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
    static const std::vector<std::string> kNames{"a", "b", "c", "role", "session_authorization"};
    const std::string& setting = kNames[pick(static_cast<unsigned>(kNames.size()))];
    const std::string value = std::to_string(++value_);
    server_.assign(setting, value);
    return completed(set(setting, value), "SET", setting + "=" + value);
  }

  bool end(bool commit) {
    const bool keeps = commit && !server_.failed;
    const bool in_block = !server_.levels.empty();
    const bool chain = in_block && pick(4) == 0;
    if (!keeps) server_.values = in_block ? server_.levels.front().before : server_.before_string;
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
    trace_ += " " + shown + (what.kind == StatementKind::set || what.name.empty() ? "" : " " + what.name);
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
