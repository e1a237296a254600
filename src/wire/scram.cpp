// The messages of SCRAM-SHA-256, computed and checked; see scram.h.
#include "wire/scram.h"

#include <charconv>
#include <optional>
#include <utility>

#include "wire/crypto.h"

namespace pgweir::wire {

namespace {

namespace sqlstate = base::sqlstate;

constexpr int kMostIterations = 1'000'000;
constexpr int kMockIterations = 4096;

base::Failure malformed(std::string_view detail) {
  return base::fail(sqlstate::protocol_violation, "malformed SCRAM message", std::string(detail));
}

/// Takes "x=value" off the front of `rest`, up to the next comma or the end.
std::optional<std::string_view> attribute(std::string_view& rest, char name) {
  if (rest.size() < 2 || rest[0] != name || rest[1] != '=') return std::nullopt;
  const auto end = rest.find(',');
  const auto value = rest.substr(2, end == std::string_view::npos ? end : end - 2);
  rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
  return value;
}

std::string exclusive_or(std::string_view a, std::string_view b) {
  std::string result(a);
  for (std::size_t i = 0; i < result.size(); ++i) result[i] = static_cast<char>(result[i] ^ b[i]);
  return result;
}

std::string auth_message(std::string_view client_first_bare, std::string_view server_first,
                         std::string_view without_proof) {
  std::string message(client_first_bare);
  message.append(",").append(server_first).append(",").append(without_proof);
  return message;
}

}  // namespace

ScramServer::ScramServer(config::ScramVerifier verifier, bool known, std::string nonce)
    : verifier_(std::move(verifier)), known_(known), nonce_(std::move(nonce)) {}

base::Result<std::string> ScramServer::first(std::string_view client_first) {
  std::string_view rest = client_first;
  if (rest.starts_with("p="))
    return base::fail(sqlstate::feature_not_supported, "channel binding is not offered without TLS");
  if (!rest.starts_with("n,") && !rest.starts_with("y,")) return malformed("Unexpected channel-binding flag.");
  rest.remove_prefix(2);
  if (rest.starts_with("a="))
    return base::fail(sqlstate::feature_not_supported, "client uses authorization identity, but it is not supported");
  if (!rest.starts_with(",")) return malformed("Unexpected attribute where the header ends.");
  rest.remove_prefix(1);
  gs2_header_ = client_first.substr(0, client_first.size() - rest.size());
  client_first_bare_ = rest;
  if (rest.starts_with("m="))
    return base::fail(sqlstate::feature_not_supported, "client requires an unsupported SCRAM extension");
  const auto user = attribute(rest, 'n');  // empty from libpq; the user is the one of the start-up packet
  const auto client_nonce = attribute(rest, 'r');
  if (!user || !client_nonce || client_nonce->empty()) return malformed("Expected user name and nonce.");
  nonce_ = std::string(*client_nonce) + nonce_;
  server_first_ = "r=" + nonce_ + ",s=" + base64_encode(verifier_.salt) + ",i=" + std::to_string(verifier_.iterations);
  return server_first_;
}

base::Result<std::string> ScramServer::final(std::string_view client_final) {
  std::string_view rest = client_final;
  const auto binding = attribute(rest, 'c');
  const auto nonce = attribute(rest, 'r');
  const auto proof_at = client_final.rfind(",p=");
  if (!binding || !nonce || proof_at == std::string_view::npos) return malformed("Expected binding, nonce and proof.");
  if (*binding != base64_encode(gs2_header_)) return malformed("The channel-binding data does not match.");
  if (!equal_in_constant_time(*nonce, nonce_)) return malformed("The nonce does not match.");
  const std::string proof = base64_decode(client_final.substr(proof_at + 3));
  if (proof.size() != kSha256Bytes) return malformed("The proof has a wrong size.");

  const std::string message = auth_message(client_first_bare_, server_first_, client_final.substr(0, proof_at));
  const Sha256Digest signature = hmac_sha256(verifier_.stored_key, message);
  const Sha256Digest stored_key = sha256(exclusive_or(proof, view(signature)));
  const bool right = equal_in_constant_time(view(stored_key), verifier_.stored_key);
  if (!right || !known_) return base::fail(sqlstate::invalid_password, "password authentication failed");
  return "v=" + base64_encode(view(hmac_sha256(verifier_.server_key, message)));
}

config::ScramVerifier mock_verifier(std::string_view user, std::string_view secret) {
  config::ScramVerifier verifier;
  verifier.iterations = kMockIterations;
  verifier.salt = view(hmac_sha256(secret, user)).substr(0, 16);
  verifier.stored_key = std::string(kSha256Bytes, '\0');
  verifier.server_key = std::string(kSha256Bytes, '\0');
  return verifier;
}

ScramClient::ScramClient(std::string_view password, std::string nonce)
    : password_(saslprep(password)), nonce_(std::move(nonce)) {}

std::string ScramClient::first() const { return "n,,n=,r=" + nonce_; }

base::Result<std::string> ScramClient::final(std::string_view server_first) {
  std::string_view rest = server_first;
  const auto nonce = attribute(rest, 'r');
  const auto salt_text = attribute(rest, 's');
  const auto count_text = attribute(rest, 'i');
  if (!nonce || !salt_text || !count_text) return malformed("Expected nonce, salt and iteration count.");
  if (nonce->size() <= nonce_.size() || !nonce->starts_with(nonce_)) return malformed("The nonce is not ours.");
  const std::string salt = base64_decode(*salt_text);
  int iterations = 0;
  const char* const count_end = count_text->data() + count_text->size();
  const auto parsed = std::from_chars(count_text->data(), count_end, iterations);
  const bool is_number = parsed.ec == std::errc() && parsed.ptr == count_end;
  if (salt.empty() || !is_number || iterations < 1 || iterations > kMostIterations)
    return malformed("Salt or iteration count cannot be right.");

  const Sha256Digest salted = pbkdf2_sha256(password_, salt, iterations);
  const Sha256Digest client_key = hmac_sha256(view(salted), "Client Key");
  const Sha256Digest server_key = hmac_sha256(view(salted), "Server Key");
  const std::string without_proof = "c=biws,r=" + std::string(*nonce);
  const std::string message = auth_message("n=,r=" + nonce_, server_first, without_proof);
  const Sha256Digest signature = hmac_sha256(view(sha256(view(client_key))), message);
  server_signature_ = view(hmac_sha256(view(server_key), message));
  return without_proof + ",p=" + base64_encode(exclusive_or(view(client_key), view(signature)));
}

base::Result<bool> ScramClient::verify(std::string_view server_final) const {
  std::string_view rest = server_final;
  const auto signature = attribute(rest, 'v');
  // Before `final` there is no signature, and nothing equals it.
  if (!signature || server_signature_.empty() || !equal_in_constant_time(base64_decode(*signature), server_signature_))
    return base::fail(sqlstate::invalid_password, "the server could not prove that it knows the password");
  return true;
}

std::string scram_nonce() { return base64_encode(random_bytes(18)); }

}  // namespace pgweir::wire
