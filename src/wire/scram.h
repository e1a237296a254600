// SCRAM-SHA-256 from both sides, without channel binding. Bytes in, bytes out; no socket.
// Sources: RFC 5802, RFC 7677; backend/libpq/auth-scram.c for PostgreSQL's choices (user name ignored, mock verifiers).
#pragma once
#include <string>
#include <string_view>

#include "base/result.h"
#include "config/users_file.h"

namespace pgweir::wire {

inline constexpr std::string_view kScramSha256 = "SCRAM-SHA-256";

/// Checks a client against a verifier. One exchange, then thrown away.
class ScramServer {
 public:
  /// With `known` false the exchange runs to its end with the same work and always fails: nothing tells whether the
  /// user exists. `nonce` must be fresh random printable text without commas.
  ScramServer(config::ScramVerifier verifier, bool known, std::string nonce);

  /// Answers client-first-message with server-first-message. 08P01 when malformed, 0A000 when it wants channel binding.
  [[nodiscard]] base::Result<std::string> first(std::string_view client_first);
  /// Answers client-final-message with server-final-message. 28P01 when the proof is wrong, 08P01 when malformed.
  [[nodiscard]] base::Result<std::string> final(std::string_view client_final);

 private:
  config::ScramVerifier verifier_;
  bool known_;
  std::string nonce_;
  std::string client_first_bare_;
  std::string server_first_;
  std::string gs2_header_;
};

/// A verifier for a user that does not exist: the same each time for the same name, so that asking twice tells nothing.
/// `secret` is random and lives as long as the process.
[[nodiscard]] config::ScramVerifier mock_verifier(std::string_view user, std::string_view secret);

/// Proves a password to a server. One exchange, then thrown away.
class ScramClient {
 public:
  ScramClient(std::string_view password, std::string nonce);

  [[nodiscard]] std::string first() const;
  /// Answers server-first-message with client-final-message.
  [[nodiscard]] base::Result<std::string> final(std::string_view server_first);
  /// Checks server-final-message: the server knows the verifier too.
  [[nodiscard]] base::Result<bool> verify(std::string_view server_final) const;

 private:
  std::string password_;
  std::string nonce_;
  std::string server_signature_;
};

/// Printable random text for either side's nonce.
[[nodiscard]] std::string scram_nonce();

}  // namespace pgweir::wire
