// What the owner of a client's connection knows about its TLS, as a plain value: the rules for clients work on it
// without knowing a TLS library.
#pragma once
#include <string>

namespace pgweir::auth {

struct TlsFacts {
  bool tls = false;
  bool client_certificate_verified = false;  ///< against the configured authorities; false without a certificate
  std::string common_name;                   ///< of the client's certificate
  std::string distinguished_name;            ///< likewise, in the form of RFC 2253
  std::string server_certificate_hash;       ///< channel binding tls-server-end-point (RFC 5929); empty: none possible
};

}  // namespace pgweir::auth
