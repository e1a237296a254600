// The pure parts of a login by LDAP; the rest is asked of a real server in test_ldap.py.
#include "net/ldap_login.h"

#include "doctest/doctest.h"

using namespace pgweir::net;

TEST_CASE("the addresses of LDAP servers") {
  LdapRequest request;
  CHECK(ldap_uris(request) == "");
  request.servers = "a.example  b.example ::1";
  CHECK(ldap_uris(request) == "ldap://a.example:389 ldap://b.example:389 ldap://[::1]:389");
  request.scheme = "ldaps";
  CHECK(ldap_uris(request) == "ldaps://a.example:636 ldaps://b.example:636 ldaps://[::1]:636");
  request.port = 1636;
  request.servers = "a";
  CHECK(ldap_uris(request) == "ldaps://a:1636");
}

TEST_CASE("the filter of a search") {
  LdapRequest request;
  request.user = "alice";
  CHECK(ldap_filter(request) == "(uid=alice)");
  request.search_attribute = "cn";
  CHECK(ldap_filter(request) == "(cn=alice)");
  request.search_filter = "(|(uid=$username)(mail=$username@example.org))";
  CHECK(ldap_filter(request) == "(|(uid=alice)(mail=alice@example.org))");
}

TEST_CASE("names that would be more than a name in a filter") {
  for (const char* name : {"alice", "al.ice", "al ice", "al=ice", "al,ice"}) CHECK(fits_into_filter(name));
  for (const char* name : {"*", "a*", "alice)(uid=*", "(", ")", "a\\2a", "a/b"}) CHECK_FALSE(fits_into_filter(name));
}

TEST_CASE("an empty password is never asked about: a bind without one is anonymous and succeeds") {
  LdapRequest request;
  request.servers = "256.256.256.256";
  const auto right = ldap_login(request);
  CHECK((!has_ldap() || (right.has_value() && !*right)));
}
