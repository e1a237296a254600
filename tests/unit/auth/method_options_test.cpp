// The options of methods: which line may have which, and what they set.
#include "auth/method_options.h"

#include <string>

#include "auth/hba_file.h"
#include "doctest/doctest.h"
#include "unit/auth/memory_files.h"

using namespace pgweir;
using namespace pgweir::auth;

namespace {

config::Checked<Hba> parse(const std::string& text) {
  const test::MemoryFiles memory({{"/hba", text}});
  return parse_hba("/hba", memory.files());
}

HbaLine line(const std::string& text) {
  auto parsed = parse(text);
  if (!parsed) FAIL(parsed.error().front().text());
  return parsed->front();
}

std::string error(const std::string& text) {
  const auto parsed = parse(text);
  REQUIRE_FALSE(parsed.has_value());
  return parsed.error().front().message;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

HbaLine ldap(const std::string& options) { return line("host all all all ldap " + options); }

}  // namespace

TEST_CASE("map, clientcert and clientname") {
  CHECK(line("local all all peer map=m").map == "m");
  CHECK(line("local all all peer map=a map=b").map == "b");
  CHECK(line("hostssl all all all cert map=\"a b\"").map == "a b");
  CHECK(has(error("host all all all trust map=m"), "option map is for methods peer and cert only"));
  using ClientCert = HbaLine::ClientCert;
  CHECK(line("hostssl all all all md5").client_cert == ClientCert::off);
  CHECK(line("hostssl all all all md5 clientcert=verify-ca").client_cert == ClientCert::verify_ca);
  CHECK(line("hostssl all all all trust clientcert=verify-full").client_cert == ClientCert::verify_full);
  CHECK(line("hostssl all all all cert").client_cert == ClientCert::verify_full);
  CHECK(line("hostssl all all all cert clientcert=verify-full").client_cert == ClientCert::verify_full);
  CHECK(has(error("hostssl all all all cert clientcert=verify-ca"), "only verify-full with method cert"));
  CHECK(has(error("hostssl all all all md5 clientcert=1"), "allowed is verify-ca or verify-full"));
  CHECK(has(error("host all all all md5 clientcert=verify-ca"), "is for hostssl lines only"));
  CHECK(line("hostssl all all all cert").client_name == HbaLine::ClientName::cn);
  CHECK(line("hostssl all all all cert clientname=DN").client_name == HbaLine::ClientName::dn);
  CHECK(has(error("hostssl all all all cert clientname=dn"), "allowed is CN or DN"));
}

TEST_CASE("pam") {
  CHECK(line("host all all all pam").pam_service == "postgresql");
  CHECK(line("host all all all pam pamservice=weir pam_use_hostname=1").pam_service == "weir");
  CHECK(line("host all all all pam pamservice=weir pam_use_hostname=1").pam_use_hostname);
  CHECK(has(error("host all all all md5 pamservice=x"), "is for method pam only"));
}

TEST_CASE("ldap: bind as the user, or search first") {
  const HbaLine simple = ldap("ldapserver=\"a b\" ldapport=389 ldapprefix=\"cn=\" ldapsuffix=\", dc=x\" ldaptls=1");
  REQUIRE(simple.ldap.has_value());
  CHECK(simple.ldap->server == "a b");
  CHECK(simple.ldap->port == 389);
  CHECK(simple.ldap->prefix == "cn=");
  CHECK(simple.ldap->suffix == ", dc=x");
  CHECK(simple.ldap->tls);
  const HbaLine search =
      ldap("ldapserver=a ldapscheme=ldaps ldapbasedn=\"dc=x\" ldapbinddn=b ldapbindpasswd=c ldapsearchattribute=uid");
  CHECK(search.ldap->scheme == "ldaps");
  CHECK(search.ldap->base_dn == "dc=x");
  CHECK(search.ldap->bind_dn == "b");
  CHECK(search.ldap->bind_password == "c");
  CHECK(search.ldap->search_attribute == "uid");
  CHECK(search.ldap->scope == LdapOptions::Scope::sub);
  const auto refused = [](const std::string& options) { return error("host all all all ldap " + options); };
  CHECK(has(refused(""), "needs the option ldapserver"));
  CHECK(has(refused("ldapserver=a"), "needs one of the options ldapbasedn, ldapprefix or ldapsuffix"));
  CHECK(has(refused("ldapserver=a ldapprefix=x ldapbasedn=y"), "do not go together"));
  CHECK(has(refused("ldapserver=a ldapbasedn=y ldapsearchattribute=x ldapsearchfilter=y"), "do not go together"));
  CHECK(has(refused("ldapserver=a ldapprefix=x ldapport=0"), "a number from 1 to 65535"));
  CHECK(has(refused("ldapserver=a ldapprefix=x ldapport=x"), "a number from 1 to 65535"));
  CHECK(has(refused("ldapserver=a ldapprefix=x ldapscheme=http"), "ldap or ldaps"));
  CHECK(has(error("host all all all md5 ldapserver=a"), "is for method ldap only"));
}

TEST_CASE("ldapurl is taken apart") {
  const HbaLine all = ldap("ldapurl=\"ldaps://ldap.example.net:1636/dc=example,dc=net??one?(a=b%20c)\"");
  CHECK(all.ldap->scheme == "ldaps");
  CHECK(all.ldap->server == "ldap.example.net");
  CHECK(all.ldap->port == 1636);
  CHECK(all.ldap->base_dn == "dc=example,dc=net");
  CHECK(all.ldap->search_attribute.empty());
  CHECK(ldap("ldapurl=ldap://h/dc=x?uid").ldap->search_attribute == "uid");
  CHECK(all.ldap->scope == LdapOptions::Scope::one);
  CHECK(all.ldap->search_filter == "(a=b c)");
}

TEST_CASE("ldapurl: attribute and filter together are too much, as in single options") {
  CHECK(has(error("host all all all ldap ldapurl=\"ldap://h/dc=x?uid?sub?(a=b)\""), "do not go together"));
  const HbaLine filter = ldap("ldapurl=\"ldap://h/dc=x??sub?(uid=$username)\"");
  CHECK(filter.ldap->search_filter == "(uid=$username)");
  CHECK(filter.ldap->port == 0);
  CHECK(ldap("ldapurl=ldap://[::1]:389/dc=x").ldap->server == "[::1]");
  CHECK(ldap("ldapurl=ldap://h/dc=x").ldap->scope == LdapOptions::Scope::base);
  for (const char* url :
       {"http://h/dc=x", "ldap:h", "ldap://h/dc=%zz", "ldap://h/dc=x%2", "ldap://h/dc=x?a?sub?f?ext"}) {
    CAPTURE(url);
    CHECK(has(error("host all all all ldap ldapurl=\"" + std::string(url) + "\""), "option ldapurl"));
  }
  CHECK(has(error("host all all all ldap ldapurl=ldap://h/dc=x??deep"), "base, one or sub"));
}

TEST_CASE("other names are refused with those that exist") {
  CHECK(has(error("local all all trust x=y"), "found option \"x\"; allowed are map, clientcert"));
  CHECK(has(error("local all all trust map"), "of the form name=value"));
}
