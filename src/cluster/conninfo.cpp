// primary_conninfo with another address; see conninfo.h.
#include "cluster/conninfo.h"

#include <libpq-fe.h>

#include <memory>
#include <utility>

namespace pgweir::cluster {

namespace {

/// As libpq reads it: in quotes, with backslashes before quotes and backslashes.
std::string quoted(std::string_view value) {
  std::string out = "'";
  for (const char c : value) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

/// Servers look for `application_name=name` by words too: what needs no quotes gets none.
std::string value_text(std::string_view value) {
  constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:@";
  return value.empty() || value.find_first_not_of(kPlain) != std::string_view::npos ? quoted(value)
                                                                                    : std::string(value);
}

}  // namespace

base::Result<std::string> with_address(const std::string& conninfo, const std::string& host, std::uint16_t port) {
  if (conninfo.find_first_not_of(' ') == std::string::npos)
    return base::fail(base::sqlstate::internal_error, "it is empty");
  char* message = nullptr;
  const std::unique_ptr<PQconninfoOption, void (*)(PQconninfoOption*)> options(
      PQconninfoParse(conninfo.c_str(), &message), PQconninfoFree);
  const std::unique_ptr<char, void (*)(void*)> owner(message, PQfreemem);
  if (!options) return base::fail(base::sqlstate::internal_error, message ? message : "out of memory");
  std::string out = "host=" + value_text(host) + " port=" + std::to_string(port);
  for (const PQconninfoOption* one = options.get(); one->keyword; ++one) {
    const std::string_view keyword = one->keyword;
    if (!one->val || keyword == "host" || keyword == "hostaddr" || keyword == "port") continue;
    out += " " + std::string(keyword) + "=" + value_text(one->val);
  }
  return out;
}

std::string respelled(const std::string& conninfo) {
  if (conninfo.ends_with(' ')) return conninfo.substr(0, conninfo.find_last_not_of(' ') + 1);
  return conninfo + " ";
}

std::string sql_constant(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') out += c;
    out += c;
  }
  return out + "'";
}

}  // namespace pgweir::cluster
