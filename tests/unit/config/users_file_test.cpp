#include "config/users_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <variant>
#include <vector>

#include "doctest/doctest.h"

using namespace pgweir::config;

namespace {

// The bytes 0..15, 0x20 and 0x21 thirty-two times.
const std::string kSalt = "AAECAwQFBgcICQoLDA0ODw==";
const std::string kStored = "ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICA=";
const std::string kServer = "ISEhISEhISEhISEhISEhISEhISEhISEhISEhISEhISE=";
const std::string kVerifier = "SCRAM-SHA-256$4096:" + kSalt + "$" + kStored + ":" + kServer;

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("the users file: comments, blank lines, doubled quotes, the rest of the line ignored") {
  const auto users = parse_users("; comment\n# comment\n\n\"app\" \"" + kVerifier + "\"\r\n  \"we\"\"ird user\"\t\"" +
                                     kVerifier + "\" \"more\" fields\n\"noblank\"\"" + kVerifier + "\"",
                                 "users.txt");
  // The last line is one field: a doubled quote is a quote.
  REQUIRE_FALSE(users.has_value());
  CHECK(users.error().size() == 1);
  CHECK(users.error().front().line == 6);
  const auto fine = parse_users("\"app\" \"" + kVerifier + "\"\n\"we\"\"ird\" \"" + kVerifier + "\" x\n", "users.txt");
  REQUIRE(fine.has_value());
  CHECK(fine->size() == 2);
  CHECK(fine->contains("app"));
  CHECK(fine->contains("we\"ird"));
  CHECK_FALSE(fine->contains("APP"));
}

TEST_CASE("the users file: secrets of all kinds; who has an empty one has no password") {
  const auto users = parse_users("\"a\" \"" + kVerifier + "\"\n\"b\" \"md5" + std::string(32, '0') +
                                     "\"\n\"c\" \"a \"\"plain\"\" one\"\n\"d\" \"\"\n",
                                 "users.txt");
  REQUIRE(users.has_value());
  CHECK(users->size() == 3);
  CHECK(std::holds_alternative<ScramVerifier>(users->at("a")));
  CHECK(std::holds_alternative<Md5Hash>(users->at("b")));
  CHECK(std::get<PlainPassword>(users->at("c")).text == "a \"plain\" one");
}

TEST_CASE("every bad line of a users file is reported, without its secret") {
  const auto users = parse_users("app x\n\"a\"\n\"b\" \"SCRAM-SHA-256$hunter2\"\n\"\" \"x\"\n\"c\" \"" + kVerifier +
                                     "\"\n\"c\" \"" + kVerifier + "\"\n\"d\n",
                                 "users.txt");
  REQUIRE_FALSE(users.has_value());
  std::vector<int> lines;
  for (const Problem& problem : users.error()) {
    lines.push_back(problem.line);
    CHECK_FALSE(has(problem.text(), "hunter2"));
    CHECK(problem.file == "users.txt");
  }
  CHECK(lines == std::vector<int>{1, 2, 3, 4, 6, 7});
  CHECK(has(users.error()[2].message, "user \"b\""));
  CHECK(has(users.error()[4].message, "already given"));
}

TEST_CASE("a users file that is not there is a problem") {
  const auto users = load_users_file("/nonexistent/users.txt");
  REQUIRE_FALSE(users.has_value());
  CHECK(users.error().front().text() == "/nonexistent/users.txt: cannot be opened: No such file or directory");
}

TEST_CASE("a users file that others may read, or its group may write, is refused") {
  std::string path = "/tmp/pgweir_users_XXXXXX";
  const int fd = ::mkstemp(path.data());
  REQUIRE(fd >= 0);
  const std::string line = "\"a\" \"" + kVerifier + "\"\n";
  REQUIRE(::write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size()));
  for (const mode_t mode : {0600, 0640, 0400, 0440}) {
    REQUIRE(::fchmod(fd, mode) == 0);
    CHECK(load_users_file(path).has_value());
  }
  for (const mode_t mode : {0644, 0604, 0660, 0601, 0620}) {
    CAPTURE(mode);
    REQUIRE(::fchmod(fd, mode) == 0);
    const auto users = load_users_file(path);
    REQUIRE_FALSE(users.has_value());
    CHECK(has(users.error().front().text(), "has mode 0"));
    CHECK(has(users.error().front().text(), "chmod 0600"));
  }
  ::close(fd);
  ::unlink(path.c_str());
}
