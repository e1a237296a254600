// What TLS handshakes are made with: certificate and key, whom to believe, which versions. Immutable once made; a
// reload makes another one, and connections keep what they were made with.
//
// Of what OpenSSL can do, this is off: compression (CRIME), renegotiation (RFC 9325, 3.5), sessions that are taken up
// again, by ticket or by number (so a revoked certificate is revoked at the next handshake; as PostgreSQL).
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "net/tls_stream.h"

namespace pgweir::net {

enum class TlsVersion : std::uint8_t { v1_2, v1_3 };

/// What is demanded of clients.
enum class ClientCertificate : std::uint8_t {
  not_asked,     ///< none is asked for, and none is looked at
  if_presented,  ///< one that is shown must be good
  required,      ///< one must be shown, and be good
};

/// For the side that is connected to. All files are PEM.
struct TlsServerSettings {
  std::string certificate_file;  ///< our certificate, then those between it and the root
  std::string key_file;
  /// Run by /bin/sh when the key is encrypted; its output is the passphrase. %p stands for a prompt, %% for %.
  std::string passphrase_command;
  std::string ca_file;   ///< who signs clients' certificates
  std::string crl_file;  ///< which of them are revoked; empty: not looked at
  ClientCertificate client_certificate = ClientCertificate::not_asked;
  TlsVersion minimum_version = TlsVersion::v1_2;
};

/// For the side that connects.
struct TlsClientSettings {
  std::string ca_file;           ///< who signs servers' certificates; empty: any certificate is good
  std::string crl_file;          ///< which of them are revoked; empty: not looked at
  std::string certificate_file;  ///< to prove who we are; empty: we do not
  std::string key_file;
  TlsVersion minimum_version = TlsVersion::v1_2;
};

/// Any thread.
class TlsContext {
 public:
  /// Blocks: reads files, and may run the passphrase command. An error (F0000) names file and reason, never a secret.
  static base::Result<std::shared_ptr<const TlsContext>> for_server(const TlsServerSettings& settings);
  static base::Result<std::shared_ptr<const TlsContext>> for_client(const TlsClientSettings& settings);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  /// Of a context made by `for_server`: the TLS of one client.
  [[nodiscard]] std::unique_ptr<TlsStream> accept() const;
  /// What the other side's name is taken for.
  struct Expected {
    std::string server_name;       ///< asked for in the handshake (SNI), unless it is an address
    std::string certificate_name;  ///< that the certificate must have: a host name or an address; empty: any
  };
  /// Of a context made by `for_client`: the TLS of one connection to a server.
  [[nodiscard]] std::unique_ptr<TlsStream> connect(const Expected& expected) const;

  /// Of our own certificate, for channel binding (RFC 5929, tls-server-end-point); empty when there is none.
  [[nodiscard]] const std::string& certificate_hash() const { return certificate_hash_; }

 private:
  explicit TlsContext(ssl_ctx_st* context) : context_(context) {}
  ssl_ctx_st* context_;
  std::string certificate_hash_;
};

}  // namespace pgweir::net
