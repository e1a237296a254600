// One server connection from its opening to its end, against a small server on the same loop.
#include "pool/server_connection.h"

#include <memory>
#include <string>

#include "doctest/doctest.h"
#include "unit/pool/small_server.h"

namespace {

using namespace pgweir;
using namespace pgweir::pool;
using namespace std::chrono_literals;
using test::run_until;
using State = ServerConnection::State;
namespace sqlstate = base::sqlstate;

struct User final : ServerUser {
  std::size_t on_server_data(ServerConnection&, std::string_view bytes) override {
    received.append(bytes);
    return bytes.size();
  }
  void on_server_end(ServerConnection&, std::string_view) override { ++ends; }
  void on_server_drained(ServerConnection&) override {}
  std::string received;
  int ends = 0;
};

struct Fixture {
  net::Loop loop;
  test::SmallServer server{loop};
  User user;
  int freed = 0;
  int opened = 0;
  base::Result<bool> result = true;
  std::unique_ptr<ServerConnection> connection = make();

  std::unique_ptr<ServerConnection> make() {
    ServerIdentity identity;
    identity.endpoint = server.endpoint;
    identity.startup = StartupClass({{"application_name", "test"}}, "");
    return std::make_unique<ServerConnection>(loop, std::move(identity), [this](ServerConnection&) { ++freed; });
  }
  void open(base::Duration timeout = 10s) {
    connection->open("alice", "db", {}, timeout, [this](ServerConnection&, base::Result<bool> how) {
      ++opened;
      result = std::move(how);
    });
    run_until(loop, [&] { return opened > 0; });
    test::run_passes(loop);
    CHECK(opened == 1);
  }
  void lease() {
    open();
    REQUIRE(result.has_value());
    connection->lease_to(user);
  }
  test::SmallServer::Client& peer() { return *server.clients.front(); }
};

// What a session may have left in a connection's books.
CarriedOnServer books() {
  CarriedOnServer made;
  made.settings = std::make_shared<const std::vector<SettingText>>(
      std::vector<SettingText>{{"work_mem", "SELECT pg_catalog.set_config('work_mem','1MB',false)"}});
  made.prepared.add({"a", {1, 2}, 100, {}});
  made.prepared.unnamed = StatementKey{3, 4};
  return made;
}

}  // namespace

TEST_CASE("opening says who, where and how, and learns who the server is") {
  Fixture f;
  f.open();
  REQUIRE(f.result.has_value());
  CHECK(f.connection->state() == State::idle);
  CHECK(f.peer().startup.user == "alice");
  CHECK(f.peer().startup.database == "db");
  CHECK(f.peer().startup.parameters == std::vector<std::pair<std::string, std::string>>{{"application_name", "test"}});
  CHECK(f.connection->identity().process_id == 1);
  CHECK(f.connection->identity().secret == "abcd");
  CHECK(f.connection->identity().parameters.front().first == "TimeZone");
  CHECK(f.freed == 0);
}

TEST_CASE("why it could not be opened") {
  Fixture f;
  base::Duration timeout = 10s;
  base::Sqlstate expected = sqlstate::connection_failure;
  SUBCASE("the server refuses the login") {
    f.server.login_error = {sqlstate::invalid_catalog_name, "no such database"};
    expected = sqlstate::invalid_catalog_name;
  }
  SUBCASE("the server does not answer") {
    f.server.answers_logins = false;
    timeout = 20ms;
  }
  SUBCASE("nobody listens") { f.server.listener.reset(); }
  f.open(timeout);
  REQUIRE_FALSE(f.result.has_value());
  CHECK(f.result.error().sqlstate == expected);
  CHECK_FALSE(f.result.error().message.empty());
  CHECK(f.connection->state() == State::dead);
  CHECK(f.freed == 0);  // the opening was told, and that is enough
}

