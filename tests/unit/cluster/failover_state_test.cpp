// What is remembered comes back, and what cannot be read is no empty memory.
#include "cluster/failover_state.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "doctest/doctest.h"

using namespace pgweir;
using namespace pgweir::cluster;

namespace {

const std::vector<FailoverNode> kNodes{{"pg1", 0}, {"pg2", 0}, {"pg3", 5}};

FailoverState full() {
  FailoverState state;
  state.memory.system_identifier = 18446744073709551615ULL;
  state.memory.primary = base::NodeId{1};
  state.memory.timeline = 7;
  state.memory.timeline_began = 0x300000028;
  state.memory.own_name = "pg \"one\" \\ \t\x01";
  state.memory.sync_text = "ANY 1 (pg1, \"pg 3\")";
  state.memory.sync = parse_synchronous_standby_names(state.memory.sync_text);
  state.memory.sync_before = SyncRule{2, true, {"a", "b c"}};
  state.memory.sync_changed_at = 99;
  state.memory.strangers = {"reporting", ""};
  state.memory.origin = base::NodeId{2};
  state.memory.instead_of = base::NodeId{0};
  state.memory.nodes = {{true, false, false, false, 12345}, {false, true, true, false}, {false, false, false, true}};
  state.before_primary = base::NodeId{0};
  state.upstreams = {{}, {"host=a password='it\\'s'", "slot_2"}, {}};
  return state;
}

struct Directory {
  Directory() {
    char name[] = "/tmp/pgweir_state_XXXXXX";
    path = ::mkdtemp(name);
  }
  ~Directory() { std::filesystem::remove_all(path); }
  std::string path;
};

}  // namespace

TEST_CASE("everything comes back") {
  const std::string text = text_of(full(), kNodes);
  const auto back = failover_state_from(text, kNodes);
  REQUIRE(back.has_value());
  CHECK(text_of(*back, kNodes) == text);
  CHECK(back->memory.system_identifier == full().memory.system_identifier);
  CHECK(back->memory.primary == base::NodeId{1});
  CHECK(back->memory.own_name == full().memory.own_name);
  CHECK(back->memory.sync == full().memory.sync);
  CHECK(back->memory.sync_before == full().memory.sync_before);
  CHECK(back->memory.strangers == full().memory.strangers);
  CHECK(back->memory.nodes[1].cut_off);
  CHECK(back->memory.nodes[0].system_identifier == 12345);
  CHECK(back->memory.origin == base::NodeId{2});
  CHECK(back->memory.instead_of == base::NodeId{0});
  CHECK(back->memory.nodes[2].maybe_promoted);
  CHECK(back->upstreams == full().upstreams);
  CHECK(back->before_primary == base::NodeId{0});
  const auto empty = failover_state_from(text_of(FailoverState{}, kNodes), kNodes);
  REQUIRE(empty.has_value());
  CHECK_FALSE(empty->memory.primary);
  CHECK_FALSE(empty->memory.sync_before);
}

TEST_CASE("nodes are known by their names") {
  const std::vector<FailoverNode> other{{"pg3", 0}, {"new", 0}, {"pg2", 0}};
  const auto state = failover_state_from(text_of(full(), kNodes), other);
  REQUIRE(state.has_value());
  CHECK(state->memory.primary == base::NodeId{2});
  CHECK(state->memory.nodes[0].maybe_promoted);
  CHECK_FALSE(state->memory.nodes[1].cut_off);
  CHECK(state->upstreams[2].slot == "slot_2");
  CHECK_FALSE(state->before_primary);  // it is not configured any more
}

TEST_CASE("half a file, and other files, are errors") {
  const std::string text = text_of(full(), kNodes);
  for (std::size_t size = 0; size + 1 < text.size(); size += 7)
    CHECK_FALSE(failover_state_from(text.substr(0, size), kNodes).has_value());
  for (const char* wrong : {"[]", "a: 1", "version: 2", "version: [", "nodes: {}"})
    CHECK_FALSE(failover_state_from(wrong, kNodes).has_value());
}

TEST_CASE("on disk") {
  const Directory directory;
  const std::string path = directory.path + "/state";
  const auto none = load_failover_state(path, kNodes);
  REQUIRE(none.has_value());
  CHECK(none->memory.timeline == 0);
  REQUIRE(write_durably(path, text_of(full(), kNodes)).has_value());
  struct stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
  REQUIRE(write_durably(path, text_of(full(), kNodes)).has_value());
  CHECK(load_failover_state(path, kNodes)->memory.timeline == 7);
  std::ofstream(path) << "nonsense";
  const auto bad = load_failover_state(path, kNodes);
  REQUIRE_FALSE(bad.has_value());
  CHECK(bad.error().message.find(path) != std::string::npos);
  CHECK_FALSE(bad.error().hint.empty());
  CHECK_FALSE(load_failover_state(directory.path, kNodes).has_value());
  CHECK_FALSE(write_durably(directory.path + "/nowhere/state", "x").has_value());
}
