#include "config/load.h"

#include <algorithm>
#include <string>
#include <vector>

#include "doctest/doctest.h"

using namespace pgweir::config;
using namespace std::chrono_literals;

namespace {

const std::string kNodesText = "nodes: [{name: pg1, host: db1}]\n";
const std::string kTrust = "auth: {method: trust}\n";

// Everything that makes a file valid, then `extra`.
Checked<Settings> with(const std::string& extra) { return load_text(kNodesText + kTrust + extra, "pgweir.yaml"); }

std::string all(const Problems& problems) {
  std::string out;
  for (const Problem& problem : problems) out += problem.text() + "\n";
  return out;
}

// The problems must be exactly one, at this line and key, and say all of `parts`.
void check_problem(const std::string& text, int line, const std::string& key, const std::vector<std::string>& parts) {
  CAPTURE(text);
  const auto loaded = load_text(text, "dir/pgweir.yaml");
  REQUIRE_FALSE(loaded.has_value());
  INFO(all(loaded.error()));
  REQUIRE(loaded.error().size() == 1);
  const Problem& problem = loaded.error().front();
  CHECK(problem.file == "dir/pgweir.yaml");
  CHECK(problem.line == line);
  CHECK(problem.key == key);
  for (const std::string& part : parts) {
    CAPTURE(part);
    CHECK(problem.message.find(part) != std::string::npos);
  }
}

void check_extra(const std::string& extra, int line, const std::string& key, const std::vector<std::string>& parts) {
  check_problem(kNodesText + kTrust + extra, line + 2, key, parts);
}

}  // namespace

TEST_CASE("a short file gives everything else its default") {
  const auto loaded = with("");
  REQUIRE(loaded.has_value());
  Settings expected;
  expected.nodes = {{"pg1", "db1", 5432, 1}};
  expected.auth.method = AuthMethod::trust;
  CHECK(*loaded == expected);
}

TEST_CASE("values of every kind arrive") {
  const auto loaded = with(R"(
topology: streaming
listen: { host: "127.0.0.1, ::1", port: 7000, unix_socket_dir: /run/pgweir, unix_socket_mode: 0700, backlog: 5 }
workers: 3
pool: { size: 7, queue_timeout: 0, connect_timeout: 1500ms }
routing:
  { reads: primary, balance: session, consistency: eventual, freshness_wait: 0, max_replica_lag: 64kB,
    max_replica_delay: 2s, primary_weight: 2 }
users: [ { name: report, consistency: strict } ]
monitor: { user: "Mon itor", lag_interval: 5 ms }
log: { level: debug, connections: off, routing: yes }
)");
  REQUIRE(loaded.has_value());
  CHECK(loaded->listen.hosts == std::vector<std::string>{"127.0.0.1", "::1"});
  CHECK(loaded->listen.port == 7000);
  CHECK(loaded->listen.unix_socket_dir == "/run/pgweir");
  CHECK(loaded->listen.unix_socket_mode == 0700);
  CHECK(loaded->listen.backlog == 5);
  CHECK(loaded->workers == 3);
  CHECK(loaded->pool.size == 7);
  CHECK(loaded->pool.queue_timeout == 0s);
  CHECK(loaded->pool.connect_timeout == 1500ms);
  CHECK(loaded->routing.reads == Reads::primary);
  CHECK(loaded->routing.balance == Balance::session);
  CHECK(loaded->routing.consistency == Consistency::eventual);
  CHECK(loaded->routing.freshness_wait == 0s);
  CHECK(loaded->routing.max_replica_lag == 65536);
  CHECK(loaded->routing.max_replica_delay == 2s);
  CHECK(loaded->pool_for("shop", "till").consistency == Consistency::eventual);
  CHECK(loaded->pool_for("shop", "report").consistency == Consistency::strict);
  CHECK(loaded->routing.primary_weight == 2);
  CHECK(loaded->monitor.user == "Mon itor");
  CHECK(loaded->monitor.lag_interval == 5ms);
  CHECK(loaded->log.level == pgweir::base::log::Level::debug);
  CHECK_FALSE(loaded->log.connections);
  CHECK(loaded->log.routing);
}

TEST_CASE("nodes keep their order; anchors work; a host may be a socket directory") {
  const auto loaded = load_text(
      "auth: {method: trust}\nnodes:\n- {name: b, host: /run/postgresql, port: &p 5433, weight: 0}\n"
      "- {name: a_1-x, host: '::1', port: *p}\n",
      "x");
  REQUIRE(loaded.has_value());
  CHECK(loaded->nodes == std::vector<NodeSettings>{{"b", "/run/postgresql", 5433, 0}, {"a_1-x", "::1", 5433, 1}});
}

