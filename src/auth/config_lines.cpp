// From files to lines of words; see config_lines.h. Everything here follows PostgreSQL to the letter, since people give
// both programs the same file.
#include "auth/config_lines.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <optional>
#include <system_error>

#include "config/text_file.h"
#include "fmt/format.h"

namespace pgweir::auth {

namespace {

namespace fs = std::filesystem;

/// As PostgreSQL's CONF_FILE_MAX_DEPTH.
constexpr int kDeepest = 10;
/// Files that name themselves twice would be read without end, deep as they may be.
constexpr int kMostFiles = 10'000;

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

std::string beside(const std::string& file, const std::string& name) {
  const fs::path path(name);
  return path.is_absolute() ? name : (fs::path(file).parent_path() / path).string();
}

/// Takes words off the front of one line.
class Scanner {
 public:
  explicit Scanner(std::string_view line) : rest_(line) {}

  struct Scanned {
    Word word;
    bool comma = false;  ///< it ended with one: the field goes on
  };
  /// Nothing at the end of the line and where a comment begins.
  std::optional<Scanned> next();
  [[nodiscard]] bool at_end() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

std::optional<Scanner::Scanned> Scanner::next() {
  rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\r,"), rest_.size()));
  Scanned found;
  bool in_quotes = false, any_quote = false, doubled = false;
  std::size_t at = 0;
  for (; at < rest_.size(); ++at) {
    const char c = rest_[at];
    if (!in_quotes && (is_blank(c) || c == ',')) break;
    if (!in_quotes && c == '#') {
      rest_ = rest_.substr(0, at);
      break;
    }
    // Of two quotes within quotes the second one is meant.
    const bool is_second = c == '"' && doubled;
    if (c != '"' || is_second) found.word.text += c;
    doubled = in_quotes && c == '"' && !is_second;
    if (c != '"') continue;
    in_quotes = !in_quotes;
    any_quote = true;
    if (found.word.text.empty()) found.word.quoted = true;
  }
  found.comma = at < rest_.size() && rest_[at] == ',';
  rest_.remove_prefix(found.comma ? at + 1 : at);
  if (!any_quote && found.word.text.empty()) return std::nullopt;
  return found;
}

/// Reads one file after the other into `lines`.
class Reader {
 public:
  Reader(const Files& files, std::vector<ConfigLine>& lines, int& count)
      : files_(files), lines_(lines), count_(count) {}
  /// The reason why the file cannot be read; empty when it can.
  std::string read(const std::string& path, int depth);

 private:
  void take(ConfigLine line, std::string_view text, int depth);
  [[nodiscard]] Field take_field(Scanner& scanner, ConfigLine& line, int depth);
  void expand(const std::string& name, Field& field, ConfigLine& line, int depth);
  [[nodiscard]] bool include(ConfigLine& line, int depth);

