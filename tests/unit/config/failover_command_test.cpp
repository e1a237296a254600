// What the operator's commands are given.
#include "config/failover_command.h"

#include "doctest/doctest.h"

using namespace pgweir::config;

namespace {

const CommandFacts kFacts{
    {"1", "host1", "5401", "/data/1"}, {"2", "host2", "5402", "/data/2"}, {"0", "host0", "5400", "/data/0"}};

}  // namespace

TEST_CASE("each letter") {
  CHECK(expand("%d %h %p %D", kFacts) == "1 host1 5401 /data/1");
  CHECK(expand("%m %H %r %R", kFacts) == "2 host2 5402 /data/2");
  CHECK(expand("%M %P %N %S", kFacts) == "0 0 host0 5400");
  CHECK(placeholders().size() == 12);
}

TEST_CASE("percent signs") {
  CHECK(expand("100%%", kFacts) == "100%");
  CHECK(expand("%%d", kFacts) == "%d");
  CHECK(expand("%d%%%d", kFacts) == "1%1");
  CHECK(expand("", kFacts).empty());
  CHECK(expand("at the end %", kFacts) == "at the end %");
}

TEST_CASE("values are not looked at again") {
  CommandFacts facts = kFacts;
  facts.node.host = "%p";
  CHECK(expand("%h", facts) == "%p");
}

TEST_CASE("letters that stand for nothing") {
  CHECK(wrong_placeholder("").empty());
  CHECK(wrong_placeholder("%d %h %p %D %m %H %r %R %M %P %N %S %%").empty());
  CHECK(wrong_placeholder("date +%%Y %d").empty());
  for (const char* wrong : {"%x", "%", "%% %", "%d %e", "%%%"}) {
    CAPTURE(wrong);
    CHECK(wrong_placeholder(wrong).find("stands for nothing") != std::string::npos);
  }
  CHECK(wrong_placeholder("%x").find("\"%x\"") != std::string::npos);
}
