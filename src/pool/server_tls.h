// How connections to one node are encrypted, and the first step to it: SSLRequest and its answer.
// Source: PostgreSQL documentation, "Message Flow", SSL Session Encryption; libpq's sslmode.
#pragma once
#include <cstdint>
#include <memory>

#include "base/result.h"
#include "net/tls_context.h"

namespace pgweir::pool {

/// A value: goes with each connection. Whom it believes is the context's affair.
struct ServerTls {
  enum class Wish : std::uint8_t {
    never,
    if_refused,  ///< without TLS, and with it when the server refuses that
    if_offered,  ///< with TLS, and without when the server has none
    always,
  };
  Wish wish = Wish::never;
  std::shared_ptr<const net::TlsContext> context;  ///< null only with `never`
  net::TlsContext::Expected expected;
};

enum class SslAnswer : std::uint8_t { yes, no };
/// The one byte that answers SSLRequest. Errors: it is neither (08P01), or it is no while TLS must be (08006).
[[nodiscard]] base::Result<SslAnswer> take_ssl_answer(char answer, const ServerTls& tls);

}  // namespace pgweir::pool
