// Making of TLS contexts from files; see tls_context.h. Rules for the key's file: PostgreSQL's
// check_ssl_key_file_permissions (libpq/be-secure-common.c).
#include "net/tls_context.h"

#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "base/assertion.h"
#include "net/certificate.h"
#include "net/passphrase.h"
#include "net/tls_callbacks.h"

namespace pgweir::net {

namespace {

constexpr std::chrono::seconds kPatienceWithPassphrase{30};
constexpr std::size_t kLargestKeyFile = 256 * 1024;
/// In ALPN's form: with its length before it.
constexpr std::string_view kAlpnList = "\x0apostgresql";
static_assert(kAlpnList.front() == static_cast<char>(kAlpn.size()) && kAlpnList.substr(1) == kAlpn);

base::Failure failure(std::string message, std::string detail = {}, std::string hint = {}) {
  return base::fail(base::sqlstate::config_file_error, std::move(message), std::move(detail), std::move(hint));
}

/// The system's word where there is one ("No such file or directory"), else OpenSSL's first.
std::string reason() {
  const unsigned long code = ERR_peek_error();
  if (ERR_SYSTEM_ERROR(code)) return std::strerror(ERR_GET_REASON(code));
  const char* text = ERR_reason_error_string(code);
  return text != nullptr ? text : "SSL error code " + std::to_string(code);
}

base::Failure could_not_load(std::string_view what, const std::string& path) {
  return failure("could not load " + std::string(what) + " file \"" + path + "\": " + reason());
}

std::optional<base::Failure> check_access(const std::string& path, const struct stat& info) {
  if (!S_ISREG(info.st_mode)) return failure("private key file \"" + path + "\" is not a regular file");
  if (info.st_uid != ::geteuid() && info.st_uid != 0)
    return failure("private key file \"" + path + "\" must be owned by the user that pgweir runs as, or by root");
  if ((info.st_uid == ::geteuid() && info.st_uid != 0 && (info.st_mode & (S_IRWXG | S_IRWXO)) != 0) ||
      (info.st_uid == 0 && (info.st_mode & (S_IWGRP | S_IXGRP | S_IRWXO)) != 0))
    return failure("private key file \"" + path + "\" has group or world access",
                   "File must have permissions u=rw (0600) or less if owned by the user that pgweir runs as, or "
                   "permissions u=rw,g=r (0640) or less if owned by root.");
  return std::nullopt;
}

/// The bytes of a key's file, cleared when they go.
struct Secret {
  std::string bytes;
  Secret() = default;
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret() { OPENSSL_cleanse(bytes.data(), bytes.size()); }
};

/// Asks the open file who may read it, so that it cannot be exchanged in between.
std::optional<base::Failure> read_key_file(const std::string& path, Secret& key) {
  const auto system_failure = [&path] {
    return failure("could not read private key file \"" + path + "\": " + std::strerror(errno));
  };
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0) return system_failure();
  struct stat info {};
  std::optional<base::Failure> problem;
  if (::fstat(fd, &info) != 0)
    problem = system_failure();
  else
    problem = check_access(path, info);
  if (!problem) {
    key.bytes.resize(kLargestKeyFile);
    std::size_t size = 0;
    ssize_t got = 0;
    while (size < key.bytes.size() && (got = ::read(fd, key.bytes.data() + size, key.bytes.size() - size)) > 0)
      size += static_cast<std::size_t>(got);
    if (got < 0) problem = system_failure();
    key.bytes.resize(size);
  }
  ::close(fd);
  return problem;
}

/// For OpenSSL, while it reads an encrypted key.
struct PassphraseRequest {
  const std::string& command;
  bool was_asked = false;
  std::optional<base::Error> error;
};

int give_passphrase(char* to, int size, int, void* data) {
  auto& request = *static_cast<PassphraseRequest*>(data);
  request.was_asked = true;
  if (request.command.empty()) return -1;
  auto passphrase = run_passphrase_command(request.command, "Enter PEM pass phrase:", kPatienceWithPassphrase);
  if (!passphrase) {
    request.error = std::move(passphrase.error());
    return -1;
  }
  const std::size_t length = passphrase->copy(to, static_cast<std::size_t>(size));
  OPENSSL_cleanse(passphrase->data(), passphrase->size());
  return static_cast<int>(length);
}

std::optional<base::Failure> load_key(SSL_CTX* context, const std::string& path, const std::string& command) {
  Secret key;
  if (auto problem = read_key_file(path, key)) return problem;
  PassphraseRequest request{command, false, std::nullopt};
  BIO* in = BIO_new_mem_buf(key.bytes.data(), static_cast<int>(key.bytes.size()));
  EVP_PKEY* parsed = PEM_read_bio_PrivateKey(in, nullptr, give_passphrase, &request);
  BIO_free(in);
  const bool used = parsed != nullptr && SSL_CTX_use_PrivateKey(context, parsed) == 1;
  EVP_PKEY_free(parsed);
  if (used) return std::nullopt;
  if (request.error) return base::Failure(std::move(*request.error));
  if (request.was_asked && command.empty())
    return failure("private key file \"" + path + "\" is encrypted, and no command gives its passphrase");
  if (request.was_asked && parsed == nullptr)
    return failure("could not load private key file \"" + path + "\": " + reason(),
                   "The passphrase that the command \"" + command + "\" gave may be wrong.");
  return could_not_load("private key", path);
}

std::optional<base::Failure> load_certificate(SSL_CTX* context, const std::string& certificate, const std::string& key,
                                              const std::string& command) {
  ERR_clear_error();
  if (SSL_CTX_use_certificate_chain_file(context, certificate.c_str()) != 1)
    return could_not_load("certificate", certificate);
  if (auto problem = load_key(context, key, command)) return problem;
  if (SSL_CTX_check_private_key(context) != 1)
    return failure("private key file \"" + key + "\" does not belong to certificate file \"" + certificate +
                   "\": " + reason());
  return std::nullopt;
}

std::optional<base::Failure> load_authorities(SSL_CTX* context, const std::string& ca, const std::string& crl) {
  ERR_clear_error();
  if (SSL_CTX_load_verify_file(context, ca.c_str()) != 1) return could_not_load("root certificate", ca);
  if (crl.empty()) return std::nullopt;
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  if (X509_STORE_load_file(store, crl.c_str()) != 1) return could_not_load("certificate revocation list", crl);
  X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
  return std::nullopt;
}

SSL_CTX* make(const SSL_METHOD* method, TlsVersion minimum) {
  SSL_CTX* context = SSL_CTX_new(method);
  PGWEIR_ASSERT(context != nullptr);  // only for want of memory
  SSL_CTX_set_min_proto_version(context, minimum == TlsVersion::v1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
  SSL_CTX_set_options(
      context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  // An idle connection keeps no buffers; what is written may lie somewhere else at the next attempt.
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  return context;
}

/// A client that offers protocols and not ours is refused, as RFC 7301 (3.2) and PostgreSQL have it.
int select_protocol(SSL*, const unsigned char** chosen, unsigned char* chosen_size, const unsigned char* offered,
                    unsigned offered_size, void*) {
  unsigned char* out = nullptr;
  const auto* ours = reinterpret_cast<const unsigned char*>(kAlpnList.data());
  const int verdict =
      SSL_select_next_proto(&out, chosen_size, ours, static_cast<unsigned>(kAlpnList.size()), offered, offered_size);
  *chosen = out;
  return verdict == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

}  // namespace

TlsContext::~TlsContext() { SSL_CTX_free(context_); }

base::Result<std::shared_ptr<const TlsContext>> TlsContext::for_server(const TlsServerSettings& settings) {
  SSL_CTX* context = make(TLS_server_method(), settings.minimum_version);
  const std::shared_ptr<TlsContext> made(new TlsContext(context));
  if (auto problem =
          load_certificate(context, settings.certificate_file, settings.key_file, settings.passphrase_command))
    return std::move(*problem);
  if (settings.client_certificate != ClientCertificate::not_asked) {
    if (auto problem = load_authorities(context, settings.ca_file, settings.crl_file)) return std::move(*problem);
    STACK_OF(X509_NAME)* names = SSL_load_client_CA_file(settings.ca_file.c_str());
    if (names == nullptr) return could_not_load("root certificate", settings.ca_file);
    SSL_CTX_set_client_CA_list(context, names);
    const bool required = settings.client_certificate == ClientCertificate::required;
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | (required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), nullptr);
  }
  SSL_CTX_set_alpn_select_cb(context, select_protocol, nullptr);
  made->certificate_hash_ = end_point_hash_of(SSL_CTX_get0_certificate(context));
  return std::shared_ptr<const TlsContext>(made);
}

base::Result<std::shared_ptr<const TlsContext>> TlsContext::for_client(const TlsClientSettings& settings) {
  SSL_CTX* context = make(TLS_client_method(), settings.minimum_version);
  const std::shared_ptr<TlsContext> made(new TlsContext(context));
  if (!settings.certificate_file.empty())
    if (auto problem = load_certificate(context, settings.certificate_file, settings.key_file, {}))
      return std::move(*problem);
  if (!settings.ca_file.empty()) {
    if (auto problem = load_authorities(context, settings.ca_file, settings.crl_file)) return std::move(*problem);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, TlsCallbacks::verify);
  }
  const auto* ours = reinterpret_cast<const unsigned char*>(kAlpnList.data());
  PGWEIR_ASSERT(SSL_CTX_set_alpn_protos(context, ours, static_cast<unsigned>(kAlpnList.size())) == 0);
  return std::shared_ptr<const TlsContext>(made);
}

std::unique_ptr<TlsStream> TlsContext::accept() const {
  return std::unique_ptr<TlsStream>(new TlsStream(context_, TlsStream::Side::server));
}

std::unique_ptr<TlsStream> TlsContext::connect(const Expected& expected) const {
  std::unique_ptr<TlsStream> stream(new TlsStream(context_, TlsStream::Side::client));
  stream->expected_name_ = expected.certificate_name;
  if (!expected.server_name.empty() && !is_address(expected.server_name))
    SSL_set_tlsext_host_name(stream->ssl_, expected.server_name.c_str());
  return stream;
}

}  // namespace pgweir::net
