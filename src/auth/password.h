// Checking what a client has said against the secret of a user: a password in clear text, or the answer to an MD5
// challenge. (SCRAM is an exchange: wire/scram.h.) Pure; keeps nothing. Source: backend/libpq/crypt.c.
#pragma once
#include <string>
#include <string_view>

#include "config/secret.h"

namespace pgweir::auth {

inline constexpr std::size_t kMd5SaltBytes = 4;

/// Takes as long as the secret's kind says (SCRAM: its iterations, a millisecond or so; nobody comes in by one with
/// more than a million).
[[nodiscard]] bool is_password(const config::Secret& secret, std::string_view user, std::string_view password);

/// "md5" and 32 digits: what PostgreSQL keeps of a password with password_encryption = md5.
[[nodiscard]] std::string md5_hash(std::string_view password, std::string_view user);
/// What a client that knows the password answers to AuthenticationMD5Password with this salt.
[[nodiscard]] std::string md5_response(const config::Md5Hash& secret, std::string_view salt);

}  // namespace pgweir::auth
