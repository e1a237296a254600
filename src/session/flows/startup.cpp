// The stages of a client's start-up, in order; see startup.h. Everything read here is untrusted.
// Source of the order of checks and of the words: backend/libpq/auth.c, ClientAuthentication.
#include "session/flows/startup.h"

#include <utility>

#include "auth/password.h"
#include "auth/refusal.h"
#include "base/secret_text.h"
#include "wire/crypto.h"
#include "wire/messages/backend.h"
#include "wire/messages/frontend.h"

namespace pgweir::session {

namespace {
namespace sqlstate = base::sqlstate;
using auth::Method;

/// A password or SASL message is never long; PostgreSQL's own limit is 65535 (libpq/auth.h,
/// PG_MAX_AUTH_TOKEN_LENGTH; libpq/auth-sasl.h, PG_MAX_SASL_MESSAGE_LENGTH).
constexpr std::size_t kLongestResponse = 65535;
constexpr std::size_t kLengthBytes = 4;

bool is_encryption_request(const wire::StartupPacket& packet) {
  return std::holds_alternative<wire::SslRequest>(packet) || std::holds_alternative<wire::GssEncRequest>(packet);
}
}  // namespace

std::size_t StartupFlow::take(std::string_view bytes, base::ByteQueue& out) {
  std::size_t consumed = 0;
  for (;;) {
    const auto rest = bytes.substr(consumed);
    std::size_t step = 0;
    switch (stage_) {
      case Stage::packet: step = take_packet(rest, out); break;
      case Stage::password:
      case Stage::sasl_first:
      case Stage::sasl_final: step = take_response(rest, out); break;
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
  if (is_encryption_request(packet)) {
    bool& refused = std::holds_alternative<wire::SslRequest>(packet) ? refused_ssl_ : refused_gss_;
    if (std::exchange(refused, true))
      return fail({sqlstate::feature_not_supported, "encryption was asked for twice"}, out);
    const bool is_accepted = tls_rules_.offered && std::holds_alternative<wire::SslRequest>(packet);
    if (is_accepted) stage_ = Stage::handshake;
    out.append(is_accepted ? "S" : "N");
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
  const auto replication = wire::replication_of(message_.replication);
  if (!replication)
    return fail({sqlstate::invalid_parameter_value,
                 "invalid value for parameter \"replication\": \"" + message_.replication + "\"",
                 {},
                 "Valid values are: \"false\", 0, \"true\", 1, \"database\"."},
                out);
  replication_ = *replication;
  if (obeys_tls_rules(out)) decide(out);
}

void StartupFlow::set_tls(auth::TlsFacts facts) {
  tls_ = std::move(facts);
  refused_ssl_ = true;  // there is nothing more to ask for
  if (stage_ == Stage::handshake) stage_ = Stage::packet;
}

bool StartupFlow::obeys_tls_rules(base::ByteQueue& out) {
  if (from_.is_local()) return true;
  if (tls_rules_.required && !tls_.tls) {
    fail({sqlstate::invalid_authorization_specification,
          "connection requires TLS",
          {},
          "Connect with sslmode=require or a stricter one (tls.client.mode)."},
         out);
    return false;
  }
  if (tls_rules_.name_is_user && tls_.common_name != message_.user) {
    reason_ = "the certificate's common name is \"" + tls_.common_name + "\"";
    fail({sqlstate::invalid_authorization_specification,
          "certificate authentication failed for user \"" + message_.user + "\""},
         out);
    return false;
  }
  return true;
}

auth::Asking StartupFlow::asking() const {
  auth::Asking asking;
  asking.from = from_;
  asking.tls = tls_.tls;
  asking.user = message_.user;
  asking.database = message_.database;
  asking.replication = replication_;
  asking.memberships = memberships_ ? &*memberships_ : nullptr;
  asking.interfaces = interfaces_ ? &*interfaces_ : nullptr;
  return asking;
}

void StartupFlow::decide(base::ByteQueue& out) {
  using What = auth::Decision::What;
  const auto decision = auth::decide(auth_->rules, asking());
  switch (decision.what) {
    case What::needs_memberships: return ask(Question::memberships);
    case What::needs_interfaces: return ask(Question::interfaces);
    case What::no_line: return fail(auth::refused(asking(), nullptr), out);
    case What::line: break;
  }
  line_ = decision.line;
  begin_method(out);
}

void StartupFlow::begin_method(base::ByteQueue& out) {
  if (line_->client_cert != auth::HbaLine::ClientCert::off && !tls_.client_certificate_verified)
    return fail({sqlstate::invalid_authorization_specification, "connection requires a valid client certificate"}, out);
  switch (line_->method) {
    case Method::trust:
    case Method::cert: return check_certificate(out);
    case Method::reject: return fail(auth::refused(asking(), line_), out);
    case Method::peer: return ask(Question::system_user);
    case Method::md5:
    case Method::scram_sha_256: return find_secret(out);
    case Method::password:
    case Method::ldap:
    case Method::pam: return begin_cleartext(out);
  }
}

void StartupFlow::ask(Question question) {
  question_ = question;
  stage_ = Stage::waiting;
}

/// False when nobody has asked for this answer: it came too late, after the login had failed.
bool StartupFlow::accept(Question question) {
  if (stage_ != Stage::waiting || question_ != question) return false;
  question_ = Question::none;
  return true;
}

void StartupFlow::answer_memberships(base::Result<auth::Memberships> memberships, base::ByteQueue& out) {
  if (!accept(Question::memberships)) return;
  if (!memberships) return fail(memberships.error(), out);
  memberships_ = std::move(*memberships);
  if (line_) return check_name(out);
  decide(out);
}

void StartupFlow::answer_interfaces(base::Result<auth::Interfaces> interfaces, base::ByteQueue& out) {
  if (!accept(Question::interfaces)) return;
  if (!interfaces) return fail(interfaces.error(), out);
  interfaces_ = std::move(*interfaces);
  decide(out);
}

void StartupFlow::answer_system_user(base::Result<std::string> name, base::ByteQueue& out) {
  if (!accept(Question::system_user)) return;
  if (!name) return refuse(name.error().message, out);
  external_name_ = std::move(*name);
  check_name(out);
}

void StartupFlow::begin_cleartext(base::ByteQueue& out) {
  if (!from_.is_local() && !tls_.tls && !auth_->allow_cleartext)
    return fail({sqlstate::invalid_authorization_specification,
                 "passwords are not sent in clear text over an unencrypted connection",
                 {},
                 "Connect with TLS."},
                out);
  wire::encode_authentication(out, wire::AuthenticationCode::cleartext_password, {});
  stage_ = Stage::password;
}

void StartupFlow::find_secret(base::ByteQueue& out) {
  if (const auto found = auth_->users.find(message_.user); found != auth_->users.end())
    secret_ = found->second;
  else if (auth_->asks_for_secrets) {
    ++asked_for_secret_;
    return ask(Question::secret);
  }
  begin_secret(out);
}

void StartupFlow::answer_secret(base::Result<std::optional<config::Secret>> secret, base::ByteQueue& out) {
  if (!accept(Question::secret)) return;
  if (!secret) return fail(secret.error(), out);
  secret_ = std::move(*secret);
  begin_secret(out);
}

/// The secret, or that there is none, is known.
void StartupFlow::begin_secret(base::ByteQueue& out) {
  if (line_->method == Method::password) return check_password(out);
  // With a line of md5 the kind of secret decides (backend/libpq/auth.c, CheckPWChallengeAuth).
  const bool by_md5 = line_->method == Method::md5 && secret_ && std::holds_alternative<config::Md5Hash>(*secret_);
  if (by_md5)
    begin_md5(out);
  else
    begin_scram(out);
}

void StartupFlow::begin_md5(base::ByteQueue& out) {
  md5_salt_ = wire::random_bytes(auth::kMd5SaltBytes);
  wire::encode_authentication(out, wire::AuthenticationCode::md5_password, md5_salt_);
  stage_ = Stage::password;
}

/// Without a secret that SCRAM can work with, it goes through the motions.
void StartupFlow::begin_scram(base::ByteQueue& out) {
  const config::ScramVerifier* verifier = nullptr;
  if (secret_) {
    verifier = std::get_if<config::ScramVerifier>(&*secret_);
    if (const auto* plain = std::get_if<config::PlainPassword>(&*secret_)) verifier = &plain->verifier;
  }
  if (!secret_)
    reason_ = "the user has no secret here";
  else if (!verifier)
    reason_ = "the user's secret is no SCRAM verifier";
  const std::string& end_point = tls_.server_certificate_hash;
  scram_.emplace(verifier ? *verifier : wire::mock_verifier(message_.user, auth_->mock_secret), verifier != nullptr,
                 wire::scram_nonce(), end_point);
  std::string mechanisms;
  for (const auto one : wire::offered_mechanisms(end_point)) mechanisms.append(one).append(1, '\0');
  mechanisms.append(1, '\0');
  wire::encode_authentication(out, wire::AuthenticationCode::sasl, mechanisms);
  stage_ = Stage::sasl_first;
}

std::size_t StartupFlow::take_response(std::string_view bytes, base::ByteQueue& out) {
  wire::Frame frame;
  const auto status = wire::read_frame(bytes, frame);
  if (status == wire::FrameStatus::need_header) return 0;
  if (status == wire::FrameStatus::invalid || frame.type != wire::frontend::kPassword ||
      frame.body_size > kLongestResponse) {
    const std::string_view expected = stage_ == Stage::password ? "password" : "SASL";
    fail({sqlstate::protocol_violation, "expected " + std::string(expected) + " response, got message type " +
                                            std::to_string(static_cast<unsigned char>(bytes[0]))},
         out);
    return bytes.size();
  }
  if (!frame.complete()) return 0;
  switch (stage_) {
    case Stage::password: password(frame.body, out); break;
    case Stage::sasl_first: sasl_first(frame.body, out); break;
    default: take_proof(frame.body, out); break;
  }
  return frame.bytes_here();
}

void StartupFlow::password(std::string_view body, base::ByteQueue& out) {
  // backend/libpq/auth.c, recv_password_packet.
  if (body.find('\0') + 1 != body.size() || body.empty())
    return fail({sqlstate::protocol_violation, "invalid password packet size"}, out);
  body.remove_suffix(1);
  if (body.empty()) return fail({sqlstate::invalid_password, "empty password returned by client"}, out);
  take_proof(body, out);
}

/// All that can be wrong from here on is the password: others may have tried many before.
void StartupFlow::take_proof(std::string_view proof, base::ByteQueue& out) {
  password_ = proof;
  if (auth_->limits_failures) return ask(Question::turn);
  check_proof(out);
}

void StartupFlow::answer_turn(bool admitted, base::ByteQueue& out) {
  if (!accept(Question::turn)) return;
  if (admitted) return check_proof(out);
  base::wipe(password_);
  proof_given_ = true;
  reason_ = "too many failed logins from this address";
  refuse(reason_, out);
}

void StartupFlow::check_proof(base::ByteQueue& out) {
  proof_given_ = true;
  if (scram_) return check_scram(out);
  if (!md5_salt_.empty()) return check_md5(out);
  if (line_->method == Method::password) return find_secret(out);
  ask(Question::password_check);
}

void StartupFlow::check_md5(base::ByteQueue& out) {
  const auto right = auth::md5_response(std::get<config::Md5Hash>(*secret_), md5_salt_);
  if (!wire::equal_in_constant_time(right, password_)) return refuse("the password is wrong", out);
  check_certificate(out);
}

/// In clear text, against the secret. Somebody without one costs as much time.
void StartupFlow::check_password(base::ByteQueue& out) {
  const config::Secret secret = secret_ ? *secret_ : wire::mock_verifier(message_.user, auth_->mock_secret);
  bool right = false;
  if (const auto* verifier = std::get_if<config::ScramVerifier>(&secret)) {
    auto keys = wire::keys_of(password_, *verifier);
    right = keys && secret_;
    if (right) keys_ = std::move(*keys);
  } else {
    right = auth::is_password(secret, message_.user, password_);
  }
  if (!right && asked_for_secret_ == 1) return find_secret(out);  // it may have been changed since it was asked for
  base::wipe(password_);
  if (!secret_) return refuse("the user has no secret here", out);
  if (!right) return refuse("the password is wrong", out);
  check_certificate(out);
}

void StartupFlow::answer_password_check(base::Result<bool> right, base::ByteQueue& out) {
  if (!accept(Question::password_check)) return;
  base::wipe(password_);
  if (!right) return refuse(right.error().message, out);
  if (!*right) return refuse("the password is wrong", out);
  check_certificate(out);
}

void StartupFlow::sasl_first(std::string_view body, base::ByteQueue& out) {
  const auto response = wire::decode_sasl_initial_response(body);
  if (!response) return fail(response.error(), out);
  const auto answer = scram_->first(response->data, response->mechanism);
  if (!answer) return fail(answer.error(), out);
  wire::encode_authentication(out, wire::AuthenticationCode::sasl_continue, *answer);
  stage_ = Stage::sasl_final;
}

void StartupFlow::check_scram(base::ByteQueue& out) {
  const auto answer = scram_->final(password_);
  base::wipe(password_);
  if (!answer && answer.error().sqlstate == sqlstate::invalid_password) return refuse("the password is wrong", out);
  if (!answer) return fail(answer.error(), out);
  wire::encode_authentication(out, wire::AuthenticationCode::sasl_final, *answer);
  keys_ = scram_->take_keys();
  scram_.reset();
  check_certificate(out);
}

/// The method has found nothing against the client. The certificate may have to bear its name as well
/// (backend/libpq/auth.c, CheckCertAuth).
void StartupFlow::check_certificate(base::ByteQueue& out) {
  const bool bears_name = line_->method == Method::cert || line_->client_cert == auth::HbaLine::ClientCert::verify_full;
  if (!bears_name) return succeed(out);
  const bool by_dn = line_->client_name == auth::HbaLine::ClientName::dn;
  external_name_ = by_dn ? tls_.distinguished_name : tls_.common_name;
  if (external_name_.empty()) return refuse("the client's certificate contains no user name", out);
  check_name(out);
}

/// Who the client is outside may be the user that it wants to be.
void StartupFlow::check_name(base::ByteQueue& out) {
  using Verdict = auth::IdentMaps::Verdict;
  auto verdict = external_name_ == message_.user ? Verdict::yes : Verdict::no;
  if (!line_->map.empty())
    verdict =
        auth_->ident_maps.allows(line_->map, external_name_, message_.user, memberships_ ? &*memberships_ : nullptr);
  switch (verdict) {
    case Verdict::yes: return succeed(out);
    case Verdict::needs_memberships: return ask(Question::memberships);
    case Verdict::no: break;
  }
  refuse(line_->map.empty() ? "the user has another name outside" : "no line of the ident map allows it", out);
}

void StartupFlow::succeed(base::ByteQueue& out) {
  wire::encode_authentication(out, wire::AuthenticationCode::ok, {});
  stage_ = Stage::authenticated;
}

/// What the client hears says nothing but that its method has failed; the reason is for the log.
void StartupFlow::refuse(std::string_view reason, base::ByteQueue& out) {
  if (reason_.empty()) reason_ = reason;
  withheld_ = auth_->limits_failures && proof_given_;
  fail(auth::failed(line_->method, message_.user), out);
}

void StartupFlow::fail(base::Error error, base::ByteQueue& out) {
  stage_ = Stage::failed;
  error_ = std::move(error);
  if (!withheld_) wire::encode_error(out, wire::Severity::fatal, error_);
}

}  // namespace pgweir::session
