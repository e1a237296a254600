// What a user's password is checked against: a SCRAM verifier, an MD5 hash or the password itself, as PostgreSQL and
// PgBouncer write them. Memory of secrets is cleared when they go; no message repeats one.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <variant>

#include "base/result.h"
#include "base/secret_text.h"

namespace pgweir::config {

/// RFC 5803, as PostgreSQL writes it; the three byte strings are decoded.
struct ScramVerifier {
  int iterations = 0;      ///< at least 1
  std::string salt;        ///< at least one byte
  std::string stored_key;  ///< 32 bytes
  std::string server_key;  ///< 32 bytes

  ~ScramVerifier() {
    base::wipe(stored_key);
    base::wipe(server_key);
  }
  friend bool operator==(const ScramVerifier&, const ScramVerifier&) = default;
};

/// "md5" and the 32 lower-case hexadecimal digits of md5(password, user name).
struct Md5Hash {
  std::string text;

  ~Md5Hash() { base::wipe(text); }
  friend bool operator==(const Md5Hash&, const Md5Hash&) = default;
};

/// Whoever makes one makes its verifier too, once, and not when somebody logs in: the time that it takes would tell
/// that this user exists and is kept like that.
struct PlainPassword {
  std::string text;
  ScramVerifier verifier;

  ~PlainPassword() { base::wipe(text); }
  friend bool operator==(const PlainPassword&, const PlainPassword&) = default;
};

using Secret = std::variant<ScramVerifier, Md5Hash, PlainPassword>;

/// By user name, which is case-sensitive. Immutable once loaded.
using Users = std::map<std::string, Secret, std::less<>>;

/// "SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>". The error says what is wrong without repeating the
/// secret.
[[nodiscard]] base::Result<ScramVerifier> parse_verifier(std::string_view text);
/// Tells the kind by the form, as PostgreSQL and PgBouncer do: a text that begins like a verifier has to be one;
/// "md5" and 32 hexadecimal digits are a hash; anything else is a password, still without its verifier
/// (wire::add_verifiers). An empty text is an error.
[[nodiscard]] base::Result<Secret> parse_secret(std::string_view text);

}  // namespace pgweir::config
