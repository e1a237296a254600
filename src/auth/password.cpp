// Passwords against secrets; see password.h.
#include "auth/password.h"

#include "wire/crypto.h"

namespace pgweir::auth {

namespace {

using wire::view;

/// Users may choose the number for themselves (ALTER ROLE takes a verifier), and others wait meanwhile.
constexpr int kMostIterations = 1'000'000;

bool is_password_of(const config::ScramVerifier& verifier, std::string_view password) {
  if (verifier.iterations > kMostIterations) return false;
  const auto salted = wire::pbkdf2_sha256(wire::saslprep(password), verifier.salt, verifier.iterations);
  return wire::equal_in_constant_time(view(wire::hmac_sha256(view(salted), "Server Key")), verifier.server_key);
}

}  // namespace

bool is_password(const config::Secret& secret, std::string_view user, std::string_view password) {
  if (const auto* scram = std::get_if<config::ScramVerifier>(&secret)) return is_password_of(*scram, password);
  if (const auto* md5 = std::get_if<config::Md5Hash>(&secret))
    return wire::equal_in_constant_time(md5_hash(password, user), md5->text);
  // By its verifier as well: as much work, and a password prepared in the same way.
  return is_password_of(std::get<config::PlainPassword>(secret).verifier, password);
}

std::string md5_hash(std::string_view password, std::string_view user) {
  return "md5" + wire::md5_hex(std::string(password).append(user));
}

std::string md5_response(const config::Md5Hash& secret, std::string_view salt) {
  return "md5" + wire::md5_hex(secret.text.substr(3).append(salt));
}

}  // namespace pgweir::auth
