// Rules that hold for every file under src/, read as text: which floor may include which, and how a file looks. Each
// rule is a function from one file to what is wrong with it, and is itself shown to find what it is for.
#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "doctest/doctest.h"

namespace {

namespace fs = std::filesystem;

// A folder may include folders of lower numbers, and itself.
const std::map<std::string, int, std::less<>> kFloors{
    {"base", 0}, {"config", 1},  {"net", 2},     {"wire", 3},  {"sql", 3}, {"routing", 4}, {"auth", 4},
    {"pool", 5}, {"cluster", 5}, {"session", 6}, {"admin", 7}, {"ctl", 8}, {"", 8}};

// A header that only one folder may include.
struct Owned {
  std::string_view header;
  std::string_view folder;
};
constexpr std::array kOwned{Owned{"uv.h", "net"},     Owned{"openssl/ssl.h", "net"}, Owned{"pg_query", "sql"},
                            Owned{"pcre2.h", "auth"}, Owned{"ldap.h", "net"},        Owned{"security/", "net"}};

// Sources without a unit test of their own, and why.
const std::map<std::string, std::string, std::less<>> kNoUnitTest{
    {"base/assertion.cpp", "its only effect is to end the process"},
    {"base/log.cpp", "writes through spdlog; the lines are checked by the integration tests"},
    {"base/memory.cpp", "its only effect is how much memory the system has left"},
    {"cluster/action_run.cpp", "acts on real servers: test_failover.py"},
    {"cluster/action_session.cpp", "a connection to a real server: test_failover.py"},
    {"cluster/catalog_loader.cpp", "asks a real server over libpq: test_routing.py"},
    {"cluster/failover_actions.cpp", "acts on real servers: test_failover.py"},
    {"cluster/monitor.cpp", "drives probes of real servers: test_monitor.py"},
    {"cluster/node_probe.cpp", "asks a real server over libpq: test_monitor.py"},
    {"cluster/user_query.cpp", "asks a real server over libpq: test_auth_query.py; the answers: user_answer_test.cpp"},
    {"cluster/pq_session.cpp", "wraps a libpq connection to a real server: test_monitor.py"},
    {"config/cross_checks.cpp", "every rule is in load_test.cpp, where its line is checked too"},
    {"config/explain.cpp", "in render_test.cpp"},
    {"config/pool_options.cpp", "a table: in options_test.cpp, load_test.cpp"},
    {"config/problem.cpp", "in load_test.cpp"},
    {"config/settings.cpp", "one line for each enum, over the table that load_test.cpp covers"},
    {"config/suggest.cpp", "in load_test.cpp"},
    {"config/text_file.cpp", "in load_test.cpp and password_file_test.cpp"},
    {"config/text_rules.cpp", "in load_test.cpp"},
    {"ctl/main.cpp", "a command line around libpq: test_pgweirctl.py"},
    {"routing/catalog_verdict.cpp", "in route_test.cpp"},
    {"net/pam_login.cpp", "asks the system's PAM: test_pam.py"},
    {"pool/upkeep.cpp", "in worker_pools_test.cpp"},
    {"routing/explain.cpp", "in route_test.cpp"},
    {"routing/reasons.cpp", "in route_test.cpp"},
    {"session/abandoned_exchange.cpp", "in tests/integration/test_pooling.py: it needs a server that works on"},
    {"session/flows/acquire.cpp", "needs a worker with servers: test_pooling.py, test_limits.py"},
    {"session/flows/carry.cpp", "needs a worker with servers: tests/semantics"},
    {"session/flows/client_messages.cpp", "needs a worker with servers: test_protocol.py, test_hostile.py"},
    {"session/flows/completed.cpp", "needs a worker with servers: tests/semantics"},
    {"session/flows/console_session.cpp", "needs a worker: test_admin_console.py; the protocol: console_test.cpp"},
    {"session/flows/dispatch.cpp", "needs a worker with servers: test_pooling.py, test_routing.py"},
    {"session/flows/errors.cpp", "needs a worker with servers: tests/protocol"},
    {"session/flows/execution.cpp", "needs a worker with servers: tests/protocol"},
    {"session/flows/extended.cpp", "needs a worker with servers: tests/protocol"},
    {"session/flows/freshness.cpp", "needs standbys that lag: test_consistency.py"},
    {"session/flows/hold.cpp", "needs nodes that are away: test_holding.py, test_failover_drills.py"},
    {"session/flows/local.cpp", "needs a worker with servers: test_show.py"},
    {"session/flows/lost.cpp", "needs servers that go: test_holding.py, test_without_sync.py"},
    {"session/flows/plan.cpp", "needs a worker with servers: test_routing.py, test_corpus.py"},
    {"session/flows/login.cpp",
     "needs a worker: test_auth_query.py, test_ldap.py, test_pam.py, test_login_failures.py"},
    {"session/flows/listen.cpp", "needs a worker with servers: test_listen.py"},
    {"session/flows/listen_again.cpp", "needs servers that go: test_listen_again.py; what is said: channels_test.cpp"},
    {"session/flows/pins.cpp", "needs a worker with servers: test_transaction_pooling.py; the audit: audit_test.cpp"},
    {"session/flows/prepare.cpp", "needs a worker with servers: tests/semantics, tests/protocol"},
    {"session/flows/refuse.cpp", "needs a worker with servers: test_transaction_pooling.py"},
    {"session/flows/replies.cpp", "needs a worker with servers: test_protocol.py, test_large_values.py"},
    {"session/flows/retry.cpp", "needs a standby that refuses: test_routing.py"},
    {"session/flows/server_writer.cpp", "needs a worker with servers: tests/semantics, tests/protocol"},
    {"session/flows/times.cpp", "the rules are in time_limits.cpp; what is done: test_limits.py"},
    {"session/process.cpp", "random bytes; what is shared is of classes that have tests"},
    {"session/session.cpp", "needs a worker with servers: test_startup.py, test_signals.py"},
    {"session/shared_listener.cpp", "needs a worker with servers: test_listen.py; its books: listen_books_test.cpp"},
    {"session/tls_contexts.cpp",
     "reads files of real certificates: test_tls.py; what it makes of them: tests/unit/net"},
    {"session/worker.cpp", "a thread with its sessions and pools: test_startup.py, test_signals.py, test_pooling.py"},
    {"sql/names.cpp", "in facts_of_test.cpp"},
    {"sql/parse_tree.cpp", "in facts_of_test.cpp"},
    {"sql/tree_names.cpp", "in facts_of_test.cpp"},
    {"sql/utility_facts.cpp", "in facts_of_test.cpp"},
};

struct File {
  std::string path;  // below src/, "base/log.h"
  std::vector<std::string> lines;

