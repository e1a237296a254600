// Leases, limits, the queue, and the trade between two workers, against a small server on a loop that the test drives.
#include "pool/worker_pools.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "doctest/doctest.h"
#include "net/watcher.h"
#include "unit/pool/small_server.h"

namespace {

using namespace pgweir;
using namespace pgweir::pool;
using namespace std::chrono_literals;
using test::run_passes;
using test::run_until;
namespace sqlstate = base::sqlstate;

const StartupClass kPlain;
const StartupClass kOther({{"application_name", "other"}}, "");
const SettingsPtr kSettings =
    std::make_shared<const std::vector<SettingText>>(std::vector<SettingText>{{"a", "SET a = 1"}});

struct User final : ServerUser {
  std::size_t on_server_data(ServerConnection&, std::string_view bytes) override { return bytes.size(); }
  void on_server_end(ServerConnection&, std::string_view) override { ++ends; }
  void on_server_drained(ServerConnection&) override {}
  int ends = 0;
};

// Several workers on one loop: what they post to one another waits until the test delivers it.
struct Fixture final : PoolEnvironment {
  explicit Fixture(std::size_t workers = 1) {
    for (std::size_t i = 0; i < workers; ++i)
      pools.push_back(std::make_unique<WorkerPools>(loop, base::WorkerId{static_cast<std::uint16_t>(i)}, directory,
                                                    static_cast<PoolEnvironment&>(*this)));
  }
  ~Fixture() {
    for (auto& one : pools) one->shut_down();
    run_passes(loop);
    pools.clear();
  }

  PoolLimits limits(const PoolKey&) const override { return current; }
  bool is_usable(base::NodeId) const override { return usable; }
  net::Endpoint endpoint(base::NodeId) const override { return server.endpoint; }
  [[nodiscard]] ServerTls tls(base::NodeId) const override { return {}; }
  std::string node_name(base::NodeId) const override { return "pg1"; }
  ServerCredentials credentials(const PoolKey&) const override { return {}; }
  void credentials_refused(const PoolKey&) override {}
  std::size_t workers() const override { return pools.size(); }
  void post(base::WorkerId worker, std::function<void(WorkerPools&)> task) override {
    posted.emplace_back(worker.value, std::move(task));
  }
  void suspect(base::NodeId) override { ++suspected; }

  void deliver() {
    while (!posted.empty()) {
      auto [worker, task] = std::move(posted.front());
      posted.pop_front();
      task(*pools[worker]);
    }
  }
  void until(const std::function<bool()>& done) {
    run_until(loop, [&] {
      deliver();
      return done();
    });
  }
  void reload() {
    for (auto& one : pools) one->reconfigure();
  }
  void settle() {
    int left = 10;
    until([&] { return --left == 0; });
  }

