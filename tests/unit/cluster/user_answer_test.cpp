// What the rows of auth.auth_query mean.
#include "cluster/user_answer.h"

#include <chrono>
#include <string>
#include <variant>

#include "doctest/doctest.h"

using namespace pgweir;
using namespace std::chrono_literals;
using base::WallTime;
using cluster::parse_timestamp;
using cluster::Rows;
using cluster::user_from;

namespace {
WallTime at(int year, unsigned month, unsigned day, std::chrono::seconds time) {
  return WallTime{std::chrono::sys_days{std::chrono::year{year} / static_cast<int>(month) / static_cast<int>(day)}} +
         time;
}
const std::string kMd5 = "md5" + std::string(32, 'a');
}  // namespace

TEST_CASE("a user with a secret, with and without an end") {
  const auto two = user_from({{"alice", kMd5}}, "alice");
  REQUIRE(two.has_value());
  CHECK(std::get<config::Md5Hash>(*two->secret).text == kMd5);
  CHECK(two->valid_until == WallTime::max());
  const auto null = user_from({{"alice", kMd5, std::nullopt}}, "alice");
  REQUIRE(null.has_value());
  CHECK(null->valid_until == WallTime::max());
  const auto three = user_from({{"alice", kMd5, "2026-11-28 23:20:46+00"}}, "alice");
  REQUIRE(three.has_value());
  CHECK(three->valid_until == at(2026, 11, 28, 23h + 20min + 46s));
}

TEST_CASE("no such user, or one without a password") {
  for (const Rows& rows : {Rows{}, Rows{{std::nullopt, std::nullopt}}, Rows{{std::nullopt, kMd5, std::nullopt}},
                           Rows{{"alice", std::nullopt}}, Rows{{"alice", ""}}}) {
    const auto known = user_from(rows, "alice");
    REQUIRE(known.has_value());
    CHECK_FALSE(known->secret.has_value());
  }
}

TEST_CASE("answers that cannot be used are refused, without the secret") {
  for (const Rows& rows : {Rows{{"alice", kMd5}, {"alice", kMd5}}, Rows{{"alice"}},
                           Rows{{"alice", kMd5, std::nullopt, "x"}}, Rows{{"bob", kMd5}}, Rows{{"Alice", kMd5}},
                           Rows{{"alice", kMd5, "tomorrow"}}, Rows{{"alice", "SCRAM-SHA-256$hunter2"}}}) {
    const auto known = user_from(rows, "alice");
    REQUIRE_FALSE(known.has_value());
    CHECK(known.error().message == "auth.auth_query gives an answer that cannot be used");
    CHECK(known.error().detail.find("hunter2") == std::string::npos);
    CHECK(known.error().detail.find("aaaa") == std::string::npos);
  }
}

TEST_CASE("times as PostgreSQL writes them") {
  CHECK(parse_timestamp("infinity") == WallTime::max());
  CHECK(parse_timestamp("-infinity") == WallTime::min());
  CHECK(parse_timestamp("2000-02-29 00:00:00+00") == at(2000, 2, 29, 0s));
  CHECK(parse_timestamp("2026-11-28 23:20:46.123456+00") == at(2026, 11, 28, 23h + 20min + 46s));
  CHECK(parse_timestamp("2026-11-28 23:20:46+02") == at(2026, 11, 28, 21h + 20min + 46s));
  CHECK(parse_timestamp("2026-11-28 23:20:46-03:30") == at(2026, 11, 29, 2h + 50min + 46s));
  CHECK(parse_timestamp("1883-11-18 12:00:00+05:53:28") == at(1883, 11, 18, 6h + 6min + 32s));
  CHECK(parse_timestamp("0044-03-15 12:00:00+00 BC") == WallTime::min());
  CHECK(parse_timestamp("294276-12-31 23:59:59+00") == WallTime::max());
  for (const std::string_view text :
       {"", "now", "2026", "2026-11-28", "2026-11-28 23:20", "2026-11-28 23:20:46", "2026-13-28 23:20:46+00",
        "2026-02-30 23:20:46+00", "28.11.2026 23:20:46+00", "2026-11-28T23:20:46+00", "2026-11-28 23:20:46+00 AD",
        "2026-11-28 23:20:46+0", "-2026-11-28 23:20:46+00", "2026-11-28 23:20:46+00:", "2026-1-28 23:20:46+00"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_timestamp(text).has_value());
  }
}

TEST_CASE("no cut time is mistaken for another kind of answer") {
  const std::string whole = "2026-11-28 23:20:46.5-03:30";
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const auto parsed = parse_timestamp(std::string_view(whole).substr(0, size));
    // Only a shorter offset is a time as well.
    CHECK(parsed.has_value() == (size == whole.find("-03:30") + 3));
  }
}
