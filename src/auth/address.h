// Where a client comes from, as a plain value: what lines of an HBA file are compared with. Knows no socket.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace pgweir::auth {

struct Address {
  enum class Family : std::uint8_t { local, v4, v6 };  ///< local: a Unix socket
  Family family = Family::local;
  std::array<unsigned char, 16> bytes{};  ///< in network order; the first four of a v4 address

  /// 4 or 16 bytes in network order; none: local. An IPv4 address mapped into IPv6 (::ffff:a.b.c.d) is the IPv4 one.
  [[nodiscard]] static Address from_network(std::string_view bytes);
  [[nodiscard]] bool is_local() const { return family == Family::local; }
  /// "127.0.0.1", "::1", "[local]".
  [[nodiscard]] std::string text() const;
  friend bool operator==(const Address&, const Address&) = default;
};

/// An address of this machine and the mask of its network.
struct Interface {
  Address address;
  Address mask;
};
using Interfaces = std::vector<Interface>;

/// Of the same family, and equal where the mask has ones.
[[nodiscard]] bool is_in(const Address& address, const Address& network, const Address& mask);
/// A mask with `bits` ones at the front, at most 32 or 128.
[[nodiscard]] Address mask_of(Address::Family family, unsigned bits);
/// Of an address as getaddrinfo reads it without asking anybody; 22023 when the text is none.
[[nodiscard]] base::Result<Address> parse_address(const std::string& text);

}  // namespace pgweir::auth