  net::Loop loop;
  test::SmallServer server{loop};
  PoolDirectory directory;
  PoolLimits current{.size = 2, .connect_timeout = 10s, .reset_timeout = 10s};
  std::deque<std::pair<std::size_t, std::function<void(WorkerPools&)>>> posted;
  int suspected = 0;
  bool usable = true;
  std::vector<std::unique_ptr<WorkerPools>> pools;
  const PoolKey key{base::NodeId{0}, "db", "alice"};
  PoolState& state = directory.find(key);
};

// A session, as far as the pool sees it.
struct Session {
  Session(Fixture& f, std::size_t worker = 0, const StartupClass& startup = kPlain)
      : fixture(f), pools(*f.pools[worker]) {
    ticket = pools.acquire(f.key, startup, [this](base::Result<Lease> result) {
      ++calls;
      if (!result) {
        error = result.error();
        return;
      }
      lease = std::move(*result);
      lease->lease_to(user);
    });
  }
  ~Session() { pools.cancel(ticket); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  Session& wait() {
    fixture.until([&] { return calls > 0; });
    return *this;
  }
  [[nodiscard]] std::uint32_t server() const { return lease->identity().process_id; }

  Fixture& fixture;
  WorkerPools& pools;
  User user;
  Lease lease;
  base::Error error;
  int calls = 0;
  WorkerPools::Ticket ticket = 0;
};

}  // namespace

TEST_CASE("a connection that was given back is reset and used again") {
  Fixture f;
  Session first(f);
  CHECK(first.calls == 0);  // later, never from within
  first.wait();
  REQUIRE(first.lease);
  CHECK(f.state.open() == 1);
  CHECK(f.pools[0]->counts().leased == 1);
  CHECK_FALSE(f.pools[0]->try_acquire(f.key, kPlain));
  first.lease.give_back();
  CHECK_FALSE(first.lease);
  CHECK_FALSE(f.pools[0]->try_acquire(f.key, kPlain));  // not before it is clean
  f.until([&] { return f.pools[0]->counts().idle == 1; });
  CHECK(f.server.clients[0]->queries == std::vector<std::string>{"DISCARD ALL"});
  CHECK_FALSE(f.pools[0]->try_acquire(f.key, kOther));
  Lease again = f.pools[0]->try_acquire(f.key, kPlain);
  REQUIRE(again);
  CHECK(again->identity().process_id == 1);
  CHECK(f.server.clients.size() == 1);
  User user;
  again->lease_to(user);
}

TEST_CASE("a lease that is not given back closes its connection") {
  Fixture f;
  {
    Session session(f);
    session.wait();
    REQUIRE(session.lease);
  }
  CHECK(f.state.open() == 0);
  f.until([&] { return f.server.open() == 0; });
  CHECK(f.server.clients[0]->queries.empty());
  CHECK(f.pools[0]->counts().leased == 0);
}

TEST_CASE("a lease can be moved, and its old place is empty") {
  Fixture f;
  Session one(f), two(f);
  one.wait();
  two.wait();
  const auto second = two.server();
  one.lease = std::move(two.lease);  // closes the first
  CHECK_FALSE(two.lease);
  CHECK(one.server() == second);
  CHECK(f.state.open() == 1);
}

TEST_CASE("at the limit, requests wait and are served first come, first served") {
  Fixture f;
  Session one(f), two(f);
  one.wait();
  two.wait();
  CHECK_FALSE(f.pools[0]->acquire_now(f.key, kPlain, [](auto) { FAIL("it was served"); }).has_value());
  CHECK(f.pools[0]->counts().waiting == 0);
  Session third(f), fourth(f), fifth(f);
  f.settle();
  CHECK(f.pools[0]->counts().waiting == 3);
  CHECK(f.server.clients.size() == 2);
  one.lease.give_back();
  third.wait();
  CHECK(third.server() == 1);  // reset, and handed on
  CHECK(fourth.calls == 0);
  SUBCASE("a connection that is closed makes room for a new one") {
    two.lease.close();
    fourth.wait();
    CHECK(fourth.server() == 3);
    CHECK(f.state.open() == 2);
  }
  SUBCASE("who has left the queue is passed over") {
    f.pools[0]->cancel(fourth.ticket);
    two.lease.give_back();
    fifth.wait();
    CHECK(fifth.server() == 2);
    CHECK(fourth.calls == 0);
  }
  SUBCASE("who leaves when something is on its way does not take it along") {
    two.lease.close();  // a permit for the fourth is under way
    f.pools[0]->cancel(fourth.ticket);
    fifth.wait();
    CHECK(fourth.calls == 0);
    CHECK(f.state.open() == 2);
  }
}

TEST_CASE("nobody overtakes the queue") {
  Fixture f;
  f.current.size = 1;
  Session one(f);
  one.wait();
  Session second(f);
  f.settle();
  one.lease.give_back();
  CHECK_FALSE(f.pools[0]->try_acquire(f.key, kPlain));
  Session third(f);
  second.wait();
  CHECK(third.calls == 0);
  second.lease.give_back();
  third.wait();
  CHECK(third.server() == 1);
}

TEST_CASE("the queue's time runs out with an error that names node and limit") {
  Fixture f;
  f.current.size = 1;
  f.current.queue_timeout = 15ms;
  Session one(f);
  one.wait();
  Session second(f);
  second.wait();
  CHECK(second.error.sqlstate == sqlstate::too_many_connections);
  CHECK(second.error.message.find("\"pg1\"") != std::string::npos);
  CHECK(second.error.detail.find("limit of 1") != std::string::npos);
  CHECK_FALSE(f.state.anybody_waits());
  one.lease.give_back();
  f.until([&] { return f.pools[0]->counts().idle == 1; });
}

TEST_CASE("a request that is cancelled while its connection opens leaves the connection to others") {
  Fixture f;
  f.current.size = 1;
  Session first(f);
  f.pools[0]->cancel(first.ticket);
  Session second(f);
  second.wait();
  CHECK(first.calls == 0);
  CHECK(second.server() == 1);
  f.pools[0]->cancel(second.ticket);  // too late, without harm
  CHECK(second.lease);
}

TEST_CASE("a login that fails is told, and its place is free again") {
  Fixture f;
  f.current.size = 1;
  f.server.login_error = {sqlstate::invalid_catalog_name, "no such database"};
  Session first(f), second(f);
  first.wait();
  second.wait();
  CHECK(first.error.sqlstate == sqlstate::invalid_catalog_name);
  CHECK(second.error.sqlstate == sqlstate::invalid_catalog_name);
  CHECK(f.suspected == 2);
  CHECK(f.state.open() == 0);
  f.server.login_error = {};
  Session third(f);
  third.wait();
  CHECK(third.lease);
}

TEST_CASE("at the limit, an idle connection of another start-up class makes room") {
  Fixture f;
  f.current.size = 1;
  Session first(f);
  first.wait();
  first.lease.give_back();
  f.until([&] { return f.pools[0]->counts().idle == 1; });
  Session second(f, 0, kOther);
  second.wait();
  CHECK(f.server.clients.back()->startup.parameters.front().second == "other");
  CHECK(f.state.open() == 1);
  f.until([&] { return f.server.open() == 1; });
  SUBCASE("also when somebody waits for it") {
    Session third(f);
    f.settle();
    CHECK(third.calls == 0);
    second.lease.give_back();
    third.wait();
    CHECK(third.server() == 3);
    CHECK(f.state.open() == 1);
  }
}

TEST_CASE("a connection that makes room and dies in the same pass is counted once") {
  Fixture f;
  f.current.size = 1;
  Session first(f);
  first.wait();
  first.lease.give_back();
  f.until([&] { return f.pools[0]->counts().idle == 1; });
  // Both descriptors are ready at the same poll, this one first.
  test::SocketPair trigger;
  std::unique_ptr<Session> second;
  {
    net::Watcher watcher(f.loop, trigger.inner, [&] {
      char byte = 0;
      REQUIRE(::recv(trigger.inner, &byte, 1, 0) == 1);
      second = std::make_unique<Session>(f, 0, kOther);
    });
    watcher.watch(net::Interest::readable);
    run_passes(f.loop);
    trigger.send("x");
    base::ByteQueue out;
    wire::encode_error(out, wire::Severity::fatal, {sqlstate::admin_shutdown, "bye"});
    f.server.clients[0]->send(out.view());
    f.server.clients[0]->connection.flush();
    f.until([&] { return second != nullptr && second->calls > 0; });
  }
  CHECK(second->lease);
  CHECK(f.state.open() == 1);
  ::close(trigger.inner);
}

TEST_CASE("a connection moves to the worker that waits for it") {
  Fixture f(2);
  f.current.size = 1;
  Session first(f, 0);
  first.wait();
  Session second(f, 1);
  f.settle();
  CHECK(second.calls == 0);
  SUBCASE("when it is given back") {
    first.lease.give_back();
    second.wait();
    CHECK(second.server() == 1);
    CHECK(f.pools[0]->counts().idle == 0);
    CHECK(f.pools[1]->counts().leased == 1);
    CHECK(second.lease->identity().parameters.front().first == "TimeZone");
    second.lease.give_back();  // and works there
    f.until([&] { return f.pools[1]->counts().idle == 1; });
    CHECK(f.server.clients[0]->queries.size() == 2);
    Session third(f, 0);  // an idle one is asked for, too
    third.wait();
    CHECK(third.server() == 1);
  }
  SUBCASE("when the answer to the reset comes in two pieces") {
    f.server.answers_queries = false;
    ServerConnection* server = first.lease.server();
    first.lease.give_back();
    auto& client = *f.server.clients[0];
    f.until([&] { return !client.queries.empty(); });
    const std::string answer = test::encoded([](auto& out) {
      wire::encode_command_complete(out, "DISCARD ALL");
      wire::encode_ready_for_query(out, wire::TransactionStatus::idle);
    });
    client.send(std::string_view(answer).substr(0, answer.size() - 2));
    f.until([&] { return server->connection().unread() > 0; });
    client.send(std::string_view(answer).substr(answer.size() - 2));
    second.wait();
    CHECK(second.server() == 1);
  }
  SUBCASE("and back into the pool when nobody there waits any more") {
    first.lease.give_back();
    run_until(f.loop, [&] { return !f.posted.empty(); });
    f.pools[1]->cancel(second.ticket);
    f.until([&] { return f.pools[0]->counts().idle + f.pools[1]->counts().idle == 1; });
    CHECK(second.calls == 0);
    CHECK(f.state.open() == 1);
  }
  SUBCASE("a permit moves when the connection is closed") {
    first.lease.close();
    second.wait();
    CHECK(second.server() == 2);
    CHECK(f.state.open() == 1);
  }
}

TEST_CASE("a connection that has read half a message does not move") {
  Fixture f(2);
  f.current.size = 1;
  const std::string whole = test::encoded([](auto& out) { wire::encode_parameter_status(out, "TimeZone", "CET"); });
  const auto half = std::string_view(whole).substr(0, whole.size() / 2);
  SUBCASE("while it was idle") {
    Session first(f, 0);
    ServerConnection* server = first.wait().lease.server();
    first.lease.give_back();
    f.until([&] { return f.pools[0]->counts().idle == 1; });
    f.server.clients[0]->send(half);
    f.until([&] { return server->connection().unread() > 0; });
    Session second(f, 1);
    Session third(f, 1);
    CHECK(second.wait().server() == 2);
    CHECK(third.calls == 0);
    CHECK(f.state.open() == 1);
  }
  SUBCASE("behind its login, when nobody wants it here any more") {
    f.server.behind_login = half;
    Session first(f, 0);
    f.pools[0]->cancel(first.ticket);
    Session second(f, 1);
    CHECK(second.wait().server() == 2);
    CHECK(f.state.open() == 1);
  }
}

TEST_CASE("a cancel request under way keeps a connection from being used again") {
  Fixture f;
  f.current.size = 1;
  Session first(f);
  first.wait();
  ServerConnection& server = *first.lease.server();
  f.pools[0]->cancel_started(server);
  f.pools[0]->cancel_started(server);
  std::vector<std::string> expected;
  SUBCASE("released") { first.lease.release(); }
  SUBCASE("given back") {
    first.lease.give_back();
    expected = {"DISCARD ALL"};
  }
  f.until([&] { return server.awaits_cancel; });
  CHECK(f.server.clients[0]->queries == expected);
  Session second(f);
  CHECK_FALSE(f.pools[0]->try_acquire(f.key, kPlain));
  f.pools[0]->cancel_ended(server);
  f.settle();
  CHECK(second.calls == 0);  // there is another one
  CHECK(f.state.idle() == 0);
  f.pools[0]->cancel_ended(server);
  second.wait();
  CHECK(second.server() == 1);
  CHECK_FALSE(server.awaits_cancel);
}

TEST_CASE("a cancel request that has arrived before the lease ends changes nothing") {
  Fixture f;
  Session first(f);
  first.wait();
  f.pools[0]->cancel_started(*first.lease.server());
  f.pools[0]->cancel_ended(*first.lease.server());
  first.lease.release();
  f.until([&] { return f.state.idle() == 1; });
}

TEST_CASE("a cancel request may outlive its connection") {
  Fixture f;
  Session first(f);
  first.wait();
  ServerConnection& server = *first.lease.server();
  f.pools[0]->cancel_started(server);
  SUBCASE("closed with its lease") { first.lease.close(); }
  SUBCASE("lost while it waits for the request") {
    first.lease.release();
    f.until([&] { return server.awaits_cancel; });
    f.server.clients[0]->connection.close();
  }
  f.until([&] { return f.state.open() == 0; });
  // Others come meanwhile, and none of them is taken for it.
  std::vector<std::unique_ptr<Session>> later;
  for (int i = 0; i < 2; ++i) later.push_back(std::make_unique<Session>(f));
  for (auto& one : later) one->wait();
  f.pools[0]->cancel_ended(server);
  for (auto& one : later) CHECK(one->lease->cancels_in_flight == 0);
  CHECK(f.state.open() == 2);
  CHECK(f.state.idle() == 0);
}

TEST_CASE("a connection that was released is used again as it is") {
  Fixture f;
  f.current.size = 1;
  Session first(f);
  first.wait();
  first.lease->carried.settings = kSettings;
  first.lease.release();
  CHECK_FALSE(first.lease);
  SUBCASE("by who comes later") {
    f.until([&] { return f.state.idle() == 1; });
    Lease again = f.pools[0]->try_acquire(f.key, kPlain);
    REQUIRE(again);
    CHECK(again->carried.settings == kSettings);
    User user;
    again->lease_to(user);
  }
  SUBCASE("by who waits") {
    Session second(f);
    second.wait();
    CHECK(second.lease->carried.settings == kSettings);
  }
  SUBCASE("but not with an answer on it that nobody waits for") {
    f.until([&] { return f.state.idle() == 1; });
    f.server.clients[0]->send(std::string("D\0\0\0\4", 5));
    f.until([&] { return f.state.open() == 0; });
  }
  CHECK(f.server.clients.size() == 1);
  CHECK(f.server.clients[0]->queries.empty());
}

TEST_CASE("of the idle connections, one that has the settings already is preferred") {
  Fixture f;
  f.current.size = 4;
  Session one(f), two(f), three(f), other(f, 0, kOther);
  for (Session* each : {&one, &two, &three, &other}) each->wait();
  const auto with_settings = one.server();
  one.lease->carried.settings = kSettings;
  other.lease->carried.settings = kSettings;
  const auto last = three.server();
  int idle = 0;
  for (Session* each : {&one, &two, &three, &other}) {
    each->lease.release();
    f.until([&] { return f.state.idle() == static_cast<std::uint32_t>(idle + 1); });
    ++idle;
  }
  WorkerPools& pools = *f.pools[0];
  WorkerPools::Shard& shard = pools.shard(f.key);
  User user;
  const auto take = [&](const SettingsPtr& settings) {
    Lease lease = pools.try_acquire(shard, kPlain, settings);
    REQUIRE(lease);
    lease->lease_to(user);
    return lease;
  };
  const auto equal = std::make_shared<const std::vector<SettingText>>(*kSettings);  // equal, and another object
  SUBCASE("the settings are there") { CHECK(take(equal)->identity().process_id == with_settings); }
  SUBCASE("nobody has them: the most recently used of its class") {
    const auto unknown = std::make_shared<const std::vector<SettingText>>(std::vector<SettingText>{{"b", "SET b = 2"}});
    CHECK(take(unknown)->identity().process_id == last);
  }
  SUBCASE("none wanted") { CHECK(take(nullptr)->identity().process_id == last); }
  SUBCASE("the class goes before the settings") {
    const Lease lease = take(equal);
    CHECK(take(equal)->identity().process_id == last);
  }
}

TEST_CASE("a session finds the idle connection on which it was the last to write") {
  Fixture f;
  f.current.size = 3;
  WorkerPools& pools = *f.pools[0];
  WorkerPools::Shard& shard = pools.shard(f.key);
  const base::SessionId me{7}, other{8};
  Session one(f), two(f), three(f);
  for (Session* each : {&one, &two, &three}) each->wait();
  const auto mine = one.server();
  one.lease->carried.last_writer = me;
  two.lease->carried.last_writer = other;
  CHECK_FALSE(pools.try_acquire_from(shard, kPlain, me));  // not idle yet
  for (Session* each : {&one, &two}) each->lease.release();
  f.until([&] { return f.state.idle() == 2; });
  CHECK_FALSE(pools.try_acquire_from(shard, kPlain, base::SessionId{9}));
  CHECK_FALSE(pools.try_acquire_from(shard, kOther, me));
  Lease lease = pools.try_acquire_from(shard, kPlain, me);
  REQUIRE(lease);
  CHECK(lease->identity().process_id == mine);
  User user;
  lease->lease_to(user);
  CHECK(f.state.idle() == 1);
  CHECK_FALSE(pools.try_acquire_from(shard, kPlain, me));
}

TEST_CASE("what a connection has been told moves with it to another worker") {
  Fixture f(2);
  f.current.size = 1;
  Session first(f, 0);
  first.wait();
  first.lease->carried.settings = kSettings;
  first.lease->carried.prepared.add({"a", {1, 2}, 100, {}});
  Session second(f, 1);
  f.settle();
  first.lease.release();
  second.wait();
  CHECK(second.server() == 1);
  CHECK(second.lease->carried.settings == kSettings);
  const auto* entry = second.lease->carried.prepared.find("a");
  REQUIRE(entry != nullptr);
  CHECK(entry->key == StatementKey{1, 2});
  CHECK(second.lease->carried.prepared.bytes() == 100);
  CHECK(f.server.clients[0]->queries.empty());
}

TEST_CASE("a connection to a WAL sender is not used twice") {
  Fixture f;
  Session first(f, 0, StartupClass({}, "database"));
  first.wait();
  first.lease.give_back();
  f.until([&] { return f.server.open() == 0; });
  CHECK(f.state.open() == 0);
}

TEST_CASE("idle connections go when their node is down, when they are stale, and when the server ends them") {
  Fixture f;
  Session one(f);
  one.wait();
  one.lease.give_back();
  f.until([&] { return f.pools[0]->counts().idle == 1; });
  SUBCASE("another node") {
    f.pools[0]->drop_idle(base::NodeId{1});
    CHECK(f.pools[0]->counts().idle == 1);
  }
  SUBCASE("their node") {
    f.pools[0]->drop_idle(base::NodeId{0});
    CHECK(f.pools[0]->counts().idle == 0);
    CHECK(f.state.open() == 0);
  }
  SUBCASE("stale") {
    f.current.server_idle_timeout = 1ms;
    f.reload();
    f.until([&] { return f.state.open() == 0; });
  }
  SUBCASE("the server") {
    f.server.clients[0]->connection.close();
    f.until([&] { return f.state.open() == 0; });
    CHECK(f.pools[0]->counts().idle == 0);
  }
}

TEST_CASE("shutting down ends what waits and lets nothing new begin") {
  Fixture f;
  f.current.size = 1;
  Session one(f), second(f);
  one.wait();
  f.settle();
  f.pools[0]->shut_down();
  CHECK(second.calls == 1);
  CHECK(second.error.sqlstate == sqlstate::admin_shutdown);
  CHECK(one.lease);  // what is leased goes on
  Session third(f);
  third.wait();
  CHECK(third.error.sqlstate == sqlstate::admin_shutdown);
  CHECK_FALSE(f.pools[0]->try_acquire(f.key, kPlain));
  one.lease.give_back();
  f.settle();
  CHECK(f.state.open() == 0);
}

TEST_CASE("who may not wait for others is served where there is room, and told at once where there is none") {
  Fixture f;
  f.current.size = 1;
  Lease got;
  User user;
  const auto take = [&](base::Result<Lease> lease) {
    REQUIRE(lease.has_value());
    got = std::move(*lease);
    got->lease_to(user);
  };
  REQUIRE(f.pools[0]->acquire_now(f.key, kPlain, take).has_value());
  CHECK_FALSE(got);
  f.until([&] { return static_cast<bool>(got); });
  CHECK_FALSE(f.pools[0]->acquire_now(f.key, kPlain, take).has_value());
  Session second(f);
  got.close();
  // There is room now, or soon, but it is for the one who waits.
  CHECK_FALSE(f.pools[0]->acquire_now(f.key, kPlain, take).has_value());
  second.wait();
  CHECK(second.lease);
}

TEST_CASE("a limit that is raised serves those who wait, and one that is lowered closes what is beyond it") {
  Fixture f(2);
  f.current.size = 1;
  Session one(f, 0);
  one.wait();
  Session two(f, 0), three(f, 1);
  f.settle();
  CHECK(two.calls + three.calls == 0);
  f.current.size = 3;
  f.reload();
  two.wait();
  three.wait();
  CHECK(f.state.open() == 3);
  f.current.size = 1;
  f.reload();
  CHECK(f.state.open() == 3);  // nobody is disturbed
  one.lease.give_back();
  f.until([&] { return f.state.open() == 2; });
  Session four(f, 0);
  two.lease.give_back();
  f.until([&] { return f.state.open() == 1; });
  CHECK(four.calls == 0);
  three.lease.give_back();
  four.wait();
  CHECK(f.state.open() == 1);
}

TEST_CASE("idle connections beyond a lowered limit are closed") {
  Fixture f;
  {
    Session one(f), two(f);
    one.wait();
    two.wait();
    one.lease.give_back();
    two.lease.give_back();
    f.until([&] { return f.state.idle() == 2; });
  }
  f.current.size = 1;
  f.reload();
  f.until([&] { return f.state.open() == 1; });
  CHECK(f.state.idle() == 1);
}

TEST_CASE("the reserve is for who has waited for long, in their order, and goes when nobody waits") {
  Fixture f(2);
  f.current.size = 1;
  f.current.reserve = 1;
  f.current.reserve_timeout = 50ms;
  Session one(f, 0);
  one.wait();
  const auto begin = std::chrono::steady_clock::now();
  Session two(f, 0), three(f, 1);
  two.wait();
  CHECK(std::chrono::steady_clock::now() - begin >= 45ms);
  CHECK(f.state.open() == 2);
  CHECK(three.calls == 0);
  const auto later = std::chrono::steady_clock::now() + 100ms;
  f.until([&] { return std::chrono::steady_clock::now() > later; });
  CHECK(three.calls == 0);  // there is only one in reserve
  CHECK(f.state.open() == 2);
  SUBCASE("it serves the next one who waits already") {
    two.lease.give_back();
    three.wait();
    CHECK(three.server() == 2);
    CHECK(f.state.open() == 2);
  }
  SUBCASE("one that is lost is not replaced before its time has come again") {
    one.lease.close();
    CHECK(f.state.open() == 1);
    three.wait();
    CHECK(f.state.open() == 2);
  }
  two.lease.give_back();
  three.lease.give_back();
  one.lease.give_back();
  f.until([&] { return f.state.open() <= 1 && f.pools[0]->counts().leased + f.pools[1]->counts().leased == 0; });
  CHECK(f.state.open() == 1);
}

TEST_CASE("connections are kept ready for pools that are used") {
  Fixture f;
  f.current.size = 4;
  f.current.min_idle = 2;
  f.current.server_idle_timeout = 1ms;
  SUBCASE("opened in the background, kept, and opened again when lost") {
    Session one(f);
    one.wait();
    f.until([&] { return f.state.idle() == 2; });
    CHECK(f.state.open() == 3);
    f.server.clients[1]->connection.close();
    f.until([&] { return f.server.clients.size() == 4 && f.state.idle() == 2; });
    one.lease.give_back();
    f.until([&] { return f.state.open() == 2; });  // the third is unused for too long, these are not
    CHECK(f.state.idle() == 2);
  }
  SUBCASE("not beyond the size") {
    f.current.size = 2;
    Session one(f);
    one.wait();
    f.until([&] { return f.state.idle() == 1; });
    CHECK(f.state.open() == 2);
  }
  SUBCASE("not for a pool that nobody uses any more") {
    f.current.ready_for = 1500ms;
    Session one(f);
    one.wait();
    f.until([&] { return f.state.idle() == 2; });
    one.lease.give_back();
    f.until([&] { return f.state.open() == 0; });
  }
  SUBCASE("not on a node that is down, and not at once again when it refuses") {
    f.usable = false;
    Session one(f);
    one.wait();
    auto later = std::chrono::steady_clock::now() + 1500ms;
    f.until([&] { return std::chrono::steady_clock::now() > later; });
    CHECK(f.state.open() == 1);
    f.usable = true;
    f.server.login_error = {sqlstate::cannot_connect_now, "not now"};
    f.until([&] { return f.suspected > 0; });
    const int suspected = f.suspected;
    later = std::chrono::steady_clock::now() + 1500ms;
    f.until([&] { return std::chrono::steady_clock::now() > later; });
    CHECK(f.suspected <= suspected + 1);  // those of the same turn
    CHECK(f.state.open() == 1);
  }
}

TEST_CASE("a connection that is too old is closed when it is idle, never in use") {
  Fixture f;
  f.current.size = 1;
  f.current.server_lifetime = 60ms;
  Session one(f);
  one.wait();
  const auto later = std::chrono::steady_clock::now() + 100ms;
  SUBCASE("in use") {
    f.until([&] { return std::chrono::steady_clock::now() > later; });
    CHECK(f.server.open() == 1);
    Session two(f);
    one.lease.give_back();
    two.wait();  // by a new one
    CHECK(two.server() == 2);
    CHECK(f.state.open() == 1);
  }
  SUBCASE("idle") {
    one.lease.give_back();
    f.until([&] { return f.state.open() == 0; });
    Session two(f);
    two.wait();
    CHECK(two.server() == 2);
  }
}

TEST_CASE("each connection has its own share of the jitter") {
  Fixture f;
  f.current.size = 20;
  f.current.server_lifetime = 2s;
  f.current.lifetime_jitter = 1;
  std::vector<std::unique_ptr<Session>> sessions;
  for (int i = 0; i < 20; ++i) sessions.push_back(std::make_unique<Session>(f));
  for (auto& one : sessions) one->wait();
  std::vector<double> shares;
  for (auto& one : sessions) shares.push_back(one->lease->identity().jitter_share);
  std::sort(shares.begin(), shares.end());
  CHECK(shares.front() >= 0);
  CHECK(shares.back() <= 1);
  CHECK(std::adjacent_find(shares.begin(), shares.end()) == shares.end());
  CHECK(shares.back() - shares.front() > 0.3);
  // After half of the lifetime some are too old and others are not.
  const auto half = std::chrono::steady_clock::now() + 1s;
  f.until([&] { return std::chrono::steady_clock::now() > half; });
  for (auto& one : sessions) one->lease.give_back();
  f.until([&] { return f.state.open() == f.state.idle(); });
  CHECK(f.state.open() > 0);
  CHECK(f.state.open() < 20);
}
