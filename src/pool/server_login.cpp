// Authentication at a server, message by message; see server_login.h.
#include "pool/server_login.h"

#include <algorithm>

#include "wire/crypto.h"
#include "wire/messages/backend.h"
#include "wire/messages/frontend.h"

namespace pgweir::pool {

namespace {

namespace sqlstate = base::sqlstate;
using Step = ServerLogin::Step;

base::Failure not_supported(std::string_view what) {
  return base::fail(sqlstate::feature_not_supported,
                    "the server asks for " + std::string(what) + " authentication, which pgweir cannot do");
}

base::Failure server_error(std::string_view body) {
  auto fields = wire::decode_error(body);
  if (!fields) return base::Failure(fields.error());
  return base::fail(base::Sqlstate(fields->sqlstate), std::string(fields->message), std::string(fields->detail),
                    std::string(fields->hint));
}

base::Failure unexpected(char type) {
  return base::fail(sqlstate::protocol_violation,
                    std::string("unexpected message '") + type + "' from the server during start-up");
}

}  // namespace

ServerLogin::ServerLogin(std::string user, std::optional<std::string> password)
    : user_(std::move(user)), password_(std::move(password)) {}

base::Result<Step> ServerLogin::take(const wire::Frame& frame, base::ByteQueue& out) {
  switch (frame.type) {
    case wire::backend::kErrorResponse: return server_error(frame.body);
    case wire::backend::kNoticeResponse: return Step::wait;
    case wire::backend::kNegotiateProtocolVersion: return Step::wait;  // 3.0 without options is always understood
    case wire::backend::kAuthentication:
      if (!authenticated_) return authenticate(frame.body, out);
      break;
    default:
      // Believed only from a server that has ended the authentication: a password may be what proves it to us.
      if (authenticated_) return after_authentication(frame);
      break;
  }
  return unexpected(frame.type);
}

base::Result<Step> ServerLogin::after_authentication(const wire::Frame& frame) {
  switch (frame.type) {
    case wire::backend::kParameterStatus: {
      auto status = wire::decode_parameter_status(frame.body);
      if (!status) return base::Failure(status.error());
      if (parameters_.size() >= kMostParameters)
        return base::fail(sqlstate::protocol_violation, "the server reports too many parameters during start-up");
      parameters_.emplace_back(status->name, status->value);
      return Step::wait;
    }
    case wire::backend::kBackendKeyData: {
      auto key = wire::decode_backend_key_data(frame.body);
      if (!key) return base::Failure(key.error());
      process_id_ = key->process_id;
      secret_ = key->secret;
      return Step::wait;
    }
    case wire::backend::kReadyForQuery: return Step::done;
    default: return unexpected(frame.type);
  }
}

base::Result<Step> ServerLogin::authenticate(std::string_view body, base::ByteQueue& out) {
  auto request = wire::decode_authentication(body);
  if (!request) return base::Failure(request.error());
  using Code = wire::AuthenticationCode;
  if (request->code == Code::ok) {
    if (!server_proved_itself_)
      return base::fail(sqlstate::invalid_password, "the server ended the SCRAM exchange without proving itself");
    authenticated_ = true;
    return Step::wait;
  }
  const bool wants_password =
      request->code == Code::cleartext_password || request->code == Code::md5_password || request->code == Code::sasl;
  if (wants_password && !password_)
    return base::fail(sqlstate::invalid_password, "no password is known for user \"" + user_ + "\" on the server", {},
                      "Add a line for it to auth.server_password_file.");
  switch (request->code) {
    case Code::cleartext_password: wire::encode_password(out, *password_); return Step::wait;
    case Code::md5_password:
      if (request->data.size() != 4) return base::fail(sqlstate::protocol_violation, "malformed md5 request");
      wire::encode_password(out, "md5" + wire::md5_hex(wire::md5_hex(*password_ + user_) + std::string(request->data)));
      return Step::wait;
    case Code::sasl: return start_scram(request->data, out);
    case Code::sasl_continue: return continue_scram(request->data, out);
    case Code::sasl_final: return finish_scram(request->data);
    case Code::gss:
    case Code::gss_continue: return not_supported("GSSAPI");
    case Code::sspi: return not_supported("SSPI");
    default: return not_supported("an unknown");
  }
}

base::Result<Step> ServerLogin::start_scram(std::string_view mechanisms, base::ByteQueue& out) {
  const auto offered = wire::sasl_mechanisms(mechanisms);
  if (std::find(offered.begin(), offered.end(), wire::kScramSha256) == offered.end())
    return not_supported("an unknown SASL");
  scram_.emplace(*password_, wire::scram_nonce());
  server_proved_itself_ = false;
  wire::encode_sasl_initial_response(out, wire::kScramSha256, scram_->first());
  return Step::wait;
}

base::Result<Step> ServerLogin::continue_scram(std::string_view data, base::ByteQueue& out) {
  if (!scram_) return base::fail(sqlstate::protocol_violation, "SCRAM continuation without a beginning");
  auto answer = scram_->final(data);
  if (!answer) return base::Failure(answer.error());
  wire::encode_sasl_response(out, *answer);
  return Step::wait;
}

base::Result<Step> ServerLogin::finish_scram(std::string_view data) {
  if (!scram_) return base::fail(sqlstate::protocol_violation, "SCRAM end without a beginning");
  auto verified = scram_->verify(data);
  if (!verified) return base::Failure(verified.error());
  server_proved_itself_ = true;
  return Step::wait;
}

}  // namespace pgweir::pool
