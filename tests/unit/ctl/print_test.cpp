// How answers are printed.
#include "ctl/print.h"

#include "doctest/doctest.h"

using pgweir::ctl::Answer;
using pgweir::ctl::Format;
using pgweir::ctl::print;

namespace {
const Answer kNodes{{"node", "reason", "state"}, {{"pg1", "", "up"}, {"größer", "", "down"}}};
}

TEST_CASE("a table leaves out what is empty everywhere, and counts characters") {
  CHECK(print(kNodes, Format::table) ==
        "node    state\n"
        "pg1     up\n"
        "größer  down\n");
  CHECK(print({{"node", "state"}, {}}, Format::table) == "node  state\n");
}

TEST_CASE("CSV quotes what needs it") {
  CHECK(print({{"a", "b"}, {{"1,2", "say \"x\""}, {"line\nend", ""}}}, Format::csv) ==
        "a,b\r\n\"1,2\",\"say \"\"x\"\"\"\r\n\"line\nend\",\r\n");
}

TEST_CASE("JSON is a list of objects of strings") {
  CHECK(print({{"a", "b"}, {{"x\\y", "\"\n"}}}, Format::json) ==
        "[\n {\"a\": \"x\\\\y\", \"b\": \"\\\"\\u000a\"}\n]\n");
  CHECK(print({{"a"}, {}}, Format::json) == "[\n]\n");
}
