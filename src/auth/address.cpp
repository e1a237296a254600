// Addresses of clients and networks; see address.h. Asks no name server.
#include "auth/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

namespace pgweir::auth {

namespace {

constexpr std::size_t kV4Bytes = 4, kV6Bytes = 16;
constexpr std::string_view kMapped("\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);

std::size_t size_of(Address::Family family) {
  switch (family) {
    case Address::Family::local: return 0;
    case Address::Family::v4: return kV4Bytes;
    case Address::Family::v6: return kV6Bytes;
  }
  return 0;
}

Address make(Address::Family family, const void* bytes) {
  Address made;
  made.family = family;
  std::memcpy(made.bytes.data(), bytes, size_of(family));
  return made;
}

}  // namespace

Address Address::from_network(std::string_view network_bytes) {
  if (network_bytes.size() == kV6Bytes && network_bytes.starts_with(kMapped))
    network_bytes.remove_prefix(kMapped.size());
  if (network_bytes.size() == kV4Bytes) return make(Family::v4, network_bytes.data());
  if (network_bytes.size() == kV6Bytes) return make(Family::v6, network_bytes.data());
  return {};
}

std::string Address::text() const {
  if (is_local()) return "[local]";
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(family == Family::v4 ? AF_INET : AF_INET6, bytes.data(), text.data(), text.size());
  return text.data();
}

bool is_in(const Address& address, const Address& network, const Address& mask) {
  if (address.family != network.family || address.is_local()) return false;
  for (std::size_t i = 0; i < size_of(address.family); ++i)
    if (((address.bytes[i] ^ network.bytes[i]) & mask.bytes[i]) != 0) return false;
  return true;
}

Address mask_of(Address::Family family, unsigned bits) {
  Address mask;
  mask.family = family;
  for (std::size_t i = 0; i < size_of(family); ++i) {
    const unsigned here = std::min(bits, 8U);
    mask.bytes[i] = static_cast<unsigned char>(0xff00U >> here);
    bits -= here;
  }
  return mask;
}

base::Result<Address> parse_address(const std::string& text) {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST;
  addrinfo* found = nullptr;
  if (::getaddrinfo(text.c_str(), nullptr, &hints, &found) != 0)
    return base::fail(base::sqlstate::invalid_parameter_value, "is no IP address");
  Address address;
  if (found->ai_family == AF_INET)
    address = make(Address::Family::v4, &reinterpret_cast<const sockaddr_in*>(found->ai_addr)->sin_addr);
  else
    address = make(Address::Family::v6, &reinterpret_cast<const sockaddr_in6*>(found->ai_addr)->sin6_addr);
  ::freeaddrinfo(found);
  return address;
}

}  // namespace pgweir::auth
