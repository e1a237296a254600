// The messages of SCRAM-SHA-256, computed and checked; see scram.h.
#include "wire/scram.h"

#include <charconv>
#include <utility>

#include "wire/crypto.h"

namespace pgweir::wire {

namespace {

namespace sqlstate = base::sqlstate;

constexpr int kMostIterations = 1'000'000;
constexpr std::string_view kEndPoint = "tls-server-end-point";

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

std::string hmac(std::string_view key, std::string_view data) {
  Sha256Digest digest = hmac_sha256(key, data);
  std::string text(view(digest));
  base::wipe(digest.data(), digest.size());
  return text;
}

std::string hash(std::string_view data) { return std::string(view(sha256(data))); }

ScramKeys derive(std::string_view prepared_password, std::string_view salt, int iterations) {
  Sha256Digest salted = pbkdf2_sha256(prepared_password, salt, iterations);
  ScramKeys keys{iterations, std::string(salt), hmac(view(salted), "Client Key"), hmac(view(salted), "Server Key")};
  base::wipe(salted.data(), salted.size());
  return keys;
}

ScramKeys derive_from_raw(std::string_view password, std::string_view salt, int iterations) {
  std::string prepared = saslprep(password);
  ScramKeys keys = derive(prepared, salt, iterations);
  base::wipe(prepared);
  return keys;
}

}  // namespace

bool ScramKeys::fit(const config::ScramVerifier& verifier) const {
  return !client_key.empty() && iterations == verifier.iterations && salt == verifier.salt &&
         equal_in_constant_time(hash(client_key), verifier.stored_key) &&
         equal_in_constant_time(server_key, verifier.server_key);
}

std::vector<std::string_view> offered_mechanisms(std::string_view end_point) {
  if (end_point.empty()) return {kScramSha256};
  return {kScramSha256Plus, kScramSha256};
}

ScramServer::ScramServer(config::ScramVerifier verifier, bool known, std::string nonce, std::string end_point)
    : verifier_(std::move(verifier)), known_(known), nonce_(std::move(nonce)), end_point_(std::move(end_point)) {}

/// Takes the flag of RFC 5802, section 7 (gs2-cbind-flag) off the front of `rest`.
base::Result<bool> ScramServer::check_binding(std::string_view& rest, bool plus) {
  const char flag = rest.empty() ? '\0' : rest.front();
  if (flag == 'n' || flag == 'y') {
    if (plus) return malformed("The client selected SCRAM-SHA-256-PLUS, but its message has no channel binding data.");
    // It could bind and was told that we cannot: that was not us.
    if (flag == 'y' && !end_point_.empty())
      return base::fail(sqlstate::invalid_authorization_specification, "SCRAM channel binding negotiation error",
                        "The client supports SCRAM channel binding but thinks the server does not.  However, this "
                        "server does support channel binding.");
    rest.remove_prefix(1);
  } else if (flag == 'p') {
    if (!plus) {
      if (end_point_.empty())
        return base::fail(sqlstate::feature_not_supported, "channel binding is not offered without TLS");
      return malformed("The client selected SCRAM-SHA-256 without channel binding, but its message has some.");
    }
    const auto type = attribute(rest, 'p');
    if (type != kEndPoint)
      return base::fail(sqlstate::feature_not_supported, "unsupported SCRAM channel-binding type",
                        "Only tls-server-end-point is supported.");
    return true;  // with its comma
  } else {
    return malformed("Unexpected channel-binding flag.");
  }
  if (!rest.starts_with(",")) return malformed("Unexpected text behind the channel-binding flag.");
  rest.remove_prefix(1);
  return true;
}

base::Result<std::string> ScramServer::first(std::string_view client_first, std::string_view mechanism) {
  const bool plus = mechanism == kScramSha256Plus;
  if (plus ? end_point_.empty() : mechanism != kScramSha256)
    return base::fail(sqlstate::protocol_violation, "client selected an invalid SASL authentication mechanism");
  std::string_view rest = client_first;
  if (auto bound = check_binding(rest, plus); !bound) return base::Failure(bound.error());
  if (rest.starts_with("a="))
    return base::fail(sqlstate::feature_not_supported, "client uses authorization identity, but it is not supported");
  if (!rest.starts_with(",")) return malformed("Unexpected attribute where the header ends.");
  rest.remove_prefix(1);
  binding_ = client_first.substr(0, client_first.size() - rest.size());
  if (plus) binding_ += end_point_;
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
  if (!equal_in_constant_time(*binding, base64_encode(binding_))) {
    // A client that binds sees another certificate than ours. Otherwise the data is its own first message.
    if (binding_.starts_with("p="))
      return base::fail(sqlstate::invalid_authorization_specification, "SCRAM channel binding check failed");
    return malformed("The channel-binding data does not match.");
  }
  if (!equal_in_constant_time(*nonce, nonce_)) return malformed("The nonce does not match.");
  const std::string proof = base64_decode(client_final.substr(proof_at + 3));
  if (proof.size() != kSha256Bytes) return malformed("The proof has a wrong size.");

  const std::string message = auth_message(client_first_bare_, server_first_, client_final.substr(0, proof_at));
  ScramKeys keys{verifier_.iterations, verifier_.salt, exclusive_or(proof, hmac(verifier_.stored_key, message)),
                 verifier_.server_key};
  const bool right = equal_in_constant_time(hash(keys.client_key), verifier_.stored_key);
  if (!right || !known_) return base::fail(sqlstate::invalid_password, "password authentication failed");
  keys_ = std::move(keys);
  return "v=" + base64_encode(hmac(verifier_.server_key, message));
}

config::ScramVerifier mock_verifier(std::string_view user, std::string_view secret) {
  config::ScramVerifier verifier;
  verifier.iterations = kDefaultIterations;
  verifier.salt = view(hmac_sha256(secret, user)).substr(0, 16);
  verifier.stored_key = std::string(kSha256Bytes, '\0');
  verifier.server_key = std::string(kSha256Bytes, '\0');
  return verifier;
}

config::ScramVerifier make_verifier(std::string_view password, std::string salt, int iterations) {
  const ScramKeys keys = derive_from_raw(password, salt, iterations);
  return {iterations, std::move(salt), hash(keys.client_key), keys.server_key};
}

std::optional<ScramKeys> keys_of(std::string_view password, const config::ScramVerifier& verifier) {
  // Users may choose the number for themselves (ALTER ROLE takes a verifier), and others wait meanwhile.
  if (verifier.iterations > kMostIterations) return std::nullopt;
  std::optional<ScramKeys> keys = derive_from_raw(password, verifier.salt, verifier.iterations);
  if (!keys->fit(verifier)) keys.reset();
  return keys;
}

ScramClient::ScramClient(std::string_view password, std::string nonce, Channel channel)
    : nonce_(std::move(nonce)), channel_(std::move(channel)) {
  std::string prepared = saslprep(password);
  password_ = base::SecretText(prepared);
  base::wipe(prepared);
}

ScramClient::ScramClient(ScramKeys keys, std::string nonce, Channel channel)
    : keys_(std::move(keys)), nonce_(std::move(nonce)), channel_(std::move(channel)) {}

/// "y": we could bind, and the server has not offered it. A server that has then knows that somebody is in between.
std::string ScramClient::header() const {
  if (binds()) return "p=" + std::string(kEndPoint) + ",,";
  return channel_.end_point.empty() ? "n,," : "y,,";
}

std::string ScramClient::first() const { return header() + "n=,r=" + nonce_; }

base::Result<ScramKeys> ScramClient::keys_for(std::string_view salt, int iterations) const {
  if (!keys_) return derive(password_.reveal(), salt, iterations);
  if (keys_->salt != salt || keys_->iterations != iterations)
    return base::fail(sqlstate::invalid_password, "the server has another SCRAM verifier for this user",
                      "The password was changed after the client had proved that it knows it, or this server's "
                      "verifier is not the one that clients are checked against.",
                      "The next client that logs in with the password of now makes it work again.");
  return *keys_;
}

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

  const auto keys = keys_for(salt, iterations);
  if (!keys) return base::Failure(keys.error());
  const std::string binding = header() + (binds() ? channel_.end_point : std::string());
  const std::string without_proof = "c=" + base64_encode(binding) + ",r=" + std::string(*nonce);
  const std::string message = auth_message("n=,r=" + nonce_, server_first, without_proof);
  server_signature_ = hmac(keys->server_key, message);
  return without_proof + ",p=" + base64_encode(exclusive_or(keys->client_key, hmac(hash(keys->client_key), message)));
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
