// Start-up packets as pgweir sends them, read back; what clients may send is in session/flows/startup_test.cpp too.
#include "wire/messages/startup.h"

#include <memory>
#include <string>

#include "doctest/doctest.h"
#include "unit/messages.h"

namespace {

using namespace pgweir;
using namespace pgweir::wire;
using test::big_endian;
using test::c_string;
using test::encoded;

// The body of a packet whose length agrees.
std::string body_of(const std::string& packet) {
  REQUIRE(packet.size() >= 4);
  CHECK(base::load_be32(packet.data()) == packet.size());
  return packet.substr(4);
}

}  // namespace

TEST_CASE("StartupMessage") {
  const std::vector<std::pair<std::string, std::string>> parameters{{"application_name", "x"}, {"options", ""}};
  const std::string body = body_of(encoded([&](auto& out) { encode_startup(out, "alice", "db", parameters); }));
  const auto packet = decode_startup(body);
  REQUIRE(packet.has_value());
  const auto* message = std::get_if<StartupMessage>(&*packet);
  REQUIRE(message != nullptr);
  CHECK(message->minor_version == 0);
  CHECK(message->user == "alice");
  CHECK(message->database == "db");
  CHECK(message->replication.empty());
  CHECK(message->parameters == parameters);
  for (std::size_t size = 0; size < body.size(); ++size) {
    const auto exact = std::make_unique<char[]>(size);
    body.copy(exact.get(), size);
    CAPTURE(size);
    CHECK_FALSE(decode_startup({exact.get(), size}).has_value());
  }
}

TEST_CASE("CancelRequest") {
  const std::string body = body_of(encoded([](auto& out) { encode_cancel_request(out, 4711, "abcd"); }));
  const auto packet = decode_startup(body);
  REQUIRE(packet.has_value());
  const auto* request = std::get_if<CancelRequest>(&*packet);
  REQUIRE(request != nullptr);
  CHECK(request->process_id == 4711);
  CHECK(request->secret == "abcd");
}

TEST_CASE("another major version is refused with the versions that there are") {
  for (const std::uint16_t newest : {std::uint16_t{0}, std::uint16_t{2}}) {
    const auto packet = decode_startup(big_endian(std::uint32_t{4U << 16U | 1U}), newest);
    REQUIRE_FALSE(packet.has_value());
    CHECK(packet.error().message ==
          "unsupported frontend protocol 4.1: server supports 3.0 to 3." + std::to_string(newest));
  }
}

TEST_CASE("requests for encryption have no body") {
  CHECK(std::holds_alternative<SslRequest>(*decode_startup(big_endian(kSslRequestCode))));
  CHECK(std::holds_alternative<GssEncRequest>(*decode_startup(big_endian(kGssEncRequestCode))));
  CHECK_FALSE(decode_startup(big_endian(kSslRequestCode) + "x").has_value());
}
