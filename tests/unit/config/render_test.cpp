#include "config/render.h"

#include <string>

#include "config/load.h"
#include "config/options.h"
#include "config/text_file.h"
#include "doctest/doctest.h"

using namespace pgweir::config;

namespace {

std::string file(const std::string& path) {
  const auto text = read_text_file(std::string(PGWEIR_SOURCE_ROOT) + "/" + path, FileAccess::anyone);
  REQUIRE(text.has_value());
  return *text;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("docs/config.md and config/pgweir.yaml are what the option table says (./dev docs writes them)") {
  CHECK(file("docs/config.md") == render_markdown());
  CHECK(file("config/pgweir.yaml") == render_sample());
}

TEST_CASE("the sample loads, and to nothing but defaults beside its nodes and the users file") {
  const auto loaded = load_text(render_sample(), "/etc/pgweir.yaml");
  REQUIRE(loaded.has_value());
  Settings expected;
  expected.nodes = {{"pg1", "10.0.0.11", 5432, 1}, {"pg2", "10.0.0.12", 5432, 1}};
  expected.auth.users_file = "/etc/users.txt";
  CHECK(*loaded == expected);
}

TEST_CASE("every key stands in the reference and in the sample") {
  const std::string markdown = render_markdown();
  const std::string sample = render_sample();
  for (const Option<Settings>& option : options()) {
    CAPTURE(option.key);
    CHECK(has(markdown, "## " + std::string(option.key) + "\n"));
    CHECK(has(sample, std::string(last_part(option.key)) + ": "));
  }
  for (const Option<NodeSettings>& option : node_options()) {
    CHECK(has(markdown, "### nodes[]." + std::string(option.key) + "\n"));
    CHECK(has(sample, "# " + std::string(option.key) + ": "));
  }
}

TEST_CASE("so does every key of a database and of a user") {
  const std::string markdown = render_markdown();
  const std::string sample = render_sample();
  for (const auto& option : database_options()) {
    CAPTURE(option.key);
    CHECK(has(markdown, "### databases[]." + std::string(option.key) + "\n"));
    CHECK(has(markdown, "### users[]." + std::string(option.key) + "\n"));
    CHECK(has(sample, std::string(option.key)));
  }
  CHECK(has(markdown, "Default: as in `pool`"));
}

TEST_CASE("lines of the sample stay readable") {
  std::size_t length = 0;
  for (const char c : render_sample()) {
    length = c == '\n' ? 0 : length + 1;
    REQUIRE(length <= 120);
  }
}

TEST_CASE("explain says where everything goes") {
  Settings settings;
  settings.nodes = {{"pg1", "10.0.0.11", 5432, 1}, {"second", "/run/postgresql", 5433, 0}};
  settings.auth.users_file = "/etc/users.txt";
  settings.listen.unix_socket_dir = "/run/pgweir";
  std::string text = explain(settings);
  for (const char* part :
       {"2 nodes, topology streaming", "pg1     10.0.0.11 port 5432, weight 1",
        "second  /run/postgresql port 5433, weight 0", "127.0.0.1 port 6432", "/run/pgweir/.s.PGSQL.6432 (mode 0770)",
        "scram-sha-256 (/etc/users.txt)", "20 server connections", "at most 10s", "more than 1MB behind",
        "sees its own writes", "every 1s", "closed after 10min, any after 1h"}) {
    CAPTURE(part);
    CHECK(has(text, part));
  }
  CHECK_FALSE(has(text, "a statement may run"));
  settings.pool.query_timeout = std::chrono::seconds{3};
  settings.pool.reserve = 2;
  settings.users = {{.name = "app", .mode = PoolMode::statement, .max_clients = 5}};
  text = explain(settings);
  CHECK(has(text, "a statement may run for 3s"));
  CHECK(has(text, "and 2 more when one waits for 5s"));
  CHECK(has(text, "for user app: pool_mode statement, max_clients 5"));
  settings.routing.reads = Reads::primary;
  settings.auth.method = AuthMethod::trust;
  text = explain(settings);
  CHECK(has(text, "everything runs on the primary"));
  CHECK(has(text, "anyone may be any user"));
  settings.auth.hba_file = "/etc/pg_hba.conf";
  CHECK(has(explain(settings), "what /etc/pg_hba.conf says (users: /etc/users.txt)"));
  settings.topology = TopologyKind::single;
  CHECK(has(explain(settings), "everything runs on the one node"));
}
