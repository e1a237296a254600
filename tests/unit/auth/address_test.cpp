// Addresses: reading, printing, masks, and which lie in which network.
#include "auth/address.h"

#include <string>

#include "doctest/doctest.h"

using namespace pgweir::auth;

namespace {

Address address(const std::string& text) {
  auto parsed = parse_address(text);
  REQUIRE(parsed.has_value());
  return *parsed;
}

bool in_network(const std::string& one, const std::string& network, unsigned bits) {
  const Address base = address(network);
  return is_in(address(one), base, mask_of(base.family, bits));
}

}  // namespace

TEST_CASE("texts of addresses are read and written") {
  for (const char* text : {"127.0.0.1", "0.0.0.0", "255.255.255.255", "::1", "::", "fe80::1:2"})
    CHECK(address(text).text() == text);
  CHECK(Address{}.text() == "[local]");
  for (const char* text : {"", "localhost", "127.0.0.256", "::g", "1.2.3.4.5", "/tmp", "10.0.0.1 "}) {
    CAPTURE(text);
    CHECK_FALSE(parse_address(text).has_value());
  }
}

TEST_CASE("bytes from the network; IPv4 within IPv6 is IPv4") {
  using namespace std::string_literals;
  CHECK(Address::from_network("\x7f\0\0\1"s) == address("127.0.0.1"));
  CHECK(Address::from_network("\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\1"s) == address("127.0.0.1"));
  CHECK(Address::from_network("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1"s) == address("::1"));
  CHECK(Address::from_network("").is_local());
  CHECK(Address::from_network("abc").is_local());
}

TEST_CASE("networks, at every number of bits") {
  CHECK(in_network("127.0.0.1", "127.0.0.0", 8));
  CHECK_FALSE(in_network("128.0.0.1", "127.0.0.0", 8));
  CHECK(in_network("128.0.0.1", "127.0.0.0", 0));
  CHECK(in_network("127.0.0.1", "127.0.0.1", 32));
  CHECK_FALSE(in_network("127.0.0.2", "127.0.0.1", 32));
  CHECK(in_network("10.1.130.7", "10.1.128.0", 17));
  CHECK_FALSE(in_network("10.1.127.7", "10.1.128.0", 17));
  CHECK(in_network("fe80::1", "fe80::", 10));
  CHECK_FALSE(in_network("fec0::1", "fe80::", 10));
  CHECK_FALSE(in_network("::1", "0.0.0.0", 0));
  CHECK_FALSE(in_network("0.0.0.1", "::", 0));
  CHECK_FALSE(is_in(Address{}, Address{}, Address{}));
  for (unsigned bits = 0; bits <= 32; ++bits) {
    const Address mask = mask_of(Address::Family::v4, bits);
    unsigned ones = 0;
    for (const unsigned char byte : mask.bytes) ones += static_cast<unsigned>(__builtin_popcount(byte));
    CHECK(ones == bits);
    CHECK(is_in(address("255.255.255.255"), address("255.255.255.255"), mask));
    CHECK(is_in(address("0.0.0.0"), address("255.255.255.255"), mask) == (bits == 0));
  }
  for (unsigned bits = 0; bits <= 128; ++bits) {
    unsigned ones = 0;
    for (const unsigned char byte : mask_of(Address::Family::v6, bits).bytes)
      ones += static_cast<unsigned>(__builtin_popcount(byte));
    CHECK(ones == bits);
  }
}
