// From the words of the settings to TLS contexts; see tls_contexts.h.
#include "session/tls_contexts.h"

#include <utility>

namespace pgweir::session {

namespace {

using config::TlsMode;
using Wish = pool::ServerTls::Wish;

net::TlsVersion version_of(config::TlsVersion version) {
  return version == config::TlsVersion::v1_3 ? net::TlsVersion::v1_3 : net::TlsVersion::v1_2;
}

Wish wish_of(TlsMode mode) {
  switch (mode) {
    case TlsMode::disable: return Wish::never;
    case TlsMode::allow: return Wish::if_refused;
    case TlsMode::prefer: return Wish::if_offered;
    default: return Wish::always;
  }
}

base::Result<std::shared_ptr<const net::TlsContext>> for_clients(const config::ClientTls& tls) {
  net::TlsServerSettings out;
  out.certificate_file = tls.cert_file;
  out.key_file = tls.key_file;
  out.passphrase_command = tls.key_passphrase_command;
  out.ca_file = tls.ca_file;
  out.crl_file = tls.crl_file;
  out.minimum_version = version_of(tls.min_version);
  if (!tls.ca_file.empty())
    out.client_certificate =
        tls.mode >= TlsMode::verify_ca ? net::ClientCertificate::required : net::ClientCertificate::if_presented;
  return net::TlsContext::for_server(out);
}

base::Result<pool::ServerTls> for_node(const config::NodeSettings& node) {
  const config::ServerTls& tls = node.server_tls;
  pool::ServerTls out;
  out.wish = wish_of(tls.mode);
  if (out.wish == Wish::never) return out;
  net::TlsClientSettings settings;
  if (tls.mode >= TlsMode::verify_ca) {
    settings.ca_file = tls.ca_file;
    settings.crl_file = tls.crl_file;
  }
  settings.certificate_file = tls.cert_file;
  settings.key_file = tls.key_file;
  settings.minimum_version = version_of(tls.min_version);
  auto context = net::TlsContext::for_client(settings);
  if (!context) return base::Failure(std::move(context.error()));
  out.context = std::move(*context);
  out.expected.server_name = node.tls.server_name.empty() ? node.host : node.tls.server_name;
  if (tls.mode == TlsMode::verify_full) out.expected.certificate_name = out.expected.server_name;
  return out;
}

}  // namespace

base::Result<TlsContextsPtr> load_tls(const config::Settings& settings) {
  auto loaded = std::make_shared<TlsContexts>();
  if (settings.client_tls.mode != TlsMode::disable) {
    auto clients = for_clients(settings.client_tls);
    if (!clients) return base::Failure(std::move(clients.error()));
    loaded->clients = std::move(*clients);
  }
  for (const config::NodeSettings& node : settings.nodes) {
    auto tls = for_node(node);
    if (!tls) return base::Failure(std::move(tls.error()));
    loaded->nodes.push_back(std::move(*tls));
  }
  return TlsContextsPtr(std::move(loaded));
}

}  // namespace pgweir::session