TEST_CASE("while it is leased, everything is the user's") {
  Fixture f;
  f.lease();
  CHECK(f.connection->state() == State::leased);
  wire::encode_query(f.connection->connection().output(), "SELECT 1");
  run_until(f.loop, [&] { return !f.user.received.empty(); });
  CHECK(f.peer().queries == std::vector<std::string>{"SELECT 1"});
  const auto all = test::messages_in(f.user.received);
  REQUIRE(all.size() == 2);
  CHECK(all[1] == test::Message{'Z', "I"});
  f.peer().connection.close();
  run_until(f.loop, [&] { return f.user.ends > 0; });
  CHECK(f.connection->state() == State::leased);  // until the user has given it up
  f.connection->kill();
  CHECK(f.connection->state() == State::dead);
  CHECK(f.freed == 1);
  CHECK(f.user.ends == 1);
}

TEST_CASE("a reset leaves nothing of the user behind") {
  Fixture f;
  f.lease();
  f.connection->carried = books();
  std::vector<std::string> expected{"DISCARD ALL"};
  SUBCASE("outside a transaction") {}
  SUBCASE("inside one") {
    f.connection->transaction = wire::TransactionStatus::in_transaction;
    expected.insert(expected.begin(), "ROLLBACK");
  }
  f.connection->reset(10s);
  CHECK(f.connection->state() == State::resetting);
  run_until(f.loop, [&] { return f.freed > 0; });
  CHECK(f.connection->state() == State::idle);
  CHECK(f.peer().queries == expected);
  CHECK(f.connection->carried.settings == nullptr);
  CHECK(f.connection->carried.prepared.size() == 0);
  CHECK(f.connection->carried.prepared.bytes() == 0);
  CHECK_FALSE(f.connection->carried.prepared.unnamed.has_value());
  CHECK(f.connection->transaction == wire::TransactionStatus::idle);
  CHECK(f.user.received.empty());
  f.connection->lease_to(f.user);
  CHECK(f.connection->state() == State::leased);
}

TEST_CASE("a reset that does not work ends the connection") {
  Fixture f;
  f.lease();
  base::Duration timeout = 10s;
  SUBCASE("no answer") {
    f.server.answers_queries = false;
    timeout = 10ms;
  }
  SUBCASE("an open transaction") { f.server.status = 'T'; }
  SUBCASE("an error") {
    f.server.answers_queries = false;
    base::ByteQueue out;
    wire::encode_error(out, wire::Severity::error, {sqlstate::internal_error, "no"});
    f.peer().send(out.view());
  }
  SUBCASE("an end without an answer") {
    f.server.answers_queries = false;
    base::ByteQueue out;
    wire::encode_ready_for_query(out, wire::TransactionStatus::idle);
    f.peer().send(out.view());
  }
  SUBCASE("the server goes away") { f.peer().connection.close(); }
  SUBCASE("not the protocol at all") { f.peer().send(std::string(5, '\xff')); }
  f.connection->reset(timeout);
  run_until(f.loop, [&] { return f.freed > 0; });
  CHECK(f.connection->state() == State::dead);
  CHECK(f.freed == 1);
}

TEST_CASE("an idle connection learns parameters, and dies of what it did not ask for") {
  Fixture f;
  f.open();
  base::ByteQueue out;
  wire::encode_parameter_status(out, "TimeZone", "CET");
  wire::encode_error(out, wire::Severity::notice, {sqlstate::successful_completion, "hello"});
  for (const char& byte : out.view()) {  // in pieces of one byte
    f.peer().send({&byte, 1});
    test::run_passes(f.loop, 2);
  }
  run_until(f.loop, [&] { return f.connection->identity().parameters.front().second == "CET"; });
  CHECK(f.connection->state() == State::idle);
  SUBCASE("FATAL") {
    out.clear();
    wire::encode_error(out, wire::Severity::fatal, {sqlstate::admin_shutdown, "bye"});
    f.peer().send(out.view());
  }
  SUBCASE("a row from nowhere") { f.peer().send(std::string("D\0\0\0\4", 5)); }
  SUBCASE("the end") { f.peer().connection.close(); }
  run_until(f.loop, [&] { return f.freed > 0; });
  CHECK(f.connection->state() == State::dead);
  CHECK(f.freed == 1);
}