  [[nodiscard]] std::string folder() const {
    const std::size_t slash = path.find('/');
    return slash == std::string::npos ? "" : path.substr(0, slash);
  }
  [[nodiscard]] bool is_header() const { return path.ends_with(".h"); }
};

using Findings = std::vector<std::string>;

File make_file(std::string path, const std::string& text) {
  File file{std::move(path), {}};
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) file.lines.push_back(line);
  return file;
}

std::vector<File> sources() {
  const fs::path root = fs::path(PGWEIR_SOURCE_ROOT) / "src";
  std::vector<File> files;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    const fs::path& path = entry.path();
    if (!entry.is_regular_file() || (path.extension() != ".h" && path.extension() != ".cpp")) continue;
    std::ifstream in(path);
    std::ostringstream text;
    text << in.rdbuf();
    files.push_back(make_file(path.lexically_relative(root).generic_string(), text.str()));
  }
  return files;
}

std::string at(const File& file, std::size_t index) { return file.path + ":" + std::to_string(index + 1) + ": "; }

// The name in an #include line, or nothing.
std::string included(const std::string& line) {
  static const std::regex pattern(R"(^\s*#\s*include\s*[<"]([^>"]+)[>"])");
  std::smatch match;
  return std::regex_search(line, match, pattern) ? match[1].str() : std::string();
}

