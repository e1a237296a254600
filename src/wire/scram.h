// SCRAM-SHA-256 and SCRAM-SHA-256-PLUS from both sides. Bytes in, bytes out; no socket. Channel binding is of the type
// tls-server-end-point: its data is a value, the hash of the server's certificate, that whoever speaks TLS hands in.
// Sources: RFC 5802, RFC 7677, RFC 5929; backend/libpq/auth-scram.c for PostgreSQL's choices (user name ignored, mock
// verifiers).
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/secret_text.h"
#include "config/secret.h"

namespace pgweir::wire {

inline constexpr std::string_view kScramSha256 = "SCRAM-SHA-256";
inline constexpr std::string_view kScramSha256Plus = "SCRAM-SHA-256-PLUS";

/// What a verifier and one successful exchange give together: enough to log in at any server that has the same
/// verifier. As good as the password there, and nowhere else.
struct ScramKeys {
  int iterations = 0;
  std::string salt;
  std::string client_key;  ///< 32 bytes
  std::string server_key;  ///< 32 bytes

  ~ScramKeys() {
    base::wipe(client_key);
    base::wipe(server_key);
  }
  /// Whether they are of this verifier.
  [[nodiscard]] bool fit(const config::ScramVerifier& verifier) const;
};

/// The mechanisms to offer, best first. `end_point`: as for ScramServer.
[[nodiscard]] std::vector<std::string_view> offered_mechanisms(std::string_view end_point);

/// Checks a client against a verifier. One exchange, then thrown away.
class ScramServer {
 public:
  /// With `known` false the exchange runs to its end with the same work and always fails: nothing tells whether the
  /// user exists. `nonce` must be fresh random printable text without commas. `end_point`: the hash of our certificate
  /// when the connection is encrypted and SCRAM-SHA-256-PLUS was offered; else empty.
  ScramServer(config::ScramVerifier verifier, bool known, std::string nonce, std::string end_point = {});

  /// Answers client-first-message with server-first-message. `mechanism`: the one that the client has chosen, of those
  /// offered. 08P01 when malformed or not of that mechanism, 0A000 when it wants what we do not have, 28000 when the
  /// client believes that we cannot bind to the channel though we said so (somebody in between has changed the list).
  [[nodiscard]] base::Result<std::string> first(std::string_view client_first,
                                                std::string_view mechanism = kScramSha256);
  /// Answers client-final-message with server-final-message. 28P01 when the proof is wrong, 08P01 when malformed or
  /// bound to another channel.
  [[nodiscard]] base::Result<std::string> final(std::string_view client_final);
  /// After `final` has succeeded, once: the client's keys.
  [[nodiscard]] ScramKeys take_keys() { return std::move(keys_); }

 private:
  base::Result<bool> check_binding(std::string_view& rest, bool plus);

  config::ScramVerifier verifier_;
  bool known_;
  std::string nonce_;
  std::string end_point_;
  std::string client_first_bare_;
  std::string server_first_;
  std::string binding_;  ///< what the client has to repeat: its header, and the channel's data if it binds
  ScramKeys keys_;
};

/// A verifier for a user that does not exist: the same each time for the same name, so that asking twice tells nothing.
/// `secret` is random and lives as long as the process.
[[nodiscard]] config::ScramVerifier mock_verifier(std::string_view user, std::string_view secret);

/// The verifier of a password (SASLprep is applied). Costs `iterations` rounds of hashing.
[[nodiscard]] config::ScramVerifier make_verifier(std::string_view password, std::string salt, int iterations);
/// How many iterations PostgreSQL's own verifiers have unless told otherwise.
inline constexpr int kDefaultIterations = 4096;

/// The keys of `password` if it is the one of `verifier`: a check of a password in clear text. The same work either
/// way.
[[nodiscard]] std::optional<ScramKeys> keys_of(std::string_view password, const config::ScramVerifier& verifier);

/// Proves a password, or keys, to a server. One exchange, then thrown away.
class ScramClient {
 public:
  /// What the server has offered, and what is known of the channel.
  struct Channel {
    std::string end_point{};  ///< hash of the server's certificate; empty: the connection is not encrypted
    bool plus_offered = false;
  };
  ScramClient(std::string_view password, std::string nonce, Channel channel);
  ScramClient(std::string_view password, std::string nonce) : ScramClient(password, std::move(nonce), Channel{}) {}
  ScramClient(ScramKeys keys, std::string nonce, Channel channel);

  /// The one that `first` is for.
  [[nodiscard]] std::string_view mechanism() const { return binds() ? kScramSha256Plus : kScramSha256; }
  [[nodiscard]] std::string first() const;
  /// Answers server-first-message with client-final-message. 28P01 when the keys are of another verifier.
  [[nodiscard]] base::Result<std::string> final(std::string_view server_first);
  /// Checks server-final-message: the server knows the verifier too.
  [[nodiscard]] base::Result<bool> verify(std::string_view server_final) const;

 private:
  [[nodiscard]] bool binds() const { return channel_.plus_offered && !channel_.end_point.empty(); }
  [[nodiscard]] std::string header() const;
  [[nodiscard]] base::Result<ScramKeys> keys_for(std::string_view salt, int iterations) const;

  base::SecretText password_;
  std::optional<ScramKeys> keys_;  ///< instead of the password
  std::string nonce_;
  Channel channel_;
  std::string server_signature_;
};

/// Printable random text for either side's nonce.
[[nodiscard]] std::string scram_nonce();

}  // namespace pgweir::wire
