// Commands as child processes: what they say, how they end, what they are not given.
#include "net/child_process.h"

#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "doctest/doctest.h"
#include "unit/on_loop.h"

using namespace pgweir;
using namespace std::chrono_literals;
using net::ChildEnd;
using net::ChildProcess;

namespace {

struct Run {
  std::vector<std::string> lines;
  std::optional<ChildEnd> end;
};

Run run(const std::string& command, base::Duration limit = 20s) {
  net::Loop loop;
  Run out;
  {
    ChildProcess child(
        loop, [&](std::string_view line) { out.lines.emplace_back(line); },
        [&](const ChildEnd& end) {
          CHECK_FALSE(out.end);
          out.end = end;
        });
    REQUIRE(child.start(command, limit).has_value());
    test::run_until(loop, [&] { return out.end.has_value(); });
  }
  loop.drain();
  return out;
}

bool runs(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string number, name, state;
  file >> number >> name >> state;
  return file && state != "Z";
}

}  // namespace

TEST_CASE("output comes line by line, from both streams, in order") {
  const Run out = run("echo one; echo two >&2; printf three");
  CHECK(out.lines == std::vector<std::string>{"one", "two", "three"});
  CHECK(out.end->status == 0);
  CHECK(out.end->signal == 0);
  CHECK_FALSE(out.end->timed_out);
}

TEST_CASE("a long line comes in pieces, and much output comes whole") {
  const Run out = run("head -c 10000 /dev/zero | tr '\\0' x; echo; seq 1 20000");
  REQUIRE(out.lines.size() == 20003);
  CHECK(out.lines[0].size() == ChildProcess::kLongestLine);
  CHECK(out.lines[2].size() == 10000 - 2 * ChildProcess::kLongestLine);
  CHECK(out.lines.back() == "20000");
}

TEST_CASE("how it ends") {
  CHECK(run("exit 7").end->status == 7);
  CHECK(run("kill -9 $$").end->signal == SIGKILL);
  CHECK(run("no_such_command_anywhere").end->status == 127);
}

TEST_CASE("whose time is over is ended with its group, also when it does not want to") {
  const Run out = run("trap '' TERM; sleep 600 & echo $!; echo $$; while :; do wait; sleep 1; done", 200ms);
  CHECK(out.end->timed_out);
  REQUIRE(out.lines.size() >= 2);
  CHECK(out.end->signal == SIGKILL);
  for (int i = 0; i < 2; ++i) {
    const pid_t pid = std::stoi(out.lines[static_cast<std::size_t>(i)]);
    for (int wait = 0; wait < 200 && runs(pid); ++wait) ::usleep(10'000);
    CHECK_FALSE(runs(pid));
  }
}

TEST_CASE("what it leaves behind does not keep it from ending") {
  const Run out = run("sleep 600 & echo $!");
  REQUIRE(out.lines.size() == 1);
  CHECK(out.end->status == 0);
  ::kill(std::stoi(out.lines[0]), SIGKILL);
}

TEST_CASE("it inherits no descriptor and reads nothing") {
  const int open_one = ::open("/dev/null", O_RDONLY);  // without the flag, as some library might
  const Run out = run("cat; ls /proc/self/fd | tr '\\n' ' '");
  ::close(open_one);
  REQUIRE(out.lines.size() == 1);
  CHECK(out.lines[0] == "0 1 2 3 ");  // 3 is the directory that ls reads
}

TEST_CASE("signals are as if nobody had ignored them") {
  std::signal(SIGPIPE, SIG_IGN);
  CHECK(run("kill -PIPE $$; echo alive").lines.empty());
  std::signal(SIGPIPE, SIG_DFL);
}

TEST_CASE("destroyed while it runs, it is killed") {
  net::Loop loop;
  std::vector<std::string> lines;
  bool ended = false;
  {
    ChildProcess child(
        loop, [&](std::string_view line) { lines.emplace_back(line); }, [&](const ChildEnd&) { ended = true; });
    REQUIRE(child.start("echo $$; sleep 600", 20s).has_value());
    test::run_until(loop, [&] { return !lines.empty(); });
  }
  loop.drain();
  CHECK_FALSE(ended);
  CHECK_FALSE(runs(std::stoi(lines[0])));
}

TEST_CASE("one that was never started") {
  net::Loop loop;
  ChildProcess child(loop, {}, {});
  loop.drain();
}
