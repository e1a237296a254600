// The stages of a client's start-up, in order; see startup.h. Everything read here is untrusted.
#include "session/flows/startup.h"

#include <array>
#include <utility>

#include "wire/messages/backend.h"
#include "wire/messages/frontend.h"

namespace pgweir::session {

namespace {
namespace sqlstate = base::sqlstate;

/// A SASL message is never long; PostgreSQL's own limit is 65535 (libpq/auth-sasl.h, PG_MAX_SASL_MESSAGE_LENGTH).
constexpr std::size_t kLargestSaslMessage = 65535;
constexpr std::size_t kLengthBytes = 4;
}  // namespace

std::size_t StartupFlow::take(std::string_view bytes, base::ByteQueue& out) {
  std::size_t consumed = 0;
  for (;;) {
    const auto rest = bytes.substr(consumed);
    std::size_t step = 0;
    switch (stage_) {
      case Stage::packet: step = take_packet(rest, out); break;
      case Stage::sasl_first:
      case Stage::sasl_final: step = take_password(rest, out); break;
      default: return consumed;
    }
    if (step == 0) return consumed;
    consumed += step;
  }
}

std::size_t StartupFlow::take_packet(std::string_view bytes, base::ByteQueue& out) {
  if (bytes.size() < kLengthBytes) return 0;
  const std::size_t length = base::load_be32(bytes.data());
  if (length < kLengthBytes + 4 || length > wire::kLargestStartupPacket) {
    fail({sqlstate::protocol_violation, "invalid length of startup packet"}, out);
    return bytes.size();
  }
  if (bytes.size() < length) return 0;
  auto packet = wire::decode_startup(bytes.substr(kLengthBytes, length - kLengthBytes), newest_minor_);
  if (!packet)
    fail(packet.error(), out);
  else
    handle(std::move(*packet), out);
  return length;
}

void StartupFlow::handle(wire::StartupPacket packet, base::ByteQueue& out) {
  if (std::holds_alternative<wire::SslRequest>(packet) || std::holds_alternative<wire::GssEncRequest>(packet)) {
    bool& refused = std::holds_alternative<wire::SslRequest>(packet) ? refused_ssl_ : refused_gss_;
    if (std::exchange(refused, true)) {
      fail({sqlstate::feature_not_supported, "encryption was asked for twice"}, out);
      return;
    }
    out.append("N");
    return;
  }
  if (auto* cancel = std::get_if<wire::CancelRequest>(&packet)) {
    cancel_ = std::move(*cancel);
    stage_ = Stage::cancel;
    return;
  }
  message_ = std::move(std::get<wire::StartupMessage>(packet));
  has_message_ = true;
  begin(out);
}

void StartupFlow::begin(base::ByteQueue& out) {
  // backend/tcop/backend_startup.c: sent whenever the client asked for more than the server has.
  if (message_.minor_version > newest_minor_ || !message_.unknown_protocol_options.empty())
    wire::encode_negotiate_protocol_version(out, wire::kProtocol30 + minor_version(),
                                            message_.unknown_protocol_options);
  if (auth_->method == config::AuthMethod::trust) {
    wire::encode_authentication(out, wire::AuthenticationCode::ok, {});
    stage_ = Stage::authenticated;
    return;
  }
  begin_scram(out);
}

void StartupFlow::begin_scram(base::ByteQueue& out) {
  const auto found = auth_->users.find(message_.user);
  const config::ScramVerifier* verifier = nullptr;
  if (found != auth_->users.end()) {
    verifier = std::get_if<config::ScramVerifier>(&found->second);
    if (const auto* plain = std::get_if<config::PlainPassword>(&found->second)) verifier = &plain->verifier;
  }
  scram_.emplace(verifier ? *verifier : wire::mock_verifier(message_.user, auth_->mock_secret), verifier != nullptr,
                 wire::scram_nonce());
  std::string mechanisms(wire::kScramSha256);
  mechanisms.append(2, '\0');
  wire::encode_authentication(out, wire::AuthenticationCode::sasl, mechanisms);
  stage_ = Stage::sasl_first;
}

std::size_t StartupFlow::take_password(std::string_view bytes, base::ByteQueue& out) {
  wire::Frame frame;
  const auto status = wire::read_frame(bytes, frame);
  if (status == wire::FrameStatus::need_header) return 0;
  if (status == wire::FrameStatus::invalid || frame.type != wire::frontend::kPassword ||
      frame.body_size > kLargestSaslMessage) {
    fail({sqlstate::protocol_violation,
          "expected SASL response, got message type " + std::to_string(static_cast<unsigned char>(bytes[0]))},
         out);
    return bytes.size();
  }
  if (!frame.complete()) return 0;
  if (stage_ == Stage::sasl_first)
    sasl_first(frame.body, out);
  else
    sasl_final(frame.body, out);
  return frame.bytes_here();
}

void StartupFlow::sasl_first(std::string_view body, base::ByteQueue& out) {
  const auto response = wire::decode_sasl_initial_response(body);
  if (!response) return fail(response.error(), out);
  if (response->mechanism != wire::kScramSha256)
    return fail({sqlstate::protocol_violation, "client selected an invalid SASL authentication mechanism"}, out);
  const auto answer = scram_->first(response->data);
  if (!answer) return fail(answer.error(), out);
  wire::encode_authentication(out, wire::AuthenticationCode::sasl_continue, *answer);
  stage_ = Stage::sasl_final;
}

void StartupFlow::sasl_final(std::string_view body, base::ByteQueue& out) {
  const auto answer = scram_->final(body);
  if (!answer)
    return fail(answer.error().sqlstate == sqlstate::invalid_password ? wrong_password() : answer.error(), out);
  wire::encode_authentication(out, wire::AuthenticationCode::sasl_final, *answer);
  wire::encode_authentication(out, wire::AuthenticationCode::ok, {});
  scram_.reset();
  stage_ = Stage::authenticated;
}

base::Error StartupFlow::wrong_password() const {
  return {sqlstate::invalid_password, "password authentication failed for user \"" + message_.user + "\""};
}

void StartupFlow::fail(base::Error error, base::ByteQueue& out) {
  stage_ = Stage::failed;
  error_ = std::move(error);
  wire::encode_error(out, wire::Severity::fatal, error_);
}

}  // namespace pgweir::session
