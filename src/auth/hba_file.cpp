// The lines of an HBA file, field by field; see hba_file.h. Source of what is allowed: PostgreSQL documentation 16,
// "The pg_hba.conf File" and the pages of the methods; backend/libpq/hba.c, parse_hba_line.
#include "auth/hba_file.h"

#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "auth/method_options.h"
#include "fmt/format.h"

namespace pgweir::auth {

namespace {

using Type = HbaLine::Type;
using From = HbaLine::From;

template <class E>
struct Named {
  std::string_view name;
  E value;
};
template <class E>
Named(std::string_view, E) -> Named<E>;  // Clang 14 does not find it by itself

constexpr std::array kTypes{Named{"local", Type::local},           Named{"host", Type::host},
                            Named{"hostssl", Type::hostssl},       Named{"hostnossl", Type::hostnossl},
                            Named{"hostgssenc", Type::hostgssenc}, Named{"hostnogssenc", Type::hostnogssenc}};
constexpr std::array kMethods{Named{"trust", Method::trust},
                              Named{"reject", Method::reject},
                              Named{"password", Method::password},
                              Named{"md5", Method::md5},
                              Named{"scram-sha-256", Method::scram_sha_256},
                              Named{"peer", Method::peer},
                              Named{"cert", Method::cert},
                              Named{"ldap", Method::ldap},
                              Named{"pam", Method::pam}};
constexpr std::array<std::string_view, 6> kOthersOfPostgres{"gss", "sspi", "ident", "radius", "bsd", "oauth"};

template <class Table>
auto find(const Table& table, std::string_view name) -> decltype(&table[0]) {
  for (const auto& one : table)
    if (one.name == name) return &one;
  return nullptr;
}

template <class Table>
std::string names(const Table& table) {
  std::string all;
  for (const auto& one : table) all.append(all.empty() ? "" : ", ").append(one.name);
  return all;
}

/// One line. Each step takes fields off the front and gives the reason why it cannot; empty when all is well.
class LineParser {
 public:
  explicit LineParser(ConfigLine& from) : from_(from) {
    line_.file = from.file;
    line_.number = from.number;
  }
  std::string parse();
  [[nodiscard]] HbaLine take() { return std::move(line_); }

 private:
  [[nodiscard]] Field* next() { return at_ < from_.fields.size() ? &from_.fields[at_++] : nullptr; }
  std::string one(std::string_view what, std::string_view allowed, Word*& word);
  std::string type();
  std::string words(std::string_view what, std::vector<Word>& to);
  std::string address();
  std::string network(const Word& word);
  std::string mask();
  std::string method();
  std::string options();

