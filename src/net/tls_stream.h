// TLS of one connection, as a transformer of bytes: what came from the socket goes in, what the peer said comes out;
// what is to be said goes in, what must be sent comes out. It touches no socket, so nothing in here ever waits, and it
// can be handed from one thread to another between two calls.
//
// Happy path: `feed` and `handshake` in turn until it is established; then `feed` and `open` for what arrives, `seal`
// for what leaves. What can fail: the peer is no TLS, cannot be believed or breaks the protocol: `error()` says why,
// and `to_send()` has the alert for it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/byte_queue.h"

struct ssl_st;
struct ssl_ctx_st;
struct bio_st;

namespace pgweir::net {

/// What a handshake has shown. Texts of the peer are as it sent them: untrusted, and possibly empty.
struct TlsFacts {
  std::string version;      ///< "TLSv1.3"
  std::string cipher;       ///< "TLS_AES_256_GCM_SHA384"
  std::string server_name;  ///< the name that the client asked for (SNI)
  /// The peer has shown a certificate, and it was signed by somebody whom we believe, is not expired and not revoked.
  bool peer_certificate_verified = false;
  std::string common_name;         ///< of that certificate; empty when it has none
  std::string distinguished_name;  ///< as RFC 2253 writes it
  /// Of the certificate by which the server proved itself: what channel binding binds to (RFC 5929,
  /// tls-server-end-point). Empty when the certificate's signature has no hash for that.
  std::string server_certificate_hash;
};

/// Made by TlsContext. One owner, used by one thread at a time.
class TlsStream {
 public:
  enum class Handshake : std::uint8_t { under_way, established, failed };
  /// The most plain bytes in one record (RFC 8446, 5.1).
  static constexpr std::size_t kLargestRecord = 16384;
  /// What a record may take beside them, with whatever OpenSSL says by itself before it.
  static constexpr std::size_t kRecordOverhead = 512;

  ~TlsStream();
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;

  /// The next bytes from the socket; they must stay where they are until `handshake` or `open` has returned.
  void feed(std::string_view wire) { input_ = wire; }
  /// Goes as far as it can. All that was fed has been taken unless it is established: then the rest is for `open`.
  Handshake handshake();
  [[nodiscard]] bool established() const { return state_ == Handshake::established; }

  /// What the peer has said in what was fed, as much as fits; with room for the bytes fed and one record more it takes
  /// all. Look at `at_end` and `failed` afterwards.
  std::size_t open(std::span<char> room);
  [[nodiscard]] bool took_all() const { return input_.empty(); }
  /// The peer has said that it will send no more (close_notify).
  [[nodiscard]] bool at_end() const { return at_end_; }
  [[nodiscard]] bool failed() const { return state_ == Handshake::failed; }
  /// One line, for the log.
  [[nodiscard]] const std::string& error() const { return error_; }

  /// Turns `bytes` (at most kLargestRecord) into a record; returns its size. `room` has kRecordOverhead more than
  /// `bytes`. 0: it has failed.
  std::size_t seal(std::string_view bytes, std::span<char> room);
  /// Says that nothing more will come (close_notify).
  void say_end();
  /// What it has to say by itself; must be sent before anything else.
  [[nodiscard]] base::ByteQueue& to_send() { return to_send_; }

  [[nodiscard]] TlsFacts facts() const;
  /// Both sides have agreed on the protocol "postgresql" (ALPN).
  [[nodiscard]] bool speaks_postgresql() const;

 private:
  friend class TlsContext;
  friend struct TlsCallbacks;
  enum class Side : std::uint8_t { server, client };
  TlsStream(ssl_ctx_st* context, Side side);
  void fail(int result);

  ssl_st* ssl_;
  std::string_view input_;
  std::span<char> sink_;  ///< while `seal` runs; otherwise what is written goes to `to_send_`
  std::size_t sunk_ = 0;
  base::ByteQueue to_send_;
  std::string expected_name_;  ///< that the server's certificate must have; empty: any
  std::string error_;
  Handshake state_ = Handshake::under_way;
  bool at_end_ = false;
};

}  // namespace pgweir::net
