#include "config/users_file.h"

#include <string>
#include <utility>
#include <vector>

#include "doctest/doctest.h"

using namespace pgweir::config;

namespace {

// The bytes 0..15, 0x20 and 0x21 thirty-two times.
const std::string kSalt = "AAECAwQFBgcICQoLDA0ODw==";
const std::string kStored = "ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICA=";
const std::string kServer = "ISEhISEhISEhISEhISEhISEhISEhISEhISEhISEhISE=";
const std::string kVerifier = "SCRAM-SHA-256$4096:" + kSalt + "$" + kStored + ":" + kServer;

std::string error_of(const std::string& secret) {
  const auto verifier = parse_verifier(secret);
  return verifier ? "" : verifier.error().message;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("a verifier is split and decoded") {
  const auto verifier = parse_verifier(kVerifier);
  REQUIRE(verifier.has_value());
  CHECK(verifier->iterations == 4096);
  CHECK(verifier->salt == std::string("\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17", 16));
  CHECK(verifier->stored_key == std::string(32, ' '));
  CHECK(verifier->server_key == std::string(32, '!'));
}

TEST_CASE("secrets that are no SCRAM verifier say how to get one") {
  for (const std::string& secret : {std::string("md5") + std::string(32, 'a'), std::string("secret"), std::string()}) {
    const std::string error = error_of(secret);
    CHECK(has(error, "SELECT rolpassword FROM pg_authid"));
    if (secret == "secret") CHECK_FALSE(has(error, "\"secret\""));
  }
  CHECK(has(error_of("secret"), "MD5"));
}

TEST_CASE("every part of a verifier is checked") {
  const std::string head = "SCRAM-SHA-256$";
  for (const auto& each : std::vector<std::pair<std::string, std::string>>{
           {head, "not of the form"},
           {head + "4096:" + kSalt, "not of the form"},
           {head + "4096:" + kSalt + "$" + kStored, "not of the form"},
           {head + "x:" + kSalt + "$" + kStored + ":" + kServer, "iterations"},
           {head + "0:" + kSalt + "$" + kStored + ":" + kServer, "iterations"},
           {head + "9999999999:" + kSalt + "$" + kStored + ":" + kServer, "iterations"},
           {head + "4096:$" + kStored + ":" + kServer, "salt"},
           {head + "4096:AAE$" + kStored + ":" + kServer, "salt"},
           {head + "4096:A*==$" + kStored + ":" + kServer, "salt"},
           {head + "4096:AB==$" + kStored + ":" + kServer, "salt"},
           {head + "4096:====$" + kStored + ":" + kServer, "salt"},
           {head + "4096:" + kSalt + "$" + kSalt + ":" + kServer, "StoredKey"},
           {head + "4096:" + kSalt + "$" + kStored + ":" + kSalt, "ServerKey"},
           {head + "4096:" + kSalt + "$" + kStored + ":", "ServerKey"},
           {kVerifier + "x", "ServerKey"}}) {
    CAPTURE(each.first);
    CHECK(has(error_of(each.first), each.second));
  }
}

TEST_CASE("a cut verifier is never accepted") {
  for (std::size_t length = 0; length < kVerifier.size(); ++length) {
    CAPTURE(length);
    CHECK_FALSE(parse_verifier(std::string_view(kVerifier).substr(0, length)).has_value());
  }
}

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

TEST_CASE("every bad line of a users file is reported, without its secret") {
  const auto users = parse_users(
      "app x\n\"a\"\n\"b\" \"hunter2\"\n\"\" \"x\"\n\"c\" \"" + kVerifier + "\"\n\"c\" \"" + kVerifier + "\"\n\"d\n",
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