  ConfigLine& from_;
  std::size_t at_ = 0;
  HbaLine line_;
};

std::string LineParser::parse() {
  using Step = std::string (LineParser::*)();
  const auto databases = [this] { return words("database", line_.databases); };
  const auto users = [this] { return words("user", line_.users); };
  if (std::string error = type(); !error.empty()) return error;
  if (std::string error = databases(); !error.empty()) return error;
  if (std::string error = users(); !error.empty()) return error;
  for (const Step step : {&LineParser::address, &LineParser::method, &LineParser::options})
    if (std::string error = (this->*step)(); !error.empty()) return error;
  return check_options(line_);
}

/// A field that must have a single word.
std::string LineParser::one(std::string_view what, std::string_view allowed, Word*& word) {
  Field* const field = next();
  if (!field) return fmt::format("ends before the {}; allowed is {}", what, allowed);
  if (field->size() > 1)
    return fmt::format("has {} values for the {}; allowed is one, of {}", field->size(), what, allowed);
  word = &field->front();
  return {};
}

std::string LineParser::type() {
  Word* word = nullptr;
  const std::string allowed = names(kTypes) + ", include, include_if_exists, include_dir";
  if (std::string error = one("connection type", allowed, word); !error.empty()) return error;
  const auto* const found = find(kTypes, word->text);
  if (!found) return fmt::format("found connection type {}; allowed are {}", shown(*word), allowed);
  line_.type = found->value;
  return {};
}

std::string LineParser::words(std::string_view what, std::vector<Word>& to) {
  Field* const field = next();
  if (!field) return fmt::format("ends before the {}; allowed are names, all, and what PostgreSQL knows", what);
  to = std::move(*field);
  for (Word& word : to)
    if (const std::string error = word.compile(); !error.empty())
      return fmt::format("{} {} is no regular expression: {}", what, shown(word), error);
  return {};
}

constexpr std::string_view kAddresses =
    "an IP address with /bits or followed by a mask, samehost, samenet or all (host names are not supported)";

std::string LineParser::address() {
  if (line_.type == Type::local) return {};
  Word* word = nullptr;
  if (std::string error = one("address", kAddresses, word); !error.empty()) return error;
  if (word->is_keyword("all")) return {};
  if (word->is_keyword("samehost") || word->is_keyword("samenet")) {
    line_.from = word->text == "samehost" ? From::same_host : From::same_net;
    return {};
  }
  line_.from = From::network;
  return network(*word);
}

std::string LineParser::network(const Word& word) {
  const auto not_allowed = [&](std::string_view why) {
    return fmt::format("found address {}{}; allowed is {}", shown(word), why, kAddresses);
  };
  const std::size_t slash = word.text.find('/');
  auto parsed = parse_address(word.text.substr(0, slash));
  if (!parsed) return not_allowed("");
  line_.network = *parsed;
  if (slash == std::string::npos) return mask();
  const std::string bits_text = word.text.substr(slash + 1);
  const unsigned most = line_.network.family == Address::Family::v4 ? 32 : 128;
  unsigned bits = 0;
  const char* const end = bits_text.data() + bits_text.size();
  const auto read = std::from_chars(bits_text.data(), end, bits);
  if (read.ec != std::errc() || read.ptr != end || bits > most)
    return not_allowed(fmt::format(", whose mask is not a number from 0 to {}", most));
  line_.mask = mask_of(line_.network.family, bits);
  return {};
}

std::string LineParser::mask() {
  constexpr std::string_view kAllowed = "an address of the same kind, or say /bits behind the address";
  Word* word = nullptr;
  if (std::string error = one("mask", kAllowed, word); !error.empty()) return error;
  auto parsed = parse_address(word->text);
  if (!parsed || parsed->family != line_.network.family)
    return fmt::format("found mask {}; allowed is {}", shown(*word), kAllowed);
  line_.mask = *parsed;
  return {};
}

std::string LineParser::method() {
  Word* word = nullptr;
  const std::string allowed = names(kMethods);
  if (std::string error = one("method", allowed, word); !error.empty()) return error;
  const std::string_view name = word->text;
  if (name == "gss" && line_.type == Type::hostgssenc) {  // it never matches; the method stays reject
    at_ = from_.fields.size();
    return {};
  }
  if (name == "ident" && line_.type == Type::local) {  // PostgreSQL takes it for peer there
    line_.method = Method::peer;
    return {};
  }
  const auto* const found = find(kMethods, name);
  if (!found) {
    for (const std::string_view other : kOthersOfPostgres)
      if (name == other) return fmt::format("method {} is not supported by pgweir; allowed are {}", name, allowed);
    return fmt::format("found method {}; allowed are {}", shown(*word), allowed);
  }
  line_.method = found->value;
  if (line_.method == Method::peer && line_.type != Type::local)
    return "method peer is for local lines only: it asks the system about the other end of a Unix socket";
  if (line_.method == Method::cert && line_.type != Type::hostssl)
    return "method cert is for hostssl lines only: without TLS there is no certificate";
  return {};
}

std::string LineParser::options() {
  while (const Field* field = next())
    for (const Word& word : *field)
      if (std::string error = take_option(line_, word.text); !error.empty()) return error;
  return {};
}

}  // namespace

config::Checked<Hba> parse_hba(const std::string& path, const Files& files) {
  Hba rules;
  config::Problems problems;
  for (ConfigLine& from : read_config_lines(path, files)) {
    LineParser parser(from);
    std::string error = from.error.empty() ? parser.parse() : from.error;
    if (error.empty())
      rules.push_back(parser.take());
    else
      problems.push_back({from.file, from.number, {}, std::move(error)});
  }
  if (problems.empty() && rules.empty())
    problems.push_back({path, 0, {}, "has no entries: nobody could log in; allowed is at least one line"});
  if (!problems.empty()) return tl::unexpected(std::move(problems));
  return rules;
}

config::Checked<Hba> load_hba(const std::string& path) { return parse_hba(path, files_on_disk()); }

}  // namespace pgweir::auth