TEST_CASE("relative paths start at the directory of the file") {
  const std::string text =
      kNodesText +
      "auth: {users_file: users.txt, server_password_file: /etc/p, hba_file: pg_hba.conf, ident_file: i}\n"
      "log: {file: ../x.log}\n";
  const auto loaded = load_text(text, "/etc/pgweir/pgweir.yaml");
  REQUIRE(loaded.has_value());
  CHECK(loaded->auth.users_file == "/etc/pgweir/users.txt");
  CHECK(loaded->auth.hba_file == "/etc/pgweir/pg_hba.conf");
  CHECK(loaded->auth.ident_file == "/etc/pgweir/i");
  CHECK(loaded->auth.server_password_file == "/etc/p");
  CHECK(loaded->log.file == "/etc/x.log");
}

TEST_CASE("maps inside maps: what a node does not say of TLS is taken from tls.server") {
  const auto loaded = load_text(
      "auth: {method: trust}\n"
      "tls:\n"
      "  client: {mode: verify-ca, cert_file: c.crt, key_file: /k, ca_file: ca.crt, min_version: 1.3}\n"
      "  server: {mode: verify-full, ca_file: ca.crt, min_version: 1.3}\n"
      "nodes:\n- {name: a, host: 10.0.0.1}\n"
      "- {name: b, host: 10.0.0.2, tls: {mode: require, cert_file: b.crt, key_file: b.key, server_name: b.example}}\n",
      "/etc/pgweir/pgweir.yaml");
  REQUIRE(loaded.has_value());
  CHECK(loaded->client_tls ==
        ClientTls{TlsMode::verify_ca, "/etc/pgweir/c.crt", "/k", "", "/etc/pgweir/ca.crt", "", TlsVersion::v1_3});
  CHECK(loaded->nodes[0].server_tls ==
        ServerTls{TlsMode::verify_full, "/etc/pgweir/ca.crt", "", "", "", TlsVersion::v1_3});
  CHECK(loaded->nodes[1].server_tls == ServerTls{TlsMode::require, "/etc/pgweir/ca.crt", "", "/etc/pgweir/b.crt",
                                                 "/etc/pgweir/b.key", TlsVersion::v1_3});
  CHECK(loaded->nodes[1].tls.server_name == "b.example");
  CHECK(loaded->nodes[0].tls == NodeTls{});
}

TEST_CASE("TLS that is not whole is an error") {
  check_extra("tls: {client: {mode: require, key_file: k}}", 1, "tls.client.cert_file",
              {"is required with tls.client.mode: require"});
  check_extra("tls:\n  client:\n    moode: require", 3, "tls.client.moode", {"did you mean \"mode\"?"});
  check_extra("tls:\n  client: 3", 2, "tls.client",
              {"found a single value; allowed is a map of the keys mode, cert_file"});
  check_extra("tls:\n  server:\n    mode: verify-ca", 3, "tls.server.mode", {"needs ca_file"});
  check_extra("tls:\n  server: {mode: prefer, ca_file: ca}", 2, "tls.server.mode", {"which it would not look at"});
  check_problem(kTrust + "nodes:\n- name: a\n  host: h\n  tls:\n    server_name: b\n", 6, "nodes[0].tls.server_name",
                {"only where host is an address"});
  check_problem(kTrust + "nodes:\n- name: a\n  host: h\n  tls: {modus: prefer}\n", 5, "nodes[0].tls.modus",
                {"allowed here: mode, ca_file, crl_file, cert_file, key_file, server_name"});
}

TEST_CASE("unknown keys are errors that suggest") {
  check_extra("pol: {size: 3}", 1, "pol",
              {"unknown key \"pol\"", "did you mean \"pool\"?", "allowed here: topology, listen"});
  check_extra("pool:\n  siez: 3", 2, "pool.siez",
              {"did you mean \"size\"?", "allowed here: mode, listen, prepared_memory, size"});
  check_extra("max_clients: 3", 1, "max_clients", {"did you mean pool.max_clients?"});
  check_extra("pool.size: 3", 1, "pool.size", {"write \"size\" inside \"pool\""});
  check_extra("monitor: {password: x}", 1, "monitor.password", {"passwords do not stand in this file"});
  check_extra("zzzzzzzzzzzz: 1", 1, "zzzzzzzzzzzz", {"unknown key \"zzzzzzzzzzzz\"; allowed here"});
  check_problem(kTrust + "nodes:\n- name: a\n  host: h\n  wight: 2\n", 5, "nodes[0].wight",
                {"did you mean \"weight\"?"});
  check_extra("<<: {size: 1}", 1, "<<", {"unknown key"});
}

