// What is asked about roles; that servers answer it is shown by the integration tests (test_hba.py).
#include "cluster/role_finder.h"

#include <memory>
#include <string>

#include "doctest/doctest.h"
#include "net/loop.h"

using namespace pgweir;
using namespace pgweir::cluster;

TEST_CASE("names are digits: nothing in them is SQL") {
  const std::string query = memberships_query({"al'ice", "b\\"});
  CHECK(query.find("IN ('616c27696365', '625c')") != std::string::npos);
  CHECK(query.find("al'ice") == std::string::npos);
}

TEST_CASE("without a node whoever asks is told so") {
  net::Loop loop;
  const config::PasswordFile passwords;
  RoleFinder finder(loop, config::Settings{}, passwords);
  int answers = 0;
  for (int i = 0; i < 2; ++i)
    finder.find("alice", [&](const base::Result<auth::Memberships>& found) {
      ++answers;
      CHECK_FALSE(found.has_value());
      CHECK(found.error().sqlstate == base::sqlstate::cannot_connect_now);
    });
  CHECK(answers == 2);
}
