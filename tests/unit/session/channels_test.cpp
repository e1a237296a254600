// What a session listens to, as its statements tell, and how it is said again.
#include "session/channels.h"

#include <string>
#include <vector>

#include "doctest/doctest.h"

namespace {

using namespace pgweir::session;
using pgweir::sql::StatementKind;
using Names = std::vector<std::string>;

struct Done {
  StatementKind kind;
  std::string name{};
  std::string tag{};
};

// BEGIN is said to nobody: what counts is when it is settled.
Names after(const std::vector<Done>& statements, bool failed = false, const Names& before = {}) {
  Channels channels;
  channels.replace(before);
  for (const Done& one : statements) {
    Effect effect;
    effect.kind = one.kind;
    effect.name = one.name;
    effect.all = one.kind == StatementKind::discard;
    channels.completed(effect, one.tag);
  }
  channels.ready(failed);
  return channels.names();
}

constexpr auto kListen = StatementKind::listen;
constexpr auto kUnlisten = StatementKind::unlisten;
constexpr auto kCommit = StatementKind::commit;

}  // namespace

TEST_CASE("LISTEN and UNLISTEN count when they are committed, in their order") {
  CHECK(after({{kListen, "a"}}) == Names{"a"});
  CHECK(after({{kListen, "a"}}, true).empty());
  CHECK(after({{kListen, "a"}, {kListen, "b"}, {kListen, "a"}}) == Names{"a", "b"});
  CHECK(after({{kListen, "a"}, {kUnlisten, "a"}}).empty());
  CHECK(after({{kUnlisten, "a"}, {kListen, "a"}}, false, {"a", "b"}) == Names{"b", "a"});
  CHECK(after({{kListen, "c"}, {kUnlisten, ""}, {kListen, "d"}}, false, {"a", "b"}) == Names{"d"});
  CHECK(after({{kUnlisten, "a"}}, true, {"a"}) == Names{"a"});
}

TEST_CASE("a transaction that ends within a query string counts for itself") {
  CHECK(after({{kListen, "a"}, {kCommit, "", "COMMIT"}, {kListen, "b"}}, true) == Names{"a"});
  CHECK(after({{kListen, "a"}, {kCommit, "", "ROLLBACK"}, {kListen, "b"}}) == Names{"b"});
  CHECK(after({{kListen, "a"}, {StatementKind::rollback, "", "ROLLBACK"}}).empty());
}

TEST_CASE("what a savepoint has undone is rather a channel too many") {
  CHECK(after({{kListen, "a"}, {kUnlisten, "b"}, {StatementKind::rollback_to_savepoint, "s"}}, false, {"b"}) ==
        Names{"b", "a"});
}

TEST_CASE("DISCARD ALL ends it at once") { CHECK(after({{StatementKind::discard, "all"}}, true, {"a"}).empty()); }

TEST_CASE("a name beyond ASCII is for the audit to tell") {
  CHECK(after({{kListen, "\xc3\xa4"}}).empty());
  CHECK(after({{kUnlisten, "\xc3\xa4"}}, false, {"\xc3\xa4"}) == Names{"\xc3\xa4"});
}

TEST_CASE("channels are listened to again under any encoding") {
  CHECK(listen_text({}).empty());
  CHECK(listen_text({"a", "B \"c\""}) == "LISTEN \"a\";LISTEN \"B \"\"c\"\"\"");
  const std::string text = listen_text({"\xc3\xa4"});
  CHECK(text.find("''c3a4''") != std::string::npos);
  for (const char c : text) CHECK(static_cast<unsigned char>(c) < 0x80);
}
