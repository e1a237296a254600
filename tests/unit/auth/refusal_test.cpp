// The words of refusals are PostgreSQL's.
#include "auth/refusal.h"

#include <string>

#include "doctest/doctest.h"

using namespace pgweir;
using namespace pgweir::auth;

TEST_CASE("no line, and a line that rejects") {
  Asking asking;
  asking.from = *parse_address("127.0.0.1");
  asking.user = "alice";
  asking.database = "db";
  CHECK(refused(asking, nullptr).message ==
        "no pg_hba.conf entry for host \"127.0.0.1\", user \"alice\", database \"db\", no encryption");
  const HbaLine line;
  CHECK(refused(asking, &line).message ==
        "pg_hba.conf rejects connection for host \"127.0.0.1\", user \"alice\", database \"db\", no encryption");
  asking.tls = true;
  asking.from = {};
  CHECK(refused(asking, nullptr).message ==
        "no pg_hba.conf entry for host \"[local]\", user \"alice\", database \"db\", SSL encryption");
  asking.replication = wire::Replication::physical;
  CHECK(refused(asking, nullptr).message ==
        "no pg_hba.conf entry for replication connection from host \"[local]\", user \"alice\", SSL encryption");
  CHECK(refused(asking, &line).message ==
        "pg_hba.conf rejects replication connection for host \"[local]\", user \"alice\", SSL encryption");
  CHECK(refused(asking, &line).sqlstate == base::sqlstate::invalid_authorization_specification);
}

TEST_CASE("a method that has failed") {
  for (const auto method : {Method::password, Method::md5, Method::scram_sha_256}) {
    CHECK(failed(method, "alice").message == "password authentication failed for user \"alice\"");
    CHECK(failed(method, "alice").sqlstate == base::sqlstate::invalid_password);
  }
  CHECK(failed(Method::peer, "alice").message == "Peer authentication failed for user \"alice\"");
  CHECK(failed(Method::cert, "alice").message == "certificate authentication failed for user \"alice\"");
  CHECK(failed(Method::ldap, "alice").message == "LDAP authentication failed for user \"alice\"");
  CHECK(failed(Method::pam, "alice").message == "PAM authentication failed for user \"alice\"");
  CHECK(failed(Method::trust, "alice").message == "\"trust\" authentication failed for user \"alice\"");
  CHECK(failed(Method::reject, "alice").message == "authentication failed for user \"alice\": host rejected");
  CHECK(failed(Method::peer, "alice").sqlstate == base::sqlstate::invalid_authorization_specification);
}
