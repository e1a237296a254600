// Lines, fields and words as PostgreSQL's tokenizer makes them, and files within files.
#include "auth/config_lines.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "doctest/doctest.h"
#include "unit/auth/memory_files.h"

using namespace pgweir;
using namespace pgweir::auth;

namespace {

// "a|b,'c'" for two fields, the second one of two words, of which the last was in quotes; an error as "!...".
std::string shown_lines(const std::vector<ConfigLine>& lines) {
  std::string out;
  for (const ConfigLine& line : lines) {
    if (!out.empty()) out += "\n";
    if (!line.error.empty()) {
      out += "!" + line.error;
      continue;
    }
    for (std::size_t i = 0; i < line.fields.size(); ++i) {
      if (i > 0) out += "|";
      for (std::size_t j = 0; j < line.fields[i].size(); ++j) {
        const Word& word = line.fields[i][j];
        out += (j > 0 ? "," : "") + (word.quoted ? "'" + word.text + "'" : word.text);
      }
    }
  }
  return out;
}

std::vector<ConfigLine> lines_of(std::map<std::string, std::string> texts) {
  const test::MemoryFiles memory(std::move(texts));
  return read_config_lines("/etc/hba", memory.files());
}

std::string read(const std::string& text) { return shown_lines(lines_of({{"/etc/hba", text}})); }

}  // namespace

TEST_CASE("words, fields, comments") {
  CHECK(read("").empty());
  CHECK(read("\n \t\r\n# nothing\n   # nothing\n").empty());
  CHECK(read("local all all trust") == "local|all|all|trust");
  CHECK(read("\t a\tb  c \r\n d") == "a|b|c\nd");
  CHECK(read("a b # c d") == "a|b");
  CHECK(read("a b#c d") == "a|b");
  CHECK(read("a,b c") == "a,b|c");
  CHECK(read("a, b c") == "a,b|c");
  CHECK(read("a ,b c") == "a|b|c");
  CHECK(read(",,a,,b c") == "a,b|c");
  CHECK(read("a,#b\nc") == "a\nc");
}

