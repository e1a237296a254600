#include "config/reload.h"

#include "config/options.h"
#include "doctest/doctest.h"

using namespace pgweir::config;
using namespace std::chrono_literals;

namespace {
Settings two_nodes() {
  Settings settings;
  settings.nodes = {{"a", "h1", 5432, 1}, {"b", "h2", 5432, 1}};
  return settings;
}
}  // namespace

TEST_CASE("equal settings do not differ") { CHECK(difference(two_nodes(), two_nodes()).empty()); }

TEST_CASE("a difference names key, old, new, and whether a reload takes it over") {
  Settings next = two_nodes();
  next.listen.port = 7000;
  next.pool.queue_timeout = 1min;
  next.log.routing = true;
  CHECK(difference(two_nodes(), next) == std::vector<Change>{{"listen.port", "6432", "7000", false},
                                                             {"pool.queue_timeout", "10s", "1min", true},
                                                             {"log.routing", "false", "true", true}});
}

TEST_CASE("nodes are compared by name") {
  Settings next = two_nodes();
  next.nodes[1].weight = 9;
  next.nodes[0].port = 5433;
  CHECK(difference(two_nodes(), next) ==
        std::vector<Change>{{"nodes.a.port", "5432", "5433", false}, {"nodes.b.weight", "1", "9", true}});
  next.nodes.push_back({"c", "h3", 5432, 1});
  CHECK(difference(two_nodes(), next).front() == Change{"nodes", "a, b", "a, b, c", true});
  next = two_nodes();
  std::swap(next.nodes[0], next.nodes[1]);
  CHECK(difference(two_nodes(), next) == std::vector<Change>{{"nodes", "a, b", "b, a", false}});
}

TEST_CASE("nodes come and go, and keep their places") {
  Settings next = two_nodes();
  next.nodes = {{"c", "h3", 5432, 1}, {"b", "h2", 5432, 1}};
  const Settings taken = take_reloadable(two_nodes(), next);
  REQUIRE(taken.nodes.size() == 3);
  CHECK(taken.nodes[0].name == "a");
  CHECK(taken.nodes[0].removed);
  CHECK_FALSE(taken.nodes[1].removed);
  CHECK(taken.nodes[2].name == "c");
  CHECK(difference(taken, next) == std::vector<Change>{{"nodes", "b, c", "c, b", false}});
  const Settings back = take_reloadable(taken, two_nodes());
  CHECK_FALSE(back.nodes[0].removed);
  CHECK(back.nodes[2].removed);
  CHECK(difference(back, two_nodes()).empty());
  Settings single = two_nodes();
  single.topology = TopologyKind::single;
  CHECK(take_reloadable(single, next).nodes == single.nodes);
}

TEST_CASE("databases and users may come, change and go with a reload") {
  Settings running = two_nodes();
  running.users = {{.name = "app"}, {.name = "old"}};
  Settings loaded = two_nodes();
  loaded.users = {{.name = "app", .size = 3, .query_timeout = 2s}, {.name = "new"}};
  loaded.databases = {{.name = "test", .mode = PoolMode::statement}};
  CHECK(difference(running, loaded) == std::vector<Change>{{"databases", "", "test", true},
                                                           {"users", "app, old", "app, new", true},
                                                           {"users.app.pool_size", "", "3", true},
                                                           {"users.app.query_timeout", "", "2s", true}});
  CHECK(take_reloadable(running, loaded) == loaded);
}

TEST_CASE("a reload takes over what is reloadable and nothing else") {
  const Settings running = two_nodes();
  Settings loaded = two_nodes();
  loaded.listen.port = 7000;
  loaded.pool.size = 3;
  loaded.nodes[1].weight = 9;
  loaded.nodes[1].host = "elsewhere";
  loaded.nodes.push_back({"c", "h3", 5432, 1});
  const Settings taken = take_reloadable(running, loaded);
  Settings expected = two_nodes();
  expected.pool.size = 3;
  expected.nodes[1].weight = 9;
  expected.nodes.push_back({"c", "h3", 5432, 1});
  CHECK(taken == expected);
  for (const Change& change : difference(taken, loaded)) {
    CAPTURE(change.key);
    CHECK_FALSE(change.reloadable);
  }
}
