// What clients are told at login, and what follows from it.
#include "session/welcomes.h"

#include "doctest/doctest.h"
#include "pool/server_connection.h"

using pgweir::session::is_unsafe_encoding;

TEST_CASE("settings under which a text could be read differently from how the server reads it") {
  CHECK_FALSE(is_unsafe_encoding({}));
  CHECK_FALSE(is_unsafe_encoding({{"client_encoding", "UTF8"}, {"standard_conforming_strings", "on"}}));
  CHECK_FALSE(is_unsafe_encoding({{"server_encoding", "SJIS"}}));
  CHECK(is_unsafe_encoding({{"client_encoding", "UTF8"}, {"standard_conforming_strings", "off"}}));
  for (const char* encoding : {"SJIS", "BIG5", "GBK", "UHC", "GB18030", "JOHAB", "SHIFT_JIS_2004"})
    CHECK(is_unsafe_encoding({{"standard_conforming_strings", "on"}, {"client_encoding", encoding}}));
}

TEST_CASE("clients with the same start-up parameters are told the same, but for their own application_name") {
  using pgweir::session::Parameters;
  using pgweir::session::Welcome;
  using pgweir::session::Welcomes;
  Welcomes welcomes;
  const auto key = [](const Parameters& parameters) { return Welcomes::key("db", "user", parameters, ""); };
  const Parameters plain{{"TimeZone", "UTC"}};
  const auto welcome = [](const Parameters& parameters) {
    return std::make_shared<const Welcome>(std::make_shared<const Parameters>(parameters));
  };
  CHECK(welcomes.find(key(plain), plain) == nullptr);
  const auto told = welcome({{"TimeZone", "UTC"}, {"application_name", ""}});
  welcomes.remember(key(plain), told);
  CHECK(welcomes.find(key(plain), plain) == told);
  CHECK(welcomes.find(key({{"TimeZone", "GMT"}}), {}) == nullptr);

  const Parameters first{{"application_name", "first"}}, second{{"application_name", "second"}};
  CHECK(key(first) == key(second));
  welcomes.remember(key(first), welcome(first));
  const auto own = welcomes.find(key(second), second);
  REQUIRE(own);
  CHECK(*own->parameters == second);
  CHECK(own->hash == pgweir::pool::hash_of(second));
  CHECK(own->messages == std::string("S\0\0\0\x1c"
                                     "application_name\0second\0",
                                     29));
  // The server would report another value: only it can tell which.
  CHECK_FALSE(key({{"application_name", "caf\xc3\xa9"}}) == key(first));
}

TEST_CASE("what is remembered is bounded") {
  using pgweir::session::Welcomes;
  Welcomes welcomes;
  for (int i = 0; i <= 1000; ++i) welcomes.remember(std::to_string(i), nullptr);
  const auto nothing = std::make_shared<const pgweir::session::Parameters>();
  welcomes.remember("last", std::make_shared<const pgweir::session::Welcome>(nothing));
  CHECK(welcomes.find("last", {}) != nullptr);
  CHECK(welcomes.find("0", {}) == nullptr);
}
