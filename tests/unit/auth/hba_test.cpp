// The decision: which line is the first that matches, for every kind of word, address and connection.
#include "auth/hba.h"

#include <map>
#include <string>

#include "auth/hba_file.h"
#include "doctest/doctest.h"
#include "unit/auth/memory_files.h"

using namespace pgweir;
using namespace pgweir::auth;
using What = Decision::What;

namespace {

Hba rules(const std::string& text) {
  const test::MemoryFiles memory({{"/hba", text}});
  auto parsed = parse_hba("/hba", memory.files());
  if (!parsed) FAIL(parsed.error().front().text());
  return *parsed;
}

// A client of 127.0.0.1, until told otherwise, and what is known of it.
struct Client {
  std::string user = "alice", database = "db";
  std::string from = "127.0.0.1";  // empty: a Unix socket
  bool tls = false;
  wire::Replication replication = wire::Replication::no;
  Memberships roles{"alice", "staff"};
  Interfaces interfaces{{*parse_address("127.0.0.1"), *parse_address("255.0.0.0")},
                        {*parse_address("10.1.2.3"), *parse_address("255.255.255.0")},
                        {*parse_address("::1"), *parse_address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")}};
  bool knows_roles = true, knows_interfaces = true;

  [[nodiscard]] Asking asking() const {
    Asking asking;
    if (!from.empty()) asking.from = *parse_address(from);
    asking.tls = tls;
    asking.user = user;
    asking.database = database;
    asking.replication = replication;
    if (knows_roles) asking.memberships = &roles;
    if (knows_interfaces) asking.interfaces = &interfaces;
    return asking;
  }
};

// The number of the line that decides; 0: none. Not for clients of whom too little is known.
int line_for(const std::string& text, const Client& client = {}) {
  const Hba all = rules(text);
  const Decision decision = decide(all, client.asking());
  REQUIRE((decision.what == What::line || decision.what == What::no_line));
  return decision.line ? decision.line->number : 0;
}

bool matches(const std::string& text, const Client& client = {}) { return line_for(text, client) == 1; }

}  // namespace

TEST_CASE("the first line that matches decides, whatever its method") {
  CHECK(line_for("host all bob all reject\nhost db alice all reject\nhost all all all trust") == 2);
  CHECK(line_for("host all all all trust\nhost all all all reject") == 1);
  CHECK(line_for("host other all all trust") == 0);
}

TEST_CASE("the kind of connection") {
  struct Row {
    const char* type;
    bool local, plain, tls;
  };
  for (const Row& row : {Row{"local", true, false, false}, Row{"host", false, true, true},
                         Row{"hostssl", false, false, true}, Row{"hostnossl", false, true, false},
                         Row{"hostgssenc", false, false, false}, Row{"hostnogssenc", false, true, true}}) {
    CAPTURE(row.type);
    const bool is_local = std::string(row.type) == "local";
    const std::string text = std::string(row.type) + (is_local ? " all all trust" : " all all all trust");
    CHECK(matches(text, {.from = ""}) == row.local);
    CHECK(matches(text) == row.plain);
    CHECK(matches(text, {.tls = true}) == row.tls);
  }
  // TLS makes no TCP connection of a Unix socket.
  CHECK_FALSE(matches("hostssl all all all trust", {.from = "", .tls = true}));
}

TEST_CASE("addresses") {
  CHECK(matches("host all all 127.0.0.1/32 trust"));
  CHECK(matches("host all all 127.0.0.0/8 trust"));
  CHECK(matches("host all all 127.0.0.0 255.0.0.0 trust"));
  CHECK(matches("host all all 1.0.0.1 0.0.0.255 trust"));  // any mask, not only one of leading ones
  CHECK_FALSE(matches("host all all 127.0.0.2/32 trust"));
  CHECK_FALSE(matches("host all all 10.0.0.0/8 trust"));
  CHECK(matches("host all all 0.0.0.0/0 trust"));
  CHECK_FALSE(matches("host all all ::/0 trust"));
  CHECK(matches("host all all ::/0 trust", {.from = "fe80::1"}));
  CHECK(matches("host all all ::1/128 trust", {.from = "::1"}));
  CHECK_FALSE(matches("host all all 0.0.0.0/0 trust", {.from = "::1"}));
  CHECK(matches("host all all all trust", {.from = "::1"}));
}

TEST_CASE("samehost and samenet go by the addresses of this machine") {
  CHECK(matches("host all all samehost trust", {.from = "10.1.2.3"}));
  CHECK_FALSE(matches("host all all samehost trust", {.from = "10.1.2.4"}));
  CHECK_FALSE(matches("host all all samehost trust", {.from = "127.0.0.2"}));
  CHECK(matches("host all all samenet trust", {.from = "10.1.2.4"}));
  CHECK(matches("host all all samenet trust", {.from = "127.9.9.9"}));
  CHECK_FALSE(matches("host all all samenet trust", {.from = "10.1.3.3"}));
  CHECK(matches("host all all samenet trust", {.from = "::1"}));
  CHECK_FALSE(matches("host all all samenet trust", {.from = "::2"}));
}

TEST_CASE("databases") {
  CHECK(matches("host db all all trust"));
  CHECK(matches("host x,db,y all all trust"));
  CHECK_FALSE(matches("host DB all all trust"));
  CHECK_FALSE(matches("host d all all trust"));
  CHECK(matches("host sameuser all all trust", {.database = "alice"}));
  CHECK_FALSE(matches("host sameuser all all trust"));
  CHECK(matches("host samerole all all trust", {.database = "staff"}));
  CHECK(matches("host samegroup all all trust", {.database = "alice"}));
  CHECK_FALSE(matches("host samerole all all trust", {.database = "boss"}));
  CHECK(matches("host /^d all all trust"));
  CHECK(matches("host \"/^d[a,b]$\" all all trust"));
  CHECK_FALSE(matches("host /^b all all trust"));
  // In quotes a keyword is a name.
  for (const char* word : {"all", "sameuser", "samerole", "samegroup", "replication"}) {
    CAPTURE(word);
    const std::string text = "host \"" + std::string(word) + "\" all all trust";
    CHECK(matches(text, {.database = word}));
    CHECK_FALSE(matches(text));
  }
}

TEST_CASE("users") {
  CHECK(matches("host all alice all trust"));
  CHECK_FALSE(matches("host all Alice all trust"));
  CHECK(matches("host all bob,alice all trust"));
  CHECK(matches("host all +staff all trust"));
  CHECK(matches("host all +alice all trust"));
  CHECK_FALSE(matches("host all +boss all trust"));
  CHECK_FALSE(matches("host all \"+staff\" all trust"));
  CHECK(matches("host all \"+staff\" all trust", {.user = "+staff"}));
  CHECK(matches("host all +\"staff\" all trust"));
  CHECK_FALSE(matches("host all \"all\" all trust"));
  CHECK(matches("host all \"all\" all trust", {.user = "all"}));
  CHECK(matches("host all /^ali all trust"));
  CHECK(matches("host all \"/^(alice|bob, or so)$\" all trust"));
  CHECK_FALSE(matches("host all +alice all trust", {.roles = {}}));  // no such role
}

TEST_CASE("replication: physical connections match nothing but the keyword") {
  using enum wire::Replication;
  for (const char* databases : {"all", "db", "sameuser", "/.*", "\"replication\"", "samerole"}) {
    CAPTURE(databases);
    const std::string text = "host " + std::string(databases) + " all all trust";
    CHECK_FALSE(matches(text, {.database = "alice", .replication = physical}));
  }
  CHECK(matches("host replication all all trust", {.replication = physical}));
  CHECK(matches("host all,replication all all trust", {.replication = physical}));
  CHECK_FALSE(matches("host replication all all trust"));
  CHECK_FALSE(matches("host replication all all trust", {.database = "replication"}));
  // One that is in a database is like any other.
  CHECK_FALSE(matches("host replication all all trust", {.replication = database}));
  CHECK(matches("host all all all trust", {.replication = database}));
}

TEST_CASE("what is not known is asked for only where it decides") {
  const Client knows_little{.knows_roles = false, .knows_interfaces = false};
  const auto what = [&](const std::string& text) {
    const Hba all = rules(text);
    return decide(all, knows_little.asking()).what;
  };
  CHECK(what("host all +staff all trust") == What::needs_memberships);
  CHECK(what("host samerole all all trust") == What::needs_memberships);
  CHECK(what("host all all samenet trust") == What::needs_interfaces);
  CHECK(what("host all alice,+staff all trust") == What::line);
  CHECK(what("host samerole,all all all trust") == What::line);
  CHECK(what("host other +staff all trust") == What::no_line);
  CHECK(what("host all +staff 10.0.0.0/8 trust") == What::no_line);
  CHECK(what("local all +staff trust") == What::no_line);
  CHECK(what("host all bob samehost trust") == What::no_line);
  CHECK(what("host all all all trust\nhost all +staff all reject") == What::line);
}

TEST_CASE("everybody in one way, replication too") {
  for (const auto replication : {wire::Replication::no, wire::Replication::physical, wire::Replication::database})
    for (const char* from : {"", "127.0.0.1", "::1"}) {
      const Hba all = for_everybody(Method::scram_sha_256);
      const Decision decision = decide(all, Client{.from = from, .replication = replication}.asking());
      REQUIRE(decision.what == What::line);
      CHECK(decision.line->method == Method::scram_sha_256);
      CHECK(decision.line->place().empty());
    }
}

TEST_CASE("methods have PostgreSQL's names") {
  CHECK(name_of(Method::trust) == "trust");
  CHECK(name_of(Method::scram_sha_256) == "scram-sha-256");
  CHECK(name_of(Method::pam) == "pam");
}