  const Files& files_;
  std::vector<ConfigLine>& lines_;
  int& count_;  ///< of files read, by all readers
};

std::string Reader::read(const std::string& path, int depth) {
  if (depth > kDeepest) return fmt::format("files are nested deeper than {}", kDeepest);
  if (++count_ > kMostFiles) return fmt::format("more than {} files are included", kMostFiles);
  const auto text = files_.read(path);
  if (!text) return text.error().message;
  std::string_view rest = *text;
  for (int number = 1; !rest.empty();) {
    // A backslash at the end of a line joins it with the next one, in comments and quotes too.
    std::string joined;
    std::size_t joined_up_to = 0;
    const int first = number;
    while (!rest.empty()) {
      const std::size_t end = rest.find('\n');
      joined.append(rest.substr(0, end));
      rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
      ++number;
      while (!joined.empty() && (joined.back() == '\r' || joined.back() == '\n')) joined.pop_back();
      if (joined.size() <= joined_up_to || joined.back() != '\\') break;
      joined.pop_back();
      joined_up_to = joined.size();
    }
    take({path, first, {}, {}}, joined, depth);
  }
  return {};
}

void Reader::take(ConfigLine line, std::string_view text, int depth) {
  if (text.find('\0') != std::string_view::npos) line.error = "contains a zero byte";
  for (Scanner scanner(text); !scanner.at_end() && line.error.empty();)
    if (Field field = take_field(scanner, line, depth); !field.empty()) line.fields.push_back(std::move(field));
  if (line.error.empty() && (line.fields.empty() || include(line, depth))) return;
  lines_.push_back(std::move(line));
}

Field Reader::take_field(Scanner& scanner, ConfigLine& line, int depth) {
  Field field;
  for (bool goes_on = true; goes_on && line.error.empty();) {
    auto scanned = scanner.next();
    if (!scanned) break;
    goes_on = scanned->comma;
    const std::string& text = scanned->word.text;
    if (!scanned->word.quoted && text.size() > 1 && text.front() == '@')
      expand(text.substr(1), field, line, depth);
    else
      field.push_back(std::move(scanned->word));
  }
  return field;
}

/// All words of another file stand where its name stood.
void Reader::expand(const std::string& name, Field& field, ConfigLine& line, int depth) {
  const std::string path = beside(line.file, name);
  std::vector<ConfigLine> there;
  if (std::string error = Reader(files_, there, count_).read(path, depth + 1); !error.empty()) {
    line.error = fmt::format("\"@{}\" is {}, which {}", name, path, error);
    return;
  }
  for (ConfigLine& one : there) {
    if (!one.error.empty()) {
      line.error = fmt::format("{}:{}: {}", one.file, one.number, one.error);
      return;
    }
    for (Field& more : one.fields) std::move(more.begin(), more.end(), std::back_inserter(field));
  }
}

/// Whether the line says include and all went well; else there is an error in it, or it is an ordinary line.
bool Reader::include(ConfigLine& line, int depth) {
  if (line.fields.size() != 2) return false;
  const std::string& what = line.fields[0].front().text;
  const bool is_directory = what == "include_dir";
  if (!is_directory && what != "include" && what != "include_if_exists") return false;
  const std::string path = beside(line.file, line.fields[1].front().text);
  std::vector<std::string> paths{path};
  if (is_directory) {
    auto found = files_.list(path);
    if (!found) {
      line.error = fmt::format("{} {}: it {}", what, path, found.error().message);
      return false;
    }
    paths = std::move(*found);
  } else if (what == "include_if_exists" && !files_.exists(path)) {
    return true;
  }
  for (const std::string& one : paths) {
    line.error = read(one, depth + 1);
    if (line.error.empty()) continue;
    line.error = fmt::format("{} {}: it {}", what, one, line.error);
    return false;
  }
  return true;
}

base::Result<std::vector<std::string>> list_directory(const std::string& directory) {
  std::error_code error;
  std::vector<std::string> found;
  for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    std::error_code ignored;  // one that cannot be examined is none, as one that has gone
    if (!name.starts_with('.') && name.size() > 5 && name.ends_with(".conf") && !at->is_directory(ignored))
      found.push_back(at->path().string());
  }
  if (error) return base::fail(base::sqlstate::config_file_error, "cannot be read: " + error.message());
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace

std::string Word::compile() {
  if (!text.starts_with('/')) return {};
  auto compiled = Regex::compile(std::string_view(text).substr(1));
  if (!compiled) return compiled.error().message;
  regex = std::move(*compiled);
  return {};
}

std::string shown(const Word& word) { return fmt::format("\"{}\"", word.text); }

Files files_on_disk() {
  return {[](const std::string& path) { return config::read_text_file(path, config::FileAccess::anyone); },
          [](const std::string& path) {
            std::error_code error;
            return fs::exists(path, error) || error;  // one that cannot be examined is there: reading it says why
          },
          list_directory};
}

std::vector<ConfigLine> read_config_lines(const std::string& path, const Files& files) {
  std::vector<ConfigLine> lines;
  int count = 0;
  if (std::string error = Reader(files, lines, count).read(path, 0); !error.empty())
    lines.push_back({path, 0, {}, std::move(error)});
  return lines;
}

}  // namespace pgweir::auth
