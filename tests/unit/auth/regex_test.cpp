// Regular expressions: what they find, and that a hostile one costs little.
#include "auth/regex.h"

#include <chrono>
#include <string>

#include "doctest/doctest.h"

using namespace pgweir::auth;

namespace {
std::shared_ptr<const Regex> regex(const std::string& pattern) {
  auto compiled = Regex::compile(pattern);
  REQUIRE(compiled.has_value());
  return *compiled;
}
}  // namespace

TEST_CASE("it is found anywhere unless it says otherwise") {
  CHECK(regex("b")->find("abc").has_value());
  CHECK_FALSE(regex("^b")->find("abc").has_value());
  CHECK_FALSE(regex("b$")->find("abc").has_value());
  CHECK_FALSE(regex("^abc$")->find("abc\n").has_value());  // a dollar is the very end
  CHECK(regex("^a.c$")->find("a\nc").has_value());
  CHECK(regex("^db\\d{2,4}$")->find("db123").has_value());
  CHECK_FALSE(regex("a")->find("A").has_value());
  CHECK(regex("^.$")->find("ü").has_value());
  CHECK(regex("b")->find("\xff\xfe b").has_value());  // a name need not be UTF-8
  CHECK(regex("")->find("").has_value());
}

TEST_CASE("the first group") {
  CHECK(regex("^(.*)@example\\.com$")->find("bob@example.com")->first_group == "bob");
  CHECK_FALSE(regex("^bob")->find("bob")->first_group.has_value());
  CHECK_FALSE(regex("^(x)?bob")->find("bob")->first_group.has_value());
  CHECK(regex("^(x*)bob")->find("bob")->first_group == "");
}

TEST_CASE("what is no expression is an error with its place") {
  const auto bad = Regex::compile("a(b");
  REQUIRE_FALSE(bad.has_value());
  CHECK(bad.error().message.find("at character 4") != std::string::npos);
  for (const char* pattern : {"[", "*", "(?<", "a{2,1}", "\\C"}) {
    CAPTURE(pattern);
    CHECK_FALSE(Regex::compile(pattern).has_value());
  }
}

TEST_CASE("an expression that would take for ever is no match") {
  const auto before = std::chrono::steady_clock::now();
  CHECK_FALSE(regex("^(a+)+$")->find(std::string(60, 'a') + "b").has_value());
  CHECK_FALSE(regex("^((a|a)*)*$")->find(std::string(60, 'a') + "b").has_value());
  CHECK(std::chrono::steady_clock::now() - before < std::chrono::seconds(5));
}
