// From the first byte of a client to "authenticated": SSLRequest, GSSENCRequest, CancelRequest, StartupMessage,
// password exchange. Pure: bytes in, bytes and a verdict out. What the client learns about the server comes afterwards
// (session.cpp).
//
//   packet --SSL/GSSENC--> packet        (each at most once, refused with 'N')
//   packet --Cancel------> cancel        packet --Startup--> authenticating | authenticated
//   authenticating --SASL ok--> authenticated        anything else --> failed (FATAL error is in the output)
#pragma once
#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/byte_queue.h"
#include "base/result.h"
#include "config/secret.h"
#include "config/settings.h"
#include "wire/frame.h"
#include "wire/messages/startup.h"
#include "wire/scram.h"

namespace pgweir::session {

/// How clients prove who they are. Shared, immutable; replaced as a whole on reload.
struct ClientAuth {
  config::AuthMethod method = config::AuthMethod::scram_sha_256;
  config::Users users;
  std::string mock_secret;  ///< see wire::mock_verifier
};

class StartupFlow {
 public:
  enum class Stage : std::uint8_t { packet, sasl_first, sasl_final, authenticated, cancel, failed };

  /// `newest_minor`: of the protocol versions 3.x that the servers understand; a client that asks for more gets this
  /// one.
  explicit StartupFlow(std::shared_ptr<const ClientAuth> auth, std::uint16_t newest_minor = 0)
      : auth_(std::move(auth)), newest_minor_(newest_minor) {}

  /// Consumes what it can of `bytes`, appends what must be sent to `out`; returns how many bytes were consumed.
  /// Goes on until it needs more bytes or the stage is authenticated, cancel or failed.
  [[nodiscard]] std::size_t take(std::string_view bytes, base::ByteQueue& out);

  [[nodiscard]] Stage stage() const { return stage_; }
  /// Valid from the StartupMessage on.
  [[nodiscard]] const wire::StartupMessage& message() const { return message_; }
  [[nodiscard]] bool has_message() const { return has_message_; }
  /// The version 3.x that is spoken with this client. Valid from the StartupMessage on.
  [[nodiscard]] std::uint16_t minor_version() const { return std::min(message_.minor_version, newest_minor_); }
  [[nodiscard]] const wire::CancelRequest& cancel_request() const { return cancel_; }
  /// Why it failed, for the log.
  [[nodiscard]] const base::Error& error() const { return error_; }

 private:
  std::size_t take_packet(std::string_view bytes, base::ByteQueue& out);
  std::size_t take_password(std::string_view bytes, base::ByteQueue& out);
  void handle(wire::StartupPacket packet, base::ByteQueue& out);
  void begin(base::ByteQueue& out);
  void begin_scram(base::ByteQueue& out);
  void sasl_first(std::string_view body, base::ByteQueue& out);
  void sasl_final(std::string_view body, base::ByteQueue& out);
  void fail(base::Error error, base::ByteQueue& out);
  [[nodiscard]] base::Error wrong_password() const;

  std::shared_ptr<const ClientAuth> auth_;
  std::uint16_t newest_minor_;
  Stage stage_ = Stage::packet;
  bool refused_ssl_ = false;
  bool refused_gss_ = false;
  bool has_message_ = false;
  wire::StartupMessage message_;
  wire::CancelRequest cancel_;
  std::optional<wire::ScramServer> scram_;
  base::Error error_;
};

}  // namespace pgweir::session
