// Socket addresses as text, and the options that every stream socket of pgweir gets.
#pragma once
#include <cstdint>
#include <string>

#include "base/result.h"

namespace pgweir::net {

/// A TCP endpoint, or a Unix socket when `host` is an absolute path: `host`/.s.PGSQL.`port`, as libpq has it.
struct Endpoint {
  std::string host;
  std::uint16_t port = 0;
  [[nodiscard]] bool is_unix() const { return !host.empty() && host.front() == '/'; }
  [[nodiscard]] std::string unix_path() const { return host + "/.s.PGSQL." + std::to_string(port); }
  [[nodiscard]] std::string text() const { return is_unix() ? unix_path() : host + ":" + std::to_string(port); }
};

/// The peer of a connected socket: "127.0.0.1:53112", "[::1]:53112" or "[local]".
[[nodiscard]] std::string peer_of(int fd);
/// TCP_NODELAY and keep-alive; nothing on a Unix socket.
void tune_stream(int fd);

}  // namespace pgweir::net
