// What a client sends before it has a session: SSLRequest, GSSENCRequest, CancelRequest, StartupMessage.
// Source: PostgreSQL documentation, "Message Formats"; backend/postmaster ProcessStartupPacket for the checks.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/byte_queue.h"
#include "base/result.h"

namespace pgweir::wire {

/// The longest start-up packet that PostgreSQL accepts (MAX_STARTUP_PACKET_LENGTH).
inline constexpr std::size_t kLargestStartupPacket = 10000;

inline constexpr std::uint32_t kProtocol30 = 196608;
inline constexpr std::uint32_t kSslRequestCode = 80877103;
inline constexpr std::uint32_t kGssEncRequestCode = 80877104;
inline constexpr std::uint32_t kCancelRequestCode = 80877102;

struct SslRequest {};
struct GssEncRequest {};

struct CancelRequest {
  std::uint32_t process_id = 0;
  std::string secret;  ///< 4 bytes in protocol 3.0, up to 256 in 3.2
};

/// What the parameter "replication" asks for: a WAL sender or not, and one that is in a database or in none.
enum class Replication : std::uint8_t { no, physical, database };
/// PostgreSQL's reading of the value (utils/adt/bool.c, parse_bool); nothing when it refuses it. An absent one (empty)
/// is `no`.
[[nodiscard]] std::optional<Replication> replication_of(std::string_view value);

/// PostgreSQL cuts longer names of users and databases in this message (NAMEDATALEN - 1 bytes).
inline constexpr std::size_t kLongestName = 63;

struct StartupMessage {
  std::uint16_t minor_version = 0;  ///< as asked for: 0 for 3.0, 2 for 3.2
  std::string user;         ///< cut to kLongestName, so that everybody compares what the server will see; so is:
  std::string database;     ///< the user's name when the client named none
  std::string replication;  ///< the value of "replication"; empty when absent
  /// All other parameters in the order given, later ones winning in PostgreSQL: GUC names and `options`.
  std::vector<std::pair<std::string, std::string>> parameters;
  /// Names of `_pq_.` options, none of which is known: to be listed in NegotiateProtocolVersion.
  std::vector<std::string> unknown_protocol_options;
};

using StartupPacket = std::variant<SslRequest, GssEncRequest, CancelRequest, StartupMessage>;

/// `body` is the packet without its length field. Errors: 08P01 (malformed), 0A000 (version), 28000 (no user name).
/// `newest_minor`: the newest of the versions 3.x, as the error about another major version names it.
[[nodiscard]] base::Result<StartupPacket> decode_startup(std::string_view body, std::uint16_t newest_minor = 0);

/// To a server: may what follows be encrypted? One byte answers: S or N.
void encode_ssl_request(base::ByteQueue& out);
/// To a server, protocol 3.0.
void encode_startup(base::ByteQueue& out, std::string_view user, std::string_view database,
                    const std::vector<std::pair<std::string, std::string>>& parameters);
void encode_cancel_request(base::ByteQueue& out, std::uint32_t process_id, std::string_view secret);

}  // namespace pgweir::wire
