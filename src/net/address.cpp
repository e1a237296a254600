// Socket addresses as text; see address.h.
#include "net/address.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>

namespace pgweir::net {

std::string peer_of(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  auto* address = reinterpret_cast<sockaddr*>(&storage);
  if (::getpeername(fd, address, &size) != 0) return "unknown";
  if (address->sa_family == AF_UNIX) return "[local]";
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> service{};
  if (::getnameinfo(address, size, host.data(), host.size(), service.data(), service.size(),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return "unknown";
  const bool v6 = address->sa_family == AF_INET6;
  std::string text = v6 ? "[" : "";
  text.append(host.data()).append(v6 ? "]:" : ":").append(service.data());
  return text;
}

void tune_stream(int fd) {
  const int on = 1;
  // Both fail harmlessly on a Unix socket.
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

}  // namespace pgweir::net