TEST_CASE("quotes keep blanks, commas and signs, and take away the meaning") {
  CHECK(read(R"("all" all)") == "'all'|all");
  CHECK(read(R"("a b","c,d" "e#f")") == "'a b','c,d'|'e#f'");
  CHECK(read(R"(a"b c"d)") == "ab cd");
  CHECK(read(R"("say ""hello""")") == R"('say "hello"')");
  CHECK(read(R"("" x)") == "''|x");
  CHECK(read(R"("""")") == R"('"')");
  CHECK(read(R"(a"" b)") == "a|b");
  CHECK(read(R"("@x" @)") == "'@x'|@");
  CHECK(read("\"no end # x\ny") == "'no end # x'\ny");
  CHECK(read("map=\"a b\"") == "map=a b");
}

TEST_CASE("a backslash at the end joins lines, in comments and quotes too") {
  CHECK(read("a \\\nb") == "a|b");
  CHECK(read("a\\\nb") == "ab");
  CHECK(read("a\\\r\nb") == "ab");
  CHECK(read("# x \\\ny\nz") == "z");
  CHECK(read("\"a\\\n b\"") == "'a b'");
  CHECK(read("a\\\\\nb") == "a\\b");
  CHECK(read("a\\\n\\\nb") == "ab");
  CHECK(read("a\\") == "a");
  CHECK(read("a\\ \nb") == "a\\\nb");
  const auto lines = lines_of({{"/etc/hba", "\na\\\nb\\\nc\nd\n"}});
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].number == 2);
  CHECK(lines[1].number == 5);
}

TEST_CASE("@files stand for their words, beside the file that names them") {
  CHECK(shown_lines(lines_of({{"/etc/hba", "a @users,c d"}, {"/etc/users", "x y # z\n\"all\",w\n"}})) ==
        "a|x,y,'all',w,c|d");
  CHECK(shown_lines(lines_of({{"/etc/hba", "@sub/one"}, {"/etc/sub/one", "@two"}, {"/etc/sub/two", "x"}})) == "x");
  CHECK(shown_lines(lines_of({{"/etc/hba", "@/other/x"}, {"/other/x", "y"}})) == "y");
  CHECK(shown_lines(lines_of({{"/etc/hba", "a @empty b"}, {"/etc/empty", "# none\n"}})) == "a|b");
  CHECK(read("a @missing b\nc") == "!\"@missing\" is /etc/missing, which cannot be opened: not there\nc");
  CHECK(shown_lines(lines_of({{"/etc/hba", "a @b"}, {"/etc/b", "x\ny @c\n"}})) ==
        "!/etc/b:2: \"@c\" is /etc/c, which cannot be opened: not there");
}

TEST_CASE("include, include_if_exists and include_dir stand for the lines of files") {
  const auto lines = lines_of({{"/etc/hba", "a\ninclude more\nb\n"}, {"/etc/more", "\nx\ninclude_if_exists none\n"}});
  CHECK(shown_lines(lines) == "a\nx\nb");
  CHECK(lines[1].file == "/etc/more");
  CHECK(lines[1].number == 2);
  CHECK(lines[2].file == "/etc/hba");
  CHECK(shown_lines(lines_of({{"/etc/hba", "include_dir d"}, {"/etc/d/1.conf", "x"}, {"/etc/d/2.conf", "y"}})) ==
        "x\ny");
  CHECK(read("include none\na") == "!include /etc/none: it cannot be opened: not there\na");
  CHECK(read("include_dir none") == "!include_dir /etc/none: it cannot be read: not there");
  CHECK(shown_lines(lines_of({{"/etc/hba", "include_if_exists b"}, {"/etc/b", "include c"}})) ==
        "!include /etc/c: it cannot be opened: not there");
  CHECK(read("include a b") == "include|a|b");  // for the parser to refuse
  CHECK(read("include") == "include");
}

TEST_CASE("files that include each other end") {
  const auto many = lines_of({{"/etc/hba", "include hba\ninclude hba\ninclude hba\ninclude hba\na @hba,@hba,@hba"}});
  CHECK(many.size() < 100'000);
  CHECK(shown_lines(many).find("more than 10000 files") != std::string::npos);
  CHECK(shown_lines(lines_of({{"/etc/hba", "include hba"}})).find("nested deeper than 10") != std::string::npos);
  CHECK(shown_lines(lines_of({{"/etc/hba", "a @hba"}})).find("nested deeper than 10") != std::string::npos);
}

TEST_CASE("what cannot be read is an error with its place") {
  const auto missing = lines_of({});
  REQUIRE(missing.size() == 1);
  CHECK(missing[0].number == 0);
  CHECK(missing[0].file == "/etc/hba");
  CHECK(read(std::string("a \0 b\nc", 7)) == "!contains a zero byte\nc");
}

TEST_CASE("on the disk: directories are read in order, hidden and other files left out") {
  namespace fs = std::filesystem;
  std::string name = (fs::temp_directory_path() / "pgweir-lines-XXXXXX").string();
  REQUIRE(::mkdtemp(name.data()) != nullptr);
  const fs::path directory(name);
  fs::create_directory(directory / "d");
  fs::create_directory(directory / "d" / "3.conf");
  const auto write = [&](const std::string& path, const std::string& text) { std::ofstream(directory / path) << text; };
  write("d/2.conf", "two");
  write("d/1.conf", "one");
  write("d/.hidden.conf", "hidden");
  write("d/other", "other");
  write("d/.conf", "none");
  write("hba", "include_dir d\ninclude_if_exists gone\ninclude d/other\n");
  CHECK(shown_lines(read_config_lines((directory / "hba").string(), files_on_disk())) == "one\ntwo\nother");
  fs::remove_all(directory);
}
