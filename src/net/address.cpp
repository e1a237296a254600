// Socket addresses as text; see address.h.
#include "net/address.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cstring>

#include "base/assertion.h"

namespace pgweir::net {

PeerAddress::PeerAddress(const sockaddr_storage& address, std::size_t size) {
  static_assert(kBytes == sizeof(sockaddr_in6));
  if (address.ss_family == AF_UNIX) return;
  PGWEIR_ASSERT(size <= kBytes);
  std::memcpy(bytes_.data(), &address, size);
  size_ = static_cast<std::uint8_t>(size);
}

std::string PeerAddress::text() const {
  if (!is_tcp()) return "[local]";
  sockaddr_storage storage{};
  std::memcpy(&storage, bytes_.data(), size_);
  const auto* address = reinterpret_cast<const sockaddr*>(&storage);
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> service{};
  if (::getnameinfo(address, size_, host.data(), host.size(), service.data(), service.size(),
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
