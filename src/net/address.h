// Socket addresses, also as text, and the options that every stream socket of pgweir gets.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

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
  /// The address alone, in network order: 4 or 16 bytes; none of a Unix socket. Good as long as this object.
  [[nodiscard]] std::string_view ip() const noexcept;
  /// "127.0.0.1:53112", "[::1]:53112" or "[local]".
  [[nodiscard]] std::string text() const;

 private:
  static constexpr std::size_t kBytes = 28;  ///< of a sockaddr_in6
  std::array<char, kBytes> bytes_{};
  std::uint8_t size_ = 0;  ///< 0: a Unix socket, which has no name at this end
};

/// One address of this machine, with the mask of its network; both in network order, 4 or 16 bytes.
struct InterfaceAddress {
  std::string address, mask;
};
/// Those of all interfaces that are up, as they are now. Does not block. Fails with what the system said.
[[nodiscard]] base::Result<std::vector<InterfaceAddress>> interface_addresses();

/// The name of the user that the process at the other end of a Unix socket ran as when it connected (SO_PEERCRED).
/// Looks the name up in the system's user database, which may take a while if that is elsewhere.
[[nodiscard]] base::Result<std::string> peer_user(int fd);

/// TCP_NODELAY and keep-alive; nothing on a Unix socket. Of a listening socket: accepted ones inherit them.
void tune_stream(int fd);

}  // namespace pgweir::net
