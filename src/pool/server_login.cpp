// Authentication at a server, message by message; see server_login.h.
#include "pool/server_login.h"

#include <algorithm>

#include "auth/password.h"
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

ServerLogin::ServerLogin(std::string user, ServerCredentials credentials)
    : user_(std::move(user)), credentials_(std::move(credentials)) {}

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
  switch (request->code) {
    case Code::cleartext_password:
      if (credentials_.password.empty()) return nothing_known("the password itself");
      wire::encode_password(out, credentials_.password.reveal());
      return Step::wait;
    case Code::md5_password: return answer_md5(request->data, out);
    case Code::sasl: return start_scram(request->data, out);
    case Code::sasl_continue: return continue_scram(request->data, out);
    case Code::sasl_final: return finish_scram(request->data);
    case Code::gss:
    case Code::gss_continue: return not_supported("GSSAPI");
    case Code::sspi: return not_supported("SSPI");
    default: return not_supported("an unknown");
  }
}

base::Failure ServerLogin::nothing_known(std::string_view asked_for) const {
  const bool has_some = !credentials_.md5.empty() || credentials_.keys;
  return base::fail(
      sqlstate::invalid_authorization_specification, "no password is known for user \"" + user_ + "\" on the server",
      "The server asks for " + std::string(asked_for) + (has_some ? "; only a hash of it is known." : "."),
      "Add a line for it to auth.server_password_file, or let clients log in by scram-sha-256 where the "
      "server has the same SCRAM verifier.");
}

base::Result<Step> ServerLogin::answer_md5(std::string_view salt, base::ByteQueue& out) {
  constexpr std::size_t kSaltBytes = 4;
  if (salt.size() != kSaltBytes) return base::fail(sqlstate::protocol_violation, "malformed md5 request");
  if (!credentials_.password.empty())
    credentials_.md5 = base::SecretText(auth::md5_hash(credentials_.password.reveal(), user_));
  if (credentials_.md5.empty()) return nothing_known("an MD5 hash of the password");
  const config::Md5Hash hash{std::string(credentials_.md5.reveal())};
  wire::encode_password(out, auth::md5_response(hash, salt));
  return Step::wait;
}

base::Result<Step> ServerLogin::start_scram(std::string_view mechanisms, base::ByteQueue& out) {
  const auto offered = wire::sasl_mechanisms(mechanisms);
  const auto offers = [&](std::string_view one) {
    return std::find(offered.begin(), offered.end(), one) != offered.end();
  };
  wire::ScramClient::Channel channel{end_point_, offers(wire::kScramSha256Plus)};
  if (!offers(wire::kScramSha256) && !(channel.plus_offered && !end_point_.empty()))
    return not_supported("an unknown SASL");
  if (!credentials_.password.empty())
    scram_.emplace(credentials_.password.reveal(), wire::scram_nonce(), std::move(channel));
  else if (credentials_.keys)
    scram_.emplace(std::move(*credentials_.keys), wire::scram_nonce(), std::move(channel));
  else
    return nothing_known("proof of the password (SCRAM)");
  server_proved_itself_ = false;
  wire::encode_sasl_initial_response(out, scram_->mechanism(), scram_->first());
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