Findings floors(const File& file) {
  Findings out;
  const auto own = kFloors.find(file.folder());
  if (own == kFloors.end()) return file.folder() == "pch" ? out : Findings{file.path + ": is in no floor"};
  for (std::size_t i = 0; i < file.lines.size(); ++i) {
    const std::string name = included(file.lines[i]);
    const std::size_t slash = name.find('/');
    const auto other = slash == std::string::npos ? kFloors.end() : kFloors.find(name.substr(0, slash));
    if (other != kFloors.end() && other->first != own->first && other->second >= own->second)
      out.push_back(at(file, i) + "a " + own->first + " file includes " + name + ", which is not below it");
    if (name.find("..") != std::string::npos) out.push_back(at(file, i) + "includes start at src/");
  }
  return out;
}

Findings owned_headers(const File& file) {
  Findings out;
  for (std::size_t i = 0; i < file.lines.size(); ++i)
    for (const Owned& owned : kOwned)
      if (included(file.lines[i]).starts_with(owned.header) && file.folder() != owned.folder)
        out.push_back(at(file, i) + "only " + std::string(owned.folder) + " includes " + std::string(owned.header));
  return out;
}

Findings opening(const File& file) {
  if (file.lines.empty() || !file.lines.front().starts_with("// ") || file.lines.front().size() < 20)
    return {file.path + ": does not open with a comment that says what the file is for"};
  if (file.is_header() && file.folder() != "pch" &&
      std::find(file.lines.begin(), file.lines.end(), "#pragma once") == file.lines.end())
    return {file.path + ": a header without #pragma once"};
  return {};
}

