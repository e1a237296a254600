// Socket addresses, also as text, and the options that every stream socket of pgweir gets.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/result.h"

struct sockaddr_storage;

namespace pgweir::net {

/// A TCP endpoint, or a Unix socket when `host` is an absolute path: `host`/.s.PGSQL.`port`, as libpq has it.
struct Endpoint {
  std::string host;
  std::uint16_t port = 0;
  [[nodiscard]] bool is_unix() const { return !host.empty() && host.front() == '/'; }
  [[nodiscard]] std::string unix_path() const { return host + "/.s.PGSQL." + std::to_string(port); }
  [[nodiscard]] std::string text() const { return is_unix() ? unix_path() : host + ":" + std::to_string(port); }
};

/// Who is at the other end of an accepted socket. Kept as the kernel gave it: a text of it is seldom asked for.
class PeerAddress {
 public:
  PeerAddress() = default;
  PeerAddress(const sockaddr_storage& address, std::size_t size);

  [[nodiscard]] bool is_tcp() const noexcept { return size_ > 0; }
  /// "127.0.0.1:53112", "[::1]:53112" or "[local]".
  [[nodiscard]] std::string text() const;

 private:
  static constexpr std::size_t kBytes = 28;  ///< of a sockaddr_in6
  std::array<char, kBytes> bytes_{};
  std::uint8_t size_ = 0;  ///< 0: a Unix socket, which has no name at this end
};

/// TCP_NODELAY and keep-alive; nothing on a Unix socket. Of a listening socket: accepted ones inherit them.
void tune_stream(int fd);

}  // namespace pgweir::net
