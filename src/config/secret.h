// What a user's password is checked against. One of the forms in which PostgreSQL keeps it (pg_authid.rolpassword), or
// the password itself.
#pragma once
#include <string>
#include <variant>

namespace pgweir::config {

/// RFC 5803, as PostgreSQL writes it; the three byte strings are decoded.
struct ScramVerifier {
  int iterations = 0;      ///< at least 1
  std::string salt;        ///< at least one byte
  std::string stored_key;  ///< 32 bytes
  std::string server_key;  ///< 32 bytes
  friend bool operator==(const ScramVerifier&, const ScramVerifier&) = default;
};

/// "md5" and the 32 lower-case hexadecimal digits of md5(password, user name).
struct Md5Hash {
  std::string text;
  friend bool operator==(const Md5Hash&, const Md5Hash&) = default;
};

/// Whoever makes one makes its verifier too, once, and not when somebody logs in: the time that it takes would tell
/// that this user exists and is kept like that.
struct PlainPassword {
  std::string text;
  ScramVerifier verifier;
  friend bool operator==(const PlainPassword&, const PlainPassword&) = default;
};

using Secret = std::variant<ScramVerifier, Md5Hash, PlainPassword>;

}  // namespace pgweir::config
