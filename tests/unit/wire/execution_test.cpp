// One execution and its answer as a whole: what is taken for one, and that nothing else is.
#include "wire/messages/execution.h"

#include <string>
#include <vector>

#include "doctest/doctest.h"
#include "unit/messages.h"
#include "wire/messages/backend.h"

namespace {

using namespace pgweir;
using namespace pgweir::wire;
using test::big_endian;
using test::c_string;

std::string frame(char type, std::string_view body) {
  return std::string(1, type) + big_endian(static_cast<std::uint32_t>(body.size()) + 4) + std::string(body);
}

const std::string kTypes(2, '\0');
const std::string kParse = frame('P', c_string("") + c_string("SELECT 1") + kTypes);
const std::string kBind = frame('B', c_string("") + c_string("") + std::string(6, '\0'));
const std::string kBindNamed = frame('B', c_string("") + c_string("s1") + std::string(6, '\0'));
const std::string kDescribe = frame('D', "P" + c_string(""));
const std::string kExecute = frame('E', c_string("") + big_endian(0));
const std::string kSync = frame('S', "");

// Reads from memory of exactly that size.
std::optional<Execution> read(const std::string& bytes, std::size_t longest = 1000) {
  return read_execution(std::string_view(bytes.data(), bytes.size()), longest);
}

const std::string kRow = frame('D', big_endian(0).substr(2));
const std::string kComplete = frame('C', c_string("SELECT 1"));
const std::string kReady = frame('Z', "I");

std::optional<std::size_t> answer(const std::string& bytes, AnswerShape shape) {
  Frame ready;
  return read_whole_answer(bytes, shape, ready);
}

}  // namespace

TEST_CASE("what drivers send to execute a statement once") {
  for (const bool parses : {false, true})
    for (const bool describes : {false, true}) {
      const std::string whole =
          (parses ? kParse + kBind : kBindNamed) + (describes ? kDescribe : "") + kExecute + kSync;
      const std::string more = whole + kParse;
      const auto found = read(more);
      REQUIRE(found);
      CHECK(found->size == whole.size());
      CHECK(found->parse.has_value() == parses);
      if (parses) CHECK(found->parse->text == "SELECT 1");
      CHECK(found->statement == (parses ? "" : "s1"));
      CHECK(found->describes == describes);
      for (std::size_t size = 0; size < whole.size(); ++size) CHECK_FALSE(read(whole.substr(0, size)));
      CHECK(read(whole, whole.size()));
      CHECK_FALSE(read(whole, whole.size() - 1));
    }
  CHECK(read(kBind + kExecute + kSync));  // of the unnamed statement that was parsed before
}

TEST_CASE("anything else is not taken for it") {
  const std::string named_parse = frame('P', c_string("s1") + c_string("SELECT 1") + kTypes);
  const std::string to_portal = frame('B', c_string("p") + c_string("") + std::string(6, '\0'));
  for (const std::string& bytes : std::vector<std::string>{
           "",
           kSync,
           kParse + kSync,
           named_parse + kBindNamed + kExecute + kSync,
           kParse + kBindNamed + kExecute + kSync,
           to_portal + kExecute + kSync,
           kParse + kDescribe + kBind + kExecute + kSync,
           kBind + frame('D', "S" + c_string("")) + kExecute + kSync,
           kBind + frame('D', "P" + c_string("p")) + kExecute + kSync,
           kBind + frame('D', "P" + c_string("") + "x") + kExecute + kSync,
           kBind + frame('E', c_string("") + big_endian(1)) + kSync,
           kBind + frame('E', c_string("p") + big_endian(0)) + kSync,
           kBind + kExecute + kExecute + kSync,
           kBind + kExecute + frame('H', "") + kSync,
           kBind + kExecute + frame('S', "x"),
           frame('P', c_string("") + "no end") + kBind + kExecute + kSync,
           frame('B', c_string("") + "no end") + kExecute + kSync,
           kBind + std::string("E\0\0\0\1", 5) + kSync,
       }) {
    CAPTURE(bytes);
    CHECK_FALSE(read(bytes));
  }
}

TEST_CASE("a whole answer") {
  const std::string rows = frame('T', kTypes) + kRow + kRow;
  for (const std::string& middle : {rows, frame('T', kTypes), frame('n', "")}) {
    const std::string whole = frame('1', "") + frame('2', "") + middle + kComplete;
    Frame ready;
    const std::string more = whole + kReady + kRow;
    const auto at = read_whole_answer(more, {.parse = true, .bind = true, .describe = true}, ready);
    REQUIRE(at == whole.size());
    CHECK(ready.type == 'Z');
    CHECK(ready.body == "I");
    for (std::size_t size = 0; size < whole.size() + kReady.size(); ++size)
      CHECK_FALSE(answer((whole + kReady).substr(0, size), {.parse = true, .bind = true, .describe = true}));
  }
  CHECK(answer(frame('2', "") + kRow + kComplete + kReady, {.bind = true}));
  CHECK(answer(frame('2', "") + frame('I', "") + kReady, {.bind = true}));
  CHECK(answer(rows + kComplete + kReady, {}));
  CHECK(answer(kComplete + kReady, {}));
}

TEST_CASE("an answer that needs looking into") {
  const AnswerShape query{}, all{.parse = true, .bind = true, .describe = true}, prepared{.bind = true};
  const std::string row_description = frame('T', kTypes);
  const std::string notice = frame('N', std::string(1, '\0')), error = frame('E', std::string(1, '\0'));
  const std::string begin = frame('1', "") + frame('2', "");
  for (const auto& [bytes, shape] : std::vector<std::pair<std::string, AnswerShape>>{
           {error + kReady, query},
           {notice + kComplete + kReady, query},
           {row_description + kRow + error + kReady, query},
           {kComplete + kComplete + kReady, query},
           {row_description + kRow + kReady, query},
           {frame('n', "") + kComplete + kReady, query},
           {frame('G', "") + kReady, query},
           {frame('2', "") + kComplete + kReady, query},
           {frame('2', "") + row_description + kComplete + kReady, all},
           {begin + kComplete + kReady, all},
           {begin + row_description + kRow + notice + kComplete + kReady, all},
           {begin + row_description + frame('s', "") + kReady, all},
           {begin + row_description + kRow + kComplete + kReady, prepared},
           {frame('2', "") + row_description + kComplete + kReady, prepared},
           {frame('2', "") + kComplete + std::string("Z\0\0\0\3", 5), prepared},
       }) {
    CAPTURE(bytes);
    CHECK_FALSE(answer(bytes, shape));
  }
}
