// Socket addresses as text; see address.h.
#include "net/address.h"

#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "base/assertion.h"

namespace pgweir::net {

namespace {
/// Within the bytes of a sockaddr, which may be anywhere; nothing of any other family.
std::string_view ip_of(const char* bytes) {
  sa_family_t family{};
  std::memcpy(&family, bytes + offsetof(sockaddr, sa_family), sizeof family);
  if (family == AF_INET) return {bytes + offsetof(sockaddr_in, sin_addr), sizeof(in_addr)};
  if (family == AF_INET6) return {bytes + offsetof(sockaddr_in6, sin6_addr), sizeof(in6_addr)};
  return {};
}

std::string_view ip_of(const sockaddr* address) { return ip_of(reinterpret_cast<const char*>(address)); }
}  // namespace

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

std::string_view PeerAddress::ip() const noexcept {
  if (size_ == 0) return {};
  return ip_of(bytes_.data());
}

base::Result<std::vector<InterfaceAddress>> interface_addresses() {
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0)
    return base::fail(base::sqlstate::internal_error,
                      std::string("could not read the addresses of this machine: ") + std::strerror(errno));
  std::vector<InterfaceAddress> found;
  for (const ifaddrs* one = all; one; one = one->ifa_next)
    if (one->ifa_addr && one->ifa_netmask && !ip_of(one->ifa_addr).empty())
      found.push_back({std::string(ip_of(one->ifa_addr)), std::string(ip_of(one->ifa_netmask))});
  ::freeifaddrs(all);
  return found;
}

base::Result<std::string> peer_user(int fd) {
  const auto failure = [](std::string_view what, int error) {
    return base::fail(base::sqlstate::invalid_authorization_specification,
                      std::string(what) + ": " + (error == 0 ? "no such user" : std::strerror(error)));
  };
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
    return failure("could not get peer credentials", errno);
  passwd entry{};
  passwd* found = nullptr;
  std::array<char, 16384> texts;
  const int error = ::getpwuid_r(peer.uid, &entry, texts.data(), texts.size(), &found);
  if (!found) return failure("could not look up local user ID " + std::to_string(peer.uid), error);
  return std::string(entry.pw_name);
}

void tune_stream(int fd) {
  const int on = 1;
  // Both fail harmlessly on a Unix socket.
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

}  // namespace pgweir::net
