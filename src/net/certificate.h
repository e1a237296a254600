// Questions about one certificate: whose it is, for which hosts, and the hash that channel binding needs.
#pragma once
#include <string>

struct x509_st;

namespace pgweir::net {

/// The subject's common name; of several the first, as PostgreSQL has it. Empty when there is none, or when it has a
/// zero byte in it (which some programs would take for its end).
[[nodiscard]] std::string common_name_of(const x509_st* certificate);
/// The subject as RFC 2253 writes it: "CN=joe,O=Shop"; what pg_hba.conf's clientname=DN is compared with.
[[nodiscard]] std::string distinguished_name_of(const x509_st* certificate);
/// RFC 5929, tls-server-end-point: by the hash of the certificate's signature, or SHA-256 instead of MD5 and SHA-1.
/// Empty when the signature has no such hash (Ed25519).
[[nodiscard]] std::string end_point_hash_of(const x509_st* certificate);
/// Whether the certificate is for this host name or address: by its alternative names, or by its common name when it
/// has none of the kind (libpq documentation, "Client Verification of Server Certificates").
[[nodiscard]] bool is_for_host(x509_st* certificate, const std::string& host);
/// Whether a host is written as an address rather than a name.
[[nodiscard]] bool is_address(const std::string& host);

}  // namespace pgweir::net