TEST_CASE("a value of the wrong kind names what was found and what is allowed") {
  check_extra("workers: [1]", 1, "workers", {"found a list", "allowed is auto, or a whole number from 1 to 128"});
  check_extra("pool: 3", 1, "pool", {"found a single value", "a map of the keys mode, listen, prepared_memory, size"});
  check_extra("pool:", 1, "pool", {"found no value"});
  check_extra("pool: {size: }", 1, "pool.size", {"found no value", "a whole number from 1 to 100000"});
  check_extra("pool: {size: {a: 1}}", 1, "pool.size", {"found a map"});
  check_extra("pool: {size: many}", 1, "pool.size", {"found \"many\"", "not a whole number"});
  check_extra("log: {routing: 1}", 1, "log.routing", {"found \"1\"", "allowed is true or false"});
  check_extra("[a]: 1", 1, "", {"found a list in the place of a key"});
}

TEST_CASE("a value out of range names the range") {
  check_extra("listen: {port: 0}", 1, "listen.port", {"found \"0\": it is too small", "from 1 to 65535"});
  check_extra("listen: {port: 65536}", 1, "listen.port", {"found \"65536\": it is too large"});
  check_extra("workers: 257", 1, "workers", {"it is too large"});
  check_extra("workers: 0", 1, "workers", {"it is too small"});
  check_extra("listen: {unix_socket_mode: 1777}", 1, "listen.unix_socket_mode", {"an octal number from 0 to 0777"});
  check_extra("listen: {unix_socket_mode: 0888}", 1, "listen.unix_socket_mode", {"it is not an octal number"});
  check_extra("monitor: {interval: 10}", 1, "monitor.interval",
              {"it has no unit", "a duration from 50ms to 1h", "us, ms, s"});
  check_extra("monitor: {interval: 2h}", 1, "monitor.interval", {"it is too large"});
  check_extra("limits: {max_query: 2GB}", 1, "limits.max_query", {"a size from 1kB to 1GB", "B, kB, MB, GB"});
  check_extra("pool: {mode: connection}", 1, "pool.mode",
              {"found \"connection\"", "one of transaction, session, statement"});
  check_extra("topology: replication", 1, "topology", {"found \"replication\"", "one of streaming, single"});
  check_extra("listen: {host: 'a b'}", 1, "listen.host", {"characters that no host name has"});
  check_extra("listen: {host: 'a,,b'}", 1, "listen.host", {"it is empty"});
  check_extra("listen: {host: 'a, a'}", 1, "listen.host", {"\"a\" stands there twice"});
  check_extra("listen: {unix_socket_dir: run}", 1, "listen.unix_socket_dir", {"it is not an absolute path"});
  check_extra("listen: {unix_socket_dir: /" + std::string(92, 'x') + "}", 1, "listen.unix_socket_dir", {"too long"});
  check_extra("monitor: {user: \"\"}", 1, "monitor.user", {"it is empty"});
  check_extra("monitor: {user: \"a\\nb\"}", 1, "monitor.user", {"\"a\\x0ab\"", "control characters"});
  check_extra("monitor: {user: " + std::string(64, 'u') + "}", 1, "monitor.user", {"it is too long"});
}

TEST_CASE("a key that stands twice is an error and names the first line") {
  check_extra("pool: {size: 3}\n\npool: {size: 4}", 3, "pool", {"already given in line 3"});
  check_extra("pool:\n  size: 3\n  mode: session\n  size: 4", 4, "pool.size", {"already given in line 4"});
  check_problem(kTrust + "nodes: [{name: a, host: h, host: i}]", 2, "nodes[0].host", {"already given in line 2"});
}

