#include "config/units.h"

#include <string>

#include "doctest/doctest.h"

using namespace pgweir::config;
using namespace std::chrono_literals;

TEST_CASE("durations are read with every unit and written with the largest that fits") {
  struct Row {
    const char* text;
    Duration value;
    const char* written;
  };
  for (const Row& row :
       {Row{"250us", 250us, "250us"}, Row{"250ms", 250ms, "250ms"}, Row{"1000ms", 1s, "1s"}, Row{"90s", 90s, "90s"},
        Row{"120s", 2min, "2min"}, Row{"60min", 1h, "1h"}, Row{"48h", 48h, "2d"}, Row{"2d", 48h, "2d"},
        Row{"10 s", 10s, "10s"}, Row{"0", 0s, "0"}, Row{"0ms", 0s, "0"}}) {
    CAPTURE(row.text);
    const auto parsed = parse_duration(row.text);
    REQUIRE(parsed.has_value());
    CHECK(*parsed == row.value);
    CHECK(format_duration(*parsed) == row.written);
    CHECK(parse_duration(row.written) == row.value);
  }
}

TEST_CASE("durations that say no unit, a wrong one or too much are refused with the reason") {
  CHECK(parse_duration("10").error() == "it has no unit");
  CHECK(parse_duration("").error() == "it does not begin with a digit");
  CHECK(parse_duration("-1s").error() == "it does not begin with a digit");
  CHECK(parse_duration("1.5s").error() == "it is not a whole number");
  CHECK(parse_duration("10S").error() == "\"S\" is not a unit");
  CHECK(parse_duration("10m").error() == "\"m\" is not a unit");
  CHECK(parse_duration("10s ").error() == "\"s \" is not a unit");
  CHECK(parse_duration("10  s").error() == "\" s\" is not a unit");
  CHECK(parse_duration("10MB").error() == "\"MB\" is not a unit");
  CHECK(parse_duration("99999999999d").error() == "it is too large");
  CHECK(parse_duration("99999999999999999999s").error() == "it is too large");
}

TEST_CASE("sizes are powers of 1024") {
  CHECK(parse_size("64kB") == 65536);
  CHECK(parse_size("8MB") == 8U * 1024 * 1024);
  CHECK(parse_size("1GB") == 1024U * 1024 * 1024);
  CHECK(parse_size("17B") == 17);
  CHECK(parse_size("0") == 0);
  CHECK(parse_size("64").error() == "it has no unit");
  CHECK(parse_size("64KB").error() == "\"KB\" is not a unit");
  CHECK(parse_size("99999999999GB").error() == "it is too large");
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{1023}, 64 * kKiB, 64 * kKiB + 1,
                                  1536 * kKiB, 5 * kMiB, 3 * kGiB, 1024 * kGiB})
    CHECK(parse_size(format_size(bytes)) == bytes);
  CHECK(format_size(1536 * kKiB) == "1536kB");
}

TEST_CASE("switches") {
  for (const char* text : {"true", "on", "yes", "True", "ON"}) CHECK(parse_bool(text) == true);
  for (const char* text : {"false", "off", "no", "No", "OFF"}) CHECK(parse_bool(text) == false);
  for (const char* text : {"", "1", "0", "y", "truee"}) CHECK_FALSE(parse_bool(text).has_value());
}

TEST_CASE("whole numbers") {
  CHECK(parse_whole("5432") == 5432);
  CHECK(parse_whole("0770", 8) == 0770);
  for (const char* text : {"", "-1", "+1", "1.0", "0x10", "1 ", " 1", "1e3"}) {
    CAPTURE(text);
    CHECK(parse_whole(text).error() == "it is not a whole number");
  }
  CHECK(parse_whole("0789", 8).error() == "it is not an octal number");
  CHECK(parse_whole("18446744073709551616").error() == "it is too large");
}

TEST_CASE("values in messages are quoted, escaped and cut") {
  CHECK(in_quotes("a\"b\\") == "\"a\\\"b\\\\\"");
  CHECK(in_quotes("a\nb\x7f") == "\"a\\x0ab\\x7f\"");
  CHECK(in_quotes(std::string(81, 'x')) == "\"" + std::string(80, 'x') + "...\"");
}
