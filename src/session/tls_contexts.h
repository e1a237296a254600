// What TLS the process speaks: with clients, and with each node. Made from the settings and the files that they name.
#pragma once
#include <memory>
#include <vector>

#include "base/result.h"
#include "config/settings.h"
#include "net/tls_context.h"
#include "pool/server_tls.h"

namespace pgweir::session {

/// Shared, immutable; replaced as a whole on reload. Connections that are open keep what they were made with.
struct TlsContexts {
  std::shared_ptr<const net::TlsContext> clients;  ///< null: clients cannot use TLS
  std::vector<pool::ServerTls> nodes;              ///< by NodeId
};
using TlsContextsPtr = std::shared_ptr<const TlsContexts>;

/// Blocks: reads the files, and runs the passphrase command where a key needs it. An error names the file or the
/// command, and the reason.
[[nodiscard]] base::Result<TlsContextsPtr> load_tls(const config::Settings& settings);

}  // namespace pgweir::session