TEST_CASE("nodes are required, and so are their names and hosts") {
  check_problem(kTrust, 0, "nodes", {"is required"});
  check_problem(kTrust + "nodes: []", 2, "nodes", {"a list of 0", "1 to 128 nodes"});
  check_problem(kTrust + "nodes: {name: a}", 2, "nodes", {"found a map"});
  check_problem(kTrust + "nodes:\n  - pg1", 3, "nodes[0]", {"found a single value", "name, host, port, weight"});
  check_problem(kTrust + "nodes:\n  - {host: h}", 3, "nodes[0].name", {"is required"});
  check_problem(kTrust + "nodes:\n  - {name: a}", 3, "nodes[0].host", {"is required", "host name"});
  check_problem(kTrust + "nodes: [{name: PG1, host: h}]", 2, "nodes[0].name", {"found \"PG1\"", "a-z, 0-9, _ and -"});
  check_problem(kTrust + "nodes: [{name: a, host: h, weight: 1000001}]", 2, "nodes[0].weight", {"too large"});
  std::string many = kTrust + "nodes:\n";
  for (int i = 0; i < 129; ++i) many += "- {name: n" + std::to_string(i) + ", host: h" + std::to_string(i) + "}\n";
  check_problem(many, 2, "nodes", {"a list of 129"});
}

TEST_CASE("databases and users say what is different for them") {
  const auto loaded = with(R"(
databases:
  - { name: test, pool_mode: session, pool_size: 5, max_clients: 100, min_idle: 2, reserve: 1, reserve_timeout: 2s }
  - name: other
users:
  - { name: app, pool_mode: statement, queue_timeout: 0, query_timeout: 3s, transaction_timeout: 1min,
      client_idle_timeout: 1h, idle_transaction_timeout: 5s, server_lifetime: 2h, server_idle_timeout: 7s }
)");
  REQUIRE(loaded.has_value());
  REQUIRE(loaded->databases.size() == 2);
  PoolOverride test;
  test.name = "test";
  test.mode = PoolMode::session;
  test.size = 5;
  test.max_clients = 100;
  test.min_idle = 2;
  test.reserve = 1;
  test.reserve_timeout = 2s;
  CHECK(loaded->databases[0] == test);
  PoolOverride other;
  other.name = "other";
  CHECK(loaded->databases[1] == other);
  PoolOverride app;
  app.name = "app";
  app.mode = PoolMode::statement;
  app.queue_timeout = 0s;
  app.query_timeout = 3s;
  app.transaction_timeout = 1min;
  app.client_idle_timeout = 1h;
  app.idle_transaction_timeout = 5s;
  app.server_lifetime = 2h;
  app.server_idle_timeout = 7s;
  CHECK(loaded->users == std::vector{app});

  CHECK(with("databases: []\n").has_value());
  check_extra("databases: {name: a}", 1, "databases", {"found a map", "a list of 0 to 1000 databases"});
  check_extra("users:\n  - app", 2, "users[0]", {"a user is a map of the keys name, pool_mode, pool_size"});
  check_extra("users:\n  - {pool_size: 3}", 2, "users[0].name", {"is required"});
  check_extra("users:\n  - {name: a, size: 3}", 2, "users[0].size", {"did you mean \"pool_size\"?"});
  check_extra("users:\n  - {name: a, pool_size: 0}", 2, "users[0].pool_size", {"it is too small", "from 1 to 100000"});
  check_extra("users:\n  - {name: a, pool_size: ''}", 2, "users[0].pool_size", {"not a whole number"});
  check_extra("users:\n  - {name: a}\n  - {name: a}", 3, "users[1].name", {"found \"a\"", "users[0]"});
  check_extra("databases:\n  - {name: a}\n  - {name: a}", 3, "databases[1].name", {"databases[0]"});
  CHECK(with("databases: [{name: a}]\nusers: [{name: a}]").has_value());
}

