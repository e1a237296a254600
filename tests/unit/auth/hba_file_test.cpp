// What may stand in an HBA file, and what is said about the rest: file, line, what was found, what is allowed.
#include "auth/hba_file.h"

#include <map>
#include <string>
#include <vector>

#include "doctest/doctest.h"
#include "unit/auth/memory_files.h"

using namespace pgweir;
using namespace pgweir::auth;
using Type = HbaLine::Type;

namespace {

config::Checked<Hba> parse(const std::string& text) {
  const test::MemoryFiles memory({{"/etc/hba", text}, {"/etc/bad", "local all\n"}, {"/etc/good", "local x y trust\n"}});
  return parse_hba("/etc/hba", memory.files());
}

HbaLine line(const std::string& text) {
  auto parsed = parse(text);
  if (!parsed) FAIL(parsed.error().front().text());
  REQUIRE(parsed->size() == 1);
  return parsed->front();
}

// What is wrong with a single line.
std::string error(const std::string& text) {
  const auto parsed = parse(text);
  REQUIRE_FALSE(parsed.has_value());
  REQUIRE(parsed.error().size() == 1);
  return parsed.error().front().message;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("every type and method") {
  CHECK(line("local all all trust").type == Type::local);
  CHECK(line("host all all all trust").type == Type::host);
  CHECK(line("hostssl all all all cert").type == Type::hostssl);
  CHECK(line("hostnossl all all all reject").type == Type::hostnossl);
  CHECK(line("hostgssenc all all all trust").type == Type::hostgssenc);
  CHECK(line("hostnogssenc all all all md5").type == Type::hostnogssenc);
  for (const auto method :
       {Method::trust, Method::reject, Method::password, Method::md5, Method::scram_sha_256, Method::pam})
    CHECK(line("host all all all " + std::string(name_of(method))).method == method);
  CHECK(line("local all all peer").method == Method::peer);
  CHECK(line("local all all ident").method == Method::peer);  // as in PostgreSQL
  CHECK(line("host all all all ldap ldapserver=x ldapprefix=cn=").method == Method::ldap);
  CHECK(line("hostgssenc all all all gss include_realm=0").type == Type::hostgssenc);
}

TEST_CASE("words of all fields") {
  const HbaLine one = line("host \"a b\",c +d,/^e 10.0.0.0/8 trust");
  CHECK(one.databases[0].text == "a b");
  CHECK(one.databases[0].quoted);
  CHECK(one.users[0].text == "+d");
  CHECK(one.users[1].regex);
  CHECK(one.network.text() == "10.0.0.0");
  CHECK(one.mask.text() == "255.0.0.0");
  CHECK(one.place() == "/etc/hba:1");
  CHECK(line("host all all 10.0.0.0 255.255.0.0 trust").mask.text() == "255.255.0.0");
  CHECK(line("host all all fe80::/10 trust").mask.text() == "ffc0::");
}

TEST_CASE("lines that end too early") {
  CHECK(has(error("local"), "ends before the database"));
  CHECK(has(error("local all"), "ends before the user"));
  CHECK(has(error("local all all"), "ends before the method; allowed is trust, reject, password"));
  CHECK(has(error("host all all"), "ends before the address"));
  CHECK(has(error("host all all 10.0.0.1"), "ends before the mask"));
  CHECK(has(error("host all all 10.0.0.1/8"), "ends before the method"));
  CHECK(has(error("host all all all"), "ends before the method"));
}

TEST_CASE("words that are not allowed are named, with what is") {
  CHECK(has(error("tcp all all all trust"), "found connection type \"tcp\"; allowed are local, host, hostssl"));
  CHECK(has(error("LOCAL all all trust"), "found connection type"));
  CHECK(has(error("local,host all all trust"), "has 2 values for the connection type"));
  CHECK(has(error("include a b"), "found connection type \"include\""));
  CHECK(has(error("host all all 10.0.0.0/8,10.1.0.0/16 trust"), "has 2 values for the address"));
  CHECK(has(error("host all all 10.0.0.0/33 trust"), "whose mask is not a number from 0 to 32"));
  CHECK(has(error("host all all ::/129 trust"), "from 0 to 128"));
  for (const char* bits : {"", "x", "-1", "8x", "8/8"}) {
    CAPTURE(bits);
    CHECK(has(error("host all all 10.0.0.0/" + std::string(bits) + " trust"), "whose mask is not a number"));
  }
  CHECK(has(error("host all all 10.0.0.0 255.0.0 x"), "found method"));
  CHECK(has(error("host all all 10.0.0.0 ffff:: trust"), "found mask \"ffff::\""));
  CHECK(has(error("host all all 10.0.0.0 trust"), "found mask \"trust\""));
  for (const char* name :
       {"db.example.com", ".example.com", "localhost", "\"all\"", "\"samehost\"", "ALL", "10.0.0.x"}) {
    CAPTURE(name);
    CHECK(has(error("host all all " + std::string(name) + " trust"), "host names are not supported"));
  }
  CHECK(has(error("local all all scram"), "found method \"scram\"; allowed are trust"));
  CHECK(has(error("local all all trust,md5"), "has 2 values for the method"));
  CHECK(has(error("local all all TRUST"), "found method"));
  for (const char* method : {"gss", "sspi", "ident", "radius", "bsd", "oauth"}) {
    CAPTURE(method);
    CHECK(has(error("host all all all " + std::string(method)), "is not supported by pgweir"));
  }
  CHECK(has(error("host all all all peer"), "for local lines only"));
  CHECK(has(error("host all all all cert"), "for hostssl lines only"));
  CHECK(has(error("local all /( trust"), "user \"/(\" is no regular expression"));
  CHECK(has(error("local /[ all trust"), "database \"/[\" is no regular expression"));
  CHECK(has(error("local all all trust x"), "options of the form name=value"));
}

TEST_CASE("all problems of all files at once, each with its place") {
  const auto parsed = parse("local all all trust\nlocal\n\ninclude bad\nhost all all all nonsense\n@missing\n");
  REQUIRE_FALSE(parsed.has_value());
  std::vector<std::string> places;
  for (const auto& problem : parsed.error()) places.push_back(problem.file + ":" + std::to_string(problem.line));
  CHECK(places == std::vector<std::string>{"/etc/hba:2", "/etc/bad:1", "/etc/hba:5", "/etc/hba:6"});
  CHECK(has(parsed.error()[0].text(), "/etc/hba:2: ends before the database"));
}

TEST_CASE("included lines are in their place") {
  const auto parsed = parse("include good\nlocal all all reject");
  REQUIRE(parsed.has_value());
  REQUIRE(parsed->size() == 2);
  CHECK((*parsed)[0].place() == "/etc/good:1");
  CHECK((*parsed)[1].place() == "/etc/hba:2");
}

TEST_CASE("a file that lets nobody in by mistake is a problem") {
  for (const char* text : {"", "# local all all trust\n", "include_if_exists none\n"}) {
    CAPTURE(text);
    CHECK(has(error(text), "has no entries"));
  }
  const auto missing = load_hba("/nonexistent/pg_hba.conf");
  REQUIRE_FALSE(missing.has_value());
  CHECK(missing.error().front().text() == "/nonexistent/pg_hba.conf: cannot be opened: No such file or directory");
}

TEST_CASE("every truncation of a file is read or refused") {
  const std::string text =
      "host \"a\"\"b\",c +d,/^e(f)$ 10.0.0.0/8 ldap ldapserver=x ldapprefix=\"cn=\"\nhostssl all all ::1 ffff:: cert "
      "map=m clientname=DN \\\n # x\nlocal all @/etc/good peer map=x\n";
  for (std::size_t size = 0; size <= text.size(); ++size) {
    const auto parsed = parse(text.substr(0, size));
    if (!parsed) CHECK_FALSE(parsed.error().empty());
    if (parsed) CHECK_FALSE(parsed->empty());
  }
  CHECK(parse(text).has_value());
}
