// The words and verdicts around SSLRequest; see server_tls.h.
#include "pool/server_tls.h"

#include <string>

namespace pgweir::pool {

base::Result<SslAnswer> take_ssl_answer(char answer, const ServerTls& tls) {
  if (answer == 'S') return SslAnswer::yes;
  if (answer == 'N' && tls.wish != ServerTls::Wish::always) return SslAnswer::no;
  if (answer == 'N')
    return base::fail(base::sqlstate::connection_failure, "server does not support SSL, but SSL was required", {},
                      "Set ssl = on in the server's postgresql.conf, or another tls mode for this node.");
  return base::fail(base::sqlstate::protocol_violation,
                    "received invalid response to SSL negotiation: code " +
                        std::to_string(static_cast<unsigned>(static_cast<unsigned char>(answer))));
}

}  // namespace pgweir::pool