TEST_CASE("rules over several keys") {
  check_problem(kTrust + "nodes:\n- {name: a, host: h}\n- {name: a, host: i}\n", 4, "nodes[1].name",
                {"found \"a\"", "nodes[0]"});
  check_problem(kTrust + "nodes:\n- {name: a, host: h}\n- {name: b, host: h, port: 5432}\n", 4, "nodes[1].host",
                {"found \"h\" port 5432", "nodes[0]"});
  check_problem(kTrust + "topology: single\nnodes:\n- {name: a, host: h}\n- {name: b, host: i}\n", 3, "nodes",
                {"found 2 nodes", "exactly one"});
  check_problem(kNodesText, 0, "auth.users_file", {"is required with auth.method: scram-sha-256"});
  check_problem(kNodesText + "auth:\n  users_file: ''\n", 3, "auth.users_file", {"or say auth.method: trust"});
  check_problem(kNodesText + "auth:\n  method: trust\n  ident_file: x\n", 4, "auth.ident_file",
                {"without auth.hba_file"});
  check_extra("pool: {size: 3, min_idle: 4}", 1, "pool.min_idle", {"found 4", "more than pool.size (3)"});
  check_extra("routing: {parser: off, reads: primary}", 1, "routing.parser",
              {"found off with pool.mode: transaction", "only session is possible"});
  check_extra("routing: {parser: off}\npool: {mode: session}", 1, "routing.parser", {"say routing.reads: primary"});
  check_extra("routing: {parser: off, reads: primary}\npool: {mode: session}\nusers: [{name: a, pool_mode: statement}]",
              1, "routing.parser", {"found off with users[0].pool_mode: statement"});
  check_extra("listen: {host: ''}", 1, "listen", {"no client could connect"});
  check_problem(kTrust + "listen: {port: 5432}\nnodes: [{name: a, host: 127.0.0.1}]", 3, "nodes[0].host",
                {"where pgweir itself listens"});
  check_problem(kTrust + "listen: {port: 5432, unix_socket_dir: /tmp}\nnodes: [{name: a, host: /tmp}]", 3,
                "nodes[0].host", {"where pgweir itself listens"});
}

TEST_CASE("origin and replicas are given, with topology: logical and nowhere else") {
  const std::string logical = kTrust + "topology: logical\n";
  const std::string origin = "nodes:\n- {name: a, host: h, role: origin}\n";
  check_problem(logical + origin + "- {name: b, host: i}\n", 5, "nodes[1].role",
                {"is required with topology: logical", "one of origin, replica"});
  check_problem(logical + origin + "- {name: b, host: i, role: origin}\n", 5, "nodes[1].role",
                {"found \"origin\"", "nodes[0]"});
  check_problem(logical + "nodes:\n- {name: a, host: h, role: replica}\n", 3, "nodes", {"exactly one"});
  check_problem(logical + origin + "- {name: b, host: i, role: standby}\n", 5, "nodes[1].role",
                {"found \"standby\"", "one of origin, replica"});
  check_problem(logical + origin + "failover: {mode: promote, state_file: s}\n", 5, "failover.mode",
                {"found promote", "only observe"});
  check_problem(kTrust + origin, 3, "nodes[0].role", {"found \"origin\" with topology: streaming", "only with"});
  check_problem(kTrust + "nodes:\n- {name: a, host: h, replicated_tables: a.b}\n", 3, "nodes[0].replicated_tables",
                {"found \"a.b\" with topology: streaming"});
  check_problem(kTrust + "topology: single\nnodes:\n- {name: a, host: h, subscription: s}\n", 4,
                "nodes[0].subscription", {"with topology: single"});
}

TEST_CASE("the tables of a replica are a list, or stand between commas") {
  const std::string begin = kTrust + "topology: logical\nnodes:\n- {name: a, host: h, role: origin}\n";
  const auto tables = [&](const std::string& text) {
    return load_text(begin + "- {name: b, host: i, role: replica, replicated_tables: " + text + "}\n", "/e/y");
  };
  const std::vector<TableName> both{{"public", "items"}, {"sales", "*"}};
  for (const char* text : {"[public.items, sales.*]", "'public.items, sales.*'"}) {
    const auto loaded = tables(text);
    REQUIRE(loaded.has_value());
    CHECK(loaded->nodes[1].replicated_tables == both);
    CHECK(loaded->nodes[1].role == NodeRole::replica);
  }
  for (const char* text :
       {"items", "[a.b.c]", "[a.b, a.b]", "'*.a'", "a.b*", "'\"A\".b'", "'a.'", "[[a.b]]", "{a: b}"}) {
    INFO(text);
    const auto loaded = tables(text);
    REQUIRE_FALSE(loaded.has_value());
    CHECK(loaded.error().front().line == 5);
    CHECK(loaded.error().front().key == "nodes[1].replicated_tables");
    CHECK(loaded.error().front().message.find("schema.table or schema.*") != std::string::npos);
  }
}