// Characters, not bytes: the second and later bytes of a UTF-8 sequence do not count.
std::size_t width(const std::string& line) {
  return static_cast<std::size_t>(
      std::count_if(line.begin(), line.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

Findings shape(const File& file) {
  constexpr std::size_t kMostLines = 600;
  constexpr std::size_t kWidest = 120;
  static const std::regex unfinished(R"(\b(TODO|FIXME|XXX)\b)");
  Findings out;
  if (file.lines.size() > kMostLines)
    out.push_back(file.path + ": has " + std::to_string(file.lines.size()) + " lines");
  for (std::size_t i = 0; i < file.lines.size(); ++i) {
    const std::string& line = file.lines[i];
    if (width(line) > kWidest) out.push_back(at(file, i) + "is " + std::to_string(width(line)) + " characters wide");
    if (line.find('\t') != std::string::npos) out.push_back(at(file, i) + "has a tab");
    if (line.ends_with(' ') || line.ends_with('\r')) out.push_back(at(file, i) + "ends with white space");
    if (std::regex_search(line, unfinished)) out.push_back(at(file, i) + "is not finished");
  }
  return out;
}

// Folders below a floor are mirrored too: src/session/flows/copy.cpp -> tests/unit/session/flows/copy_test.cpp or
// tests/unit/session/copy_test.cpp.
Findings unit_test(const File& file, const std::set<std::string>& tests) {
  if (file.is_header() || file.folder().empty() || file.folder() == "ctl" || kNoUnitTest.contains(file.path)) return {};
  const std::string stem = file.path.substr(0, file.path.size() - 4);
  const std::string flat = file.folder() + "/" + stem.substr(stem.rfind('/') + 1);
  if (tests.contains(stem + "_test.cpp") || tests.contains(flat + "_test.cpp")) return {};
  return {file.path + ": has no unit test (tests/unit/" + flat + "_test.cpp), nor a reason for that in tidy_test.cpp"};
}

std::set<std::string> unit_tests() {
  const fs::path root = fs::path(PGWEIR_SOURCE_ROOT) / "tests/unit";
  std::set<std::string> out;
  for (const auto& entry : fs::recursive_directory_iterator(root))
    out.insert(entry.path().lexically_relative(root).generic_string());
  return out;
}

template <class Rule>
void check_all(Rule rule) {
  for (const File& file : sources())
    for (const std::string& finding : rule(file)) FAIL_CHECK(finding);
}

}  // namespace

TEST_CASE("the source tree is found") { CHECK(sources().size() > 10); }

TEST_CASE("a floor includes only lower floors") {
  CHECK(floors(make_file("wire/a.cpp", "#include \"sql/b.h\"")).size() == 1);
  CHECK(floors(make_file("base/a.h", "#include \"config/b.h\"")).size() == 1);
  CHECK(floors(make_file("base/a.h", "  #  include <net/b.h>")).size() == 1);
  CHECK(floors(make_file("base/a.h", "#include \"../net/b.h\"")).size() == 1);
  CHECK(floors(make_file("attic/a.h", "")).size() == 1);
  CHECK(floors(make_file("session/flows/a.h", "#include \"session/b.h\"\n#include \"pool/c.h\"\n#include <vector>"))
            .empty());
  CHECK(floors(make_file("main.cpp", "#include \"admin/b.h\"")).empty());
  check_all(floors);
}

TEST_CASE("libuv and TLS stay in net, libpg_query in sql") {
  CHECK(owned_headers(make_file("pool/a.cpp", "#include <uv.h>")).size() == 1);
  CHECK(owned_headers(make_file("wire/a.cpp", "#include <openssl/ssl.h>\n#include <openssl/evp.h>")).size() == 1);
  CHECK(owned_headers(make_file("routing/a.cpp", "#include \"pg_query/pg_query.pb-c.h\"")).size() == 1);
  CHECK(owned_headers(make_file("net/a.cpp", "#include <uv.h>")).empty());
  check_all(owned_headers);
}

TEST_CASE("a file opens with what it is for") {
  CHECK(opening(make_file("base/a.cpp", "#include <vector>")).size() == 1);
  CHECK(opening(make_file("base/a.cpp", "// short")).size() == 1);
  CHECK(opening(make_file("base/a.h", "// What this header is for.\n")).size() == 1);
  CHECK(opening(make_file("base/a.h", "// What this header is for.\n#pragma once")).empty());
  check_all(opening);
}

TEST_CASE("files are of a readable shape, and finished") {
  CHECK(shape(make_file("base/a.h", std::string(121, 'x'))).size() == 1);
  CHECK(shape(make_file("base/a.h", std::string(120, 'x'))).empty());
  CHECK(shape(make_file("base/a.h", "a\tb")).size() == 1);
  CHECK(shape(make_file("base/a.h", "a ")).size() == 1);
  CHECK(shape(make_file("base/a.h",
                        "// TO"
                        "DO: more"))
            .size() == 1);
  CHECK(shape(make_file("base/a.h", "XX000")).empty());
  std::string lines;
  for (int i = 0; i < 601; ++i) lines += "\n";
  CHECK(shape(make_file("base/a.h", lines)).size() == 1);
  check_all(shape);
}

TEST_CASE("a source has a unit test, or a reason why not") {
  CHECK(unit_test(make_file("base/a.cpp", ""), {"base/b_test.cpp"}).size() == 1);
  CHECK(unit_test(make_file("base/a.cpp", ""), {"base/a_test.cpp"}).empty());
  CHECK(unit_test(make_file("session/flows/a.cpp", ""), {"session/flows/a_test.cpp"}).empty());
  CHECK(unit_test(make_file("session/flows/a.cpp", ""), {"session/a_test.cpp"}).empty());
  CHECK(unit_test(make_file("base/a.h", ""), {}).empty());
  const std::set<std::string> tests = unit_tests();
  check_all([&](const File& file) { return unit_test(file, tests); });
  for (const auto& each : kNoUnitTest) {
    const std::string& path = each.first;
    INFO("no longer there, or tested by now: " << path);
    CHECK(fs::exists(fs::path(PGWEIR_SOURCE_ROOT) / "src" / path));
    CHECK_FALSE(tests.contains(path.substr(0, path.size() - 4) + "_test.cpp"));
    CHECK_FALSE(each.second.empty());
  }
}
