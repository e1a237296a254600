// Checks of texts. A reason never repeats the text: the loader adds it.
#include "config/text_rules.h"

#include <algorithm>

#include "fmt/format.h"

namespace pgweir::config::rules {
namespace {

// NAMEDATALEN - 1: PostgreSQL cuts longer names, and two names may then become one.
constexpr std::size_t kLongestIdentifier = 63;
// sizeof(sockaddr_un::sun_path) is 108 on Linux; "/.s.PGSQL.65535" and the final zero byte need 16.
constexpr std::size_t kLongestSocketDirectory = 108 - 16;
constexpr std::size_t kLongestHost = 255;

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

bool is_host_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("._-:%").find(c) != std::string_view::npos;
}

std::string_view node_name(std::string_view text) {
  if (text.empty()) return "it is empty";
  if (text.size() > kLongestIdentifier) return "it is too long";
  const bool fine = std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
  return fine ? "" : "it has other characters";
}

std::string_view socket_directory(std::string_view text) {
  if (text.empty()) return "";
  if (has_control(text)) return "it has control characters";
  if (!text.starts_with('/')) return "it is not an absolute path";
  return text.size() <= kLongestSocketDirectory ? "" : "it is too long for the address of a Unix socket";
}

std::string_view host(std::string_view text) {
  if (text.empty()) return "it is empty";
  if (text.size() > kLongestHost) return "it is too long";
  return std::all_of(text.begin(), text.end(), is_host_character) ? "" : "it has characters that no host name has";
}

std::string_view node_host(std::string_view text) {
  return text.starts_with('/') ? socket_directory(text) : host(text);
}

std::string_view identifier(std::string_view text) {
  if (text.empty()) return "it is empty";
  if (text.size() > kLongestIdentifier) return "it is too long";
  return has_control(text) ? "it has control characters" : "";
}

std::string_view table(std::string_view text) {
  const std::size_t dot = text.find('.');
  if (dot == std::string_view::npos || text.find('.', dot + 1) != std::string_view::npos)
    return "it is not a schema, a dot and a table";
  if (text.find('"') != std::string_view::npos) return "names are written without quotes";
  const std::string_view schema = text.substr(0, dot), name = text.substr(dot + 1);
  if (schema.find('*') != std::string_view::npos || (name != "*" && name.find('*') != std::string_view::npos))
    return "only all tables of a schema can be meant by *";
  if (const std::string_view reason = identifier(schema); !reason.empty()) return reason;
  return identifier(name);
}

std::string_view maybe_identifier(std::string_view text) { return text.empty() ? "" : identifier(text); }

std::string_view query(std::string_view text) {
  if (has_control(text)) return "it has control characters";
  return text.find("$1") == std::string_view::npos ? "it does not ask for the user ($1)" : "";
}

std::string_view system_user(std::string_view text) {
  if (text.size() > kLongestIdentifier) return "it is too long";
  return has_control(text) || text.find_first_of(" :/") != std::string_view::npos ? "it has characters that no name has"
                                                                                  : "";
}

std::string_view path(std::string_view text) { return has_control(text) ? "it has control characters" : ""; }

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

}  // namespace

const TextRule kNodeName{"1 to 63 of the characters a-z, 0-9, _ and -", node_name};
const TextRule kNodeHost{"a host name, an address, or the absolute path of a Unix socket's directory", node_host};
const TextRule kMaybeNodeHost{
    "a host name, an address, the absolute path of a Unix socket's directory, or nothing",
    [](std::string_view text) { return text.empty() ? std::string_view() : node_host(text); }};
const TextRule kIdentifier{"a name of 1 to 63 bytes", identifier};
const TextRule kMaybeIdentifier{"1 to 63 bytes without control characters, or nothing", maybe_identifier};
const TextRule kQuery{"one SELECT with $1 for the user's name", query};
const TextRule kSystemUser{"the name of a user of the operating system, or nothing", system_user};
const TextRule kPath{"a path, or nothing", path};
const TextRule kFile{"a path",
                     [](std::string_view text) { return text.empty() ? std::string_view("it is empty") : path(text); }};
const TextRule kServerName{"a host name or an address, or nothing",
                           [](std::string_view text) { return text.empty() ? std::string_view() : host(text); }};
const TextRule kCommand{"a command for /bin/sh, or nothing", path};
const TextRule kSocketDirectory{"an absolute path of up to 92 bytes, or nothing", socket_directory};

namespace {
/// Separated by commas; `reason` says what is wrong with one, if anything is.
Parsed<std::vector<std::string>> parse_list(std::string_view text, std::string_view (*reason_of)(std::string_view)) {
  std::vector<std::string> found;
  if (trimmed(text).empty()) return found;
  for (bool more = true; more;) {
    const std::size_t comma = text.find(',');
    more = comma != std::string_view::npos;
    const std::string_view each = trimmed(text.substr(0, comma));
    if (const std::string_view reason = reason_of(each); !reason.empty())
      return tl::unexpected(fmt::format("of {}, {}", in_quotes(each), reason));
    if (std::find(found.begin(), found.end(), each) != found.end())
      return tl::unexpected(fmt::format("{} stands there twice", in_quotes(each)));
    found.emplace_back(each);
    if (more) text.remove_prefix(comma + 1);
  }
  return found;
}
}  // namespace

Parsed<std::vector<std::string>> parse_hosts(std::string_view text) { return parse_list(text, host); }
Parsed<std::vector<std::string>> parse_names(std::string_view text) { return parse_list(text, identifier); }

Parsed<std::vector<TableName>> parse_tables(std::string_view text) {
  return parse_list(text, table).map([](const std::vector<std::string>& names) {
    std::vector<TableName> tables;
    for (const std::string& name : names) {
      const std::size_t dot = name.find('.');
      tables.push_back({name.substr(0, dot), name.substr(dot + 1)});
    }
    return tables;
  });
}

std::string format_tables(const std::vector<TableName>& tables) {
  std::vector<std::string> names;
  for (const TableName& table : tables) names.push_back(table.schema + "." + table.name);
  return comma_list(names);
}

std::string format_hosts(const std::vector<std::string>& hosts) { return comma_list(hosts); }

Parsed<std::uint32_t> parse_mode(std::string_view text) {
  return within<std::uint64_t>(parse_whole(text, 8), 0, 0777).map([](std::uint64_t mode) {
    return static_cast<std::uint32_t>(mode);
  });
}

std::string format_mode(std::uint32_t mode) { return fmt::format("{:04o}", mode); }

Parsed<std::uint16_t> parse_workers(std::string_view text) {
  if (text == "auto") return 0;
  return within<std::uint64_t>(parse_whole(text), 1, 128).map([](std::uint64_t workers) {
    return static_cast<std::uint16_t>(workers);
  });
}

std::string format_workers(std::uint16_t workers) { return workers == 0 ? "auto" : std::to_string(workers); }

}  // namespace pgweir::config::rules