TEST_CASE("parameters are recorded, and their hash is that of the whole set") {
  using Parameters = std::vector<std::pair<std::string, std::string>>;
  Fixture f;
  const ServerIdentity& identity = f.connection->identity();
  CHECK(identity.parameters_hash == hash_of({}));
  for (const auto& [name, value] : Parameters{{"a", "1"}, {"b", "2"}, {"b", "2"}, {"a", "2"}, {"b", ""}}) {
    f.connection->set_parameter(name, value);
    CHECK(identity.parameters_hash == hash_of(identity.parameters));
  }
  CHECK(identity.parameters == Parameters{{"a", "2"}, {"b", ""}});
  const auto before = identity.parameters_hash;
  f.connection->set_parameter("a", "1");
  CHECK(identity.parameters_hash != before);
  f.connection->set_parameter("a", "2");
  CHECK(identity.parameters_hash == before);

  CHECK(hash_of({{"a", "1"}, {"b", "2"}}) == hash_of({{"b", "2"}, {"a", "1"}}));
  CHECK(hash_of({{"a", "1"}, {"b", "2"}}) != hash_of({{"a", "2"}, {"b", "1"}}));
  CHECK(hash_of({{"a", "b"}}) != hash_of({{"b", "a"}}));
  CHECK(hash_of({{"a", "1"}}) != hash_of({{"a", "1"}, {"b", ""}}));
}

TEST_CASE("released, a connection is idle at once and keeps what it has been told") {
  Fixture f;
  f.lease();
  f.connection->carried = books();
  const SettingsPtr settings = f.connection->carried.settings;
  f.connection->reply_left = 7;  // of a message that the last user has seen to
  f.connection->connection().pause_reading();
  f.connection->release();
  CHECK(f.connection->state() == State::idle);
  CHECK(f.connection->idle_since >= f.connection->identity().opened);
  CHECK(f.freed == 0);  // whoever releases it knows that it is free
  test::run_passes(f.loop);
  CHECK(f.peer().queries.empty());
  User next;
  f.connection->lease_to(next);
  CHECK(f.connection->carried.settings == settings);
  CHECK(f.connection->carried.prepared.find("a") != nullptr);
  CHECK(f.connection->reply_left == 0);
  wire::encode_query(f.connection->connection().output(), "SELECT 1");
  run_until(f.loop, [&] { return !next.received.empty(); });  // it reads again
  CHECK(f.user.received.empty());
}

TEST_CASE("a lease that is passed on goes on with the other user") {
  Fixture f;
  f.lease();
  User next;
  f.connection->pass_to(next);
  CHECK(f.connection->state() == State::leased);
  wire::encode_query(f.connection->connection().output(), "SELECT 1");
  run_until(f.loop, [&] { return !next.received.empty(); });
  f.peer().connection.close();
  run_until(f.loop, [&] { return next.ends > 0; });
  CHECK(f.user.received.empty());
  CHECK(f.user.ends == 0);
  f.connection->kill();
}

TEST_CASE("given away on one loop, adopted on another") {
  Fixture f;
  f.open();
  f.connection->carried = books();
  CarriedOnServer taken = std::move(f.connection->carried);
  net::DetachedSocket socket = f.connection->give_away();
  CHECK(f.connection->state() == State::dead);
  net::Loop other;
  ServerConnection moved(other, f.connection->identity(), [](ServerConnection&) {});
  moved.adopt(std::move(socket), std::move(taken));
  CHECK(moved.state() == State::idle);
  REQUIRE(moved.carried.settings);
  CHECK(moved.carried.settings->front().key == "work_mem");
  CHECK(moved.carried.prepared.find("a") != nullptr);
  CHECK(moved.carried.prepared.unnamed.has_value());
  CHECK(moved.identity().process_id == 1);
  User user;
  moved.lease_to(user);
  wire::encode_query(moved.connection().output(), "SELECT 2");
  test::run_passes(other);
  run_until(f.loop, [&] { return !f.peer().queries.empty(); });
  run_until(other, [&] { return !user.received.empty(); });
  moved.kill();
}