TEST_CASE("a failover that cannot be is an error") {
  const std::string begin = kTrust + "nodes: [{name: a, host: h}, {name: b, host: i}]\n";
  check_problem(begin + "failover: {mode: promote}\n", 3, "failover.state_file", {"is required", "mode: promote"});
  check_problem(begin + "failover: {mode: command, state_file: s}\n", 3, "failover.failover_command", {"is required"});
  check_problem(begin + "failover: {mode: promote, state_file: s, minimum_seen: 3}\n", 3, "failover.minimum_seen",
                {"found 3", "only 2 nodes"});
  check_problem(begin + "failover:\n  rejoin_command: x\n", 4, "failover.rejoin_command", {"mode: observe"});
  check_problem(begin + "failover: {mode: promote, state_file: s, follow_command: x}\n", 3, "failover.follow_command",
                {"mode: promote"});
  check_problem(begin + "failover: {mode: command, state_file: s, failover_command: 'x %z'}\n", 3,
                "failover.failover_command", {"%z", "stands for nothing"});
  check_problem(kTrust + "topology: single\nnodes: [{name: a, host: h}]\nfailover: {mode: promote, state_file: s}\n", 4,
                "failover.mode", {"nobody to promote"});
  const auto loaded = load_text(begin + "failover: {mode: command, state_file: s, failover_command: 'x %d'}\n", "/e/y");
  REQUIRE(loaded.has_value());
  CHECK(loaded->failover.mode == FailoverMode::command);
  CHECK(loaded->failover.state_file == "/e/s");
}

TEST_CASE("a rule over several keys is silent when one of them is wrong by itself") {
  check_problem(kNodesText + "auth: {method: md5}", 2, "auth.method", {"one of trust, scram-sha-256"});
  check_problem(kTrust + "nodes:\n- {name: a, host: h}\n- {name: b, host: h, port: x}\n", 4, "nodes[1].port",
                {"found \"x\""});
}

TEST_CASE("one file is one configuration, and a map") {
  check_problem("- a", 1, "", {"found a list"});
  check_problem("", 0, "", {"found no value"});
  check_extra("---\nworkers: 2\n", 1, "", {"a second document"});
  // What yaml-cpp reads as empty documents without end.
  check_extra("--- ,|\n text\n", 1, "", {"a second document"});
}

TEST_CASE("an error in the YAML itself has its line") {
  check_problem("a: 1\nb: [1", 2, "", {"is not valid YAML"});
  check_problem("a: *nobody", 1, "", {"is not valid YAML"});
  check_problem(std::string(100'000, '['), 1, "", {"is not valid YAML"});
}

TEST_CASE("all problems are reported, in the order of the lines") {
  const auto loaded =
      load_text("workers: x\nlisten: {port: y, hots: z}\nnodes: [{name: a, prot: 1}]\nlog: {level: loud}\n", "f");
  REQUIRE_FALSE(loaded.has_value());
  std::vector<std::string> keys;
  for (const Problem& problem : loaded.error()) keys.push_back(problem.key);
  CHECK(keys == std::vector<std::string>{"auth.users_file", "workers", "listen.port", "listen.hots", "nodes[0].prot",
                                         "nodes[0].host", "log.level"});
  CHECK(loaded.error()[1].text() ==
        "f:1: workers: found \"x\": it is not a whole number; allowed is auto, or a whole number from 1 to 128");
  CHECK(std::is_sorted(loaded.error().begin(), loaded.error().end(),
                       [](const Problem& a, const Problem& b) { return a.line < b.line; }));
}

TEST_CASE("a file that cannot be read is a problem, not an exception") {
  const auto missing = load_file("/nonexistent/pgweir.yaml");
  REQUIRE_FALSE(missing.has_value());
  CHECK(missing.error().front().text() == "/nonexistent/pgweir.yaml: cannot be opened: No such file or directory");
  const auto directory = load_file("/");
  REQUIRE_FALSE(directory.has_value());
  CHECK(directory.error().front().message == "is not a regular file");
}

TEST_CASE("an HBA file stands in for the users file, and names of administrators are a list") {
  const auto loaded =
      load_text(kNodesText + "auth: {hba_file: /x}\nadmin: {users: 'root, a b', viewers: ''}\n", "x.yaml");
  REQUIRE(loaded.has_value());
  CHECK(loaded->admin.users == std::vector<std::string>{"root", "a b"});
  CHECK(loaded->admin.viewers.empty());
  check_problem(kNodesText + "auth: {method: trust}\nadmin: {users: 'a,,b'}\n", 3, "admin.users", {"it is empty"});
  check_problem(kNodesText + "auth: {method: trust}\nadmin: {users: 'a, a'}\n", 3, "admin.users",
                {"stands there twice"});
}
