// What OpenSSL calls; for tls_stream.cpp and tls_context.cpp only.
#pragma once
#include <openssl/bio.h>
#include <openssl/x509_vfy.h>

#include <string_view>

namespace pgweir::net {

/// The name of PostgreSQL's protocol in TLS handshakes (IANA, "TLS ALPN Protocol IDs").
inline constexpr std::string_view kAlpn = "postgresql";

struct TlsCallbacks {
  static const BIO_METHOD* method();
  static int read(BIO* bio, char* to, int size);
  static int write(BIO* bio, const char* from, int size);
  static int verify(int is_good, X509_STORE_CTX* store);
};

}  // namespace pgweir::net
