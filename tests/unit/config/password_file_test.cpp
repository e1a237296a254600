#include "config/password_file.h"

#include <sys/stat.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "doctest/doctest.h"

using namespace pgweir::config;

namespace {
PasswordFile parsed(const std::string& text) {
  const auto file = parse_passwords(text, "pgpass");
  REQUIRE(file.has_value());
  return *file;
}
}  // namespace

TEST_CASE("the first line that matches wins") {
  const PasswordFile file =
      parsed("# comment\n\ndb1:5432:app:joe:one\ndb1:*:*:joe:two\r\n*:*:*:joe:three\n*:*:*:*:four");
  CHECK(file.size() == 4);
  CHECK(file.find("db1", 5432, "app", "joe") == "one");
  CHECK(file.find("db1", 5433, "app", "joe") == "two");
  CHECK(file.find("db1", 5432, "other", "joe") == "two");
  CHECK(file.find("db2", 5432, "app", "joe") == "three");
  CHECK(file.find("db2", 5432, "app", "Joe") == "four");
}

TEST_CASE("nothing matches, nothing is found") {
  CHECK_FALSE(parsed("").find("a", 1, "b", "c").has_value());
  CHECK_FALSE(parsed("db1:5432:app:joe:one").find("db1", 5432, "app", "jo").has_value());
}

TEST_CASE("a backslash takes the next character literally, in every field") {
  const PasswordFile file = parsed("\\:\\:1:5432:a\\\\b:\\*:p\\:w\\\\d");
  CHECK(file.find("::1", 5432, "a\\b", "*") == "p:w\\d");
  CHECK_FALSE(file.find("::1", 5432, "a\\b", "joe").has_value());
}

TEST_CASE("a socket directory answers to its path and to localhost") {
  const PasswordFile file = parsed("/run/a:5432:*:*:path\nlocalhost:5432:*:*:local");
  CHECK(file.find("/run/a", 5432, "d", "u") == "path");
  CHECK(file.find("/run/b", 5432, "d", "u") == "local");
  CHECK(file.find("localhost", 5432, "d", "u") == "local");
  CHECK_FALSE(file.find("127.0.0.1", 5432, "d", "u").has_value());
}

TEST_CASE("every bad line is reported, without what it holds") {
  const auto file = parse_passwords(
      "a:b\n*:*:*:*:\n*:*:*:*:hunter2:x\n*:port:*:*:hunter2\n*:0:*:*:hunter2\n*:*:*:*:fine\n", "pgpass");
  REQUIRE_FALSE(file.has_value());
  std::vector<int> lines;
  for (const Problem& problem : file.error()) {
    lines.push_back(problem.line);
    CHECK(problem.text().find("hunter2") == std::string::npos);
  }
  CHECK(lines == std::vector<int>{1, 2, 3, 4, 5});
}

TEST_CASE("a file that others may read is refused") {
  std::string directory = "/tmp/pgweir_password_file_XXXXXX";
  REQUIRE(::mkdtemp(directory.data()) != nullptr);
  const std::string path = directory + "/pgpass";
  std::ofstream(path) << "*:*:*:*:secret\n";
  for (const auto& each : {std::pair<mode_t, bool>{0600, true}, {0640, true}, {0644, false}, {0660, false}}) {
    const mode_t mode = each.first;
    CAPTURE(mode);
    REQUIRE(::chmod(path.c_str(), mode) == 0);
    const auto file = load_password_file(path);
    CHECK(file.has_value() == each.second);
    if (!file) CHECK(file.error().front().message.find("chmod 0600") != std::string::npos);
  }
  CHECK(std::remove(path.c_str()) == 0);
  CHECK(std::remove(directory.c_str()) == 0);
}
