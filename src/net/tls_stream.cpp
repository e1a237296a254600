// OpenSSL's SSL with memory where its socket would be; see tls_stream.h. Everything that comes from the peer is
// untrusted.
#include "net/tls_stream.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/assertion.h"
#include "net/certificate.h"
#include "net/tls_callbacks.h"

namespace pgweir::net {

namespace {

/// The first error of this thread is the cause; what follows says where it was noticed.
std::string first_error() {
  const unsigned long code = ERR_peek_error();
  const char* reason = ERR_reason_error_string(code);
  return reason != nullptr ? reason : code != 0 ? "SSL error code " + std::to_string(code) : "unknown error";
}

TlsStream& stream_of(BIO* bio) { return *static_cast<TlsStream*>(BIO_get_data(bio)); }

long control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

}  // namespace

int TlsCallbacks::read(BIO* bio, char* to, int size) {
  TlsStream& stream = stream_of(bio);
  BIO_clear_retry_flags(bio);
  if (stream.input_.empty()) {
    BIO_set_retry_read(bio);
    return -1;
  }
  const std::size_t taken = stream.input_.copy(to, static_cast<std::size_t>(size));
  stream.input_.remove_prefix(taken);
  return static_cast<int>(taken);
}

int TlsCallbacks::write(BIO* bio, const char* from, int size) {
  TlsStream& stream = stream_of(bio);
  BIO_clear_retry_flags(bio);
  const std::string_view bytes(from, static_cast<std::size_t>(size));
  if (stream.sink_.empty()) {
    stream.to_send_.append(bytes);
  } else {
    PGWEIR_ASSERT(stream.sunk_ + bytes.size() <= stream.sink_.size());
    std::memcpy(stream.sink_.data() + stream.sunk_, bytes.data(), bytes.size());
    stream.sunk_ += bytes.size();
  }
  return size;
}

/// Asked for each certificate of the server's chain, the server's own last.
int TlsCallbacks::verify(int is_good, X509_STORE_CTX* store) {
  if (is_good == 0 || X509_STORE_CTX_get_error_depth(store) > 0) return is_good;
  auto* ssl = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  TlsStream& stream = stream_of(SSL_get_rbio(ssl));
  X509* certificate = X509_STORE_CTX_get_current_cert(store);
  if (stream.expected_name_.empty() || is_for_host(certificate, stream.expected_name_)) return 1;
  stream.error_ = "server certificate for \"" + common_name_of(certificate) + "\" does not match host name \"" +
                  stream.expected_name_ + "\"";
  X509_STORE_CTX_set_error(store, X509_V_ERR_HOSTNAME_MISMATCH);
  return 0;
}

const BIO_METHOD* TlsCallbacks::method() {
  static const BIO_METHOD* const kMethod = [] {
    BIO_METHOD* method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "pgweir memory");
    PGWEIR_ASSERT(method != nullptr);
    BIO_meth_set_read(method, read);
    BIO_meth_set_write(method, write);
    BIO_meth_set_ctrl(method, control);
    return method;
  }();
  return kMethod;
}

TlsStream::TlsStream(ssl_ctx_st* context, Side side) : ssl_(SSL_new(context)) {
  BIO* bio = BIO_new(TlsCallbacks::method());
  PGWEIR_ASSERT(ssl_ != nullptr && bio != nullptr);  // only for want of memory
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_, bio, bio);
  if (side == Side::server)
    SSL_set_accept_state(ssl_);
  else
    SSL_set_connect_state(ssl_);
}

TlsStream::~TlsStream() { SSL_free(ssl_); }

TlsStream::Handshake TlsStream::handshake() {
  if (state_ != Handshake::under_way) return state_;
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_);
  if (result == 1)
    state_ = Handshake::established;
  else if (SSL_get_error(ssl_, result) != SSL_ERROR_WANT_READ)
    fail(result);
  return state_;
}

std::size_t TlsStream::open(std::span<char> room) {
  std::size_t size = 0;
  while (!input_.empty() && size < room.size() && established() && !at_end_) {
    ERR_clear_error();
    std::size_t got = 0;
    const int result = SSL_read_ex(ssl_, room.data() + size, room.size() - size, &got);
    size += got;
    if (result == 1) continue;
    const int error = SSL_get_error(ssl_, result);
    if (error == SSL_ERROR_ZERO_RETURN)
      at_end_ = true;
    else if (error != SSL_ERROR_WANT_READ)
      fail(result);
  }
  // What comes behind the end means nothing.
  if (at_end_ || failed()) input_ = {};
  return size;
}

std::size_t TlsStream::seal(std::string_view bytes, std::span<char> room) {
  PGWEIR_ASSERT(established() && bytes.size() <= kLargestRecord && room.size() >= bytes.size() + kRecordOverhead);
  sink_ = room;
  sunk_ = 0;
  ERR_clear_error();
  std::size_t taken = 0;
  const int result = SSL_write_ex(ssl_, bytes.data(), bytes.size(), &taken);
  sink_ = {};
  if (result == 1 && taken == bytes.size()) return sunk_;
  fail(result);
  return 0;
}

void TlsStream::say_end() {
  if (!established()) return;
  ERR_clear_error();
  SSL_shutdown(ssl_);
}

/// The alert, if there is one to send, is in `to_send_` by now.
void TlsStream::fail(int) {
  state_ = Handshake::failed;
  input_ = {};
  if (!error_.empty()) return;  // the verification has said it already
  error_ = first_error();
  const long verdict = SSL_get_verify_result(ssl_);
  if (verdict != X509_V_OK && ERR_GET_REASON(ERR_peek_error()) == SSL_R_CERTIFICATE_VERIFY_FAILED)
    error_ += std::string(": ") + X509_verify_cert_error_string(verdict);
}

TlsFacts TlsStream::facts() const {
  TlsFacts facts;
  facts.version = SSL_get_version(ssl_);
  facts.cipher = SSL_get_cipher_name(ssl_);
  if (const char* name = SSL_get_servername(ssl_, TLSEXT_NAMETYPE_host_name)) facts.server_name = name;
  const X509* peer = SSL_get0_peer_certificate(ssl_);
  if (peer != nullptr && SSL_get_verify_mode(ssl_) != SSL_VERIFY_NONE && SSL_get_verify_result(ssl_) == X509_V_OK) {
    facts.peer_certificate_verified = true;
    facts.common_name = common_name_of(peer);
    facts.distinguished_name = distinguished_name_of(peer);
  }
  const X509* servers = SSL_is_server(ssl_) != 0 ? SSL_get_certificate(ssl_) : peer;
  if (servers != nullptr) facts.server_certificate_hash = end_point_hash_of(servers);
  return facts;
}

bool TlsStream::speaks_postgresql() const {
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl_, &name, &size);
  return size > 0 && std::string_view(reinterpret_cast<const char*>(name), size) == kAlpn;
}

}  // namespace pgweir::net
