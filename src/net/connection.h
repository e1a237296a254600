// A connected stream socket with buffered output. Nobody else calls recv or send.
//
// Happy path: the socket becomes readable, one recv fills the loop's scratch buffer (behind the tail that was left
// over), the handler looks at the bytes in place and says how many it is done with, the rest is copied aside. What is
// written is collected and sent once, when the pass ends. What can fail: the peer closes or resets (`on_end`); the peer
// does not take bytes (`unsent()` grows: the owner stops reading the other side and is told by `on_drained` when to go
// on).
//
// With TLS (connection_tls.cpp) the same holds of what is said inside. Records are opened into the scratch buffer and
// sealed from where they lie, into a buffer of the loop; only what the socket does not take is kept. All that has come
// is opened at once, so nothing waits inside TLS of which the socket would not tell.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/byte_queue.h"
#include "base/result.h"

namespace pgweir::net {

class Loop;
class TlsStream;

/// A connected socket with its TLS, if it has any, on the way from one loop to another. Closed when nobody takes it.
class DetachedSocket {
 public:
  DetachedSocket(int fd, std::unique_ptr<TlsStream> tls);
  DetachedSocket(DetachedSocket&& other) noexcept;
  DetachedSocket& operator=(DetachedSocket&& other) = delete;
  ~DetachedSocket();

 private:
  friend class Connection;
  int fd_;
  std::unique_ptr<TlsStream> tls_;
};

/// One owner, one thread. May be destroyed at any time, inside its own callbacks too.
class Connection {
 public:
  class Handler {
   public:
    /// Looks at all bytes that have arrived and are not consumed; returns how many it is done with. It may destroy the
    /// connection; what it returns is then ignored. Not called while reading is paused.
    virtual std::size_t on_data(Connection& connection, std::string_view bytes) = 0;
    /// The peer will send no more. `error` is empty after an orderly end. Called once.
    virtual void on_end(Connection& connection, std::string_view error) = 0;
    /// `unsent()` has fallen to half of what `notify_when_drained` named.
    virtual void on_drained(Connection& connection) = 0;
    /// The handshake that `start_tls` began has succeeded. One that fails ends the connection.
    virtual void on_secured(Connection&) {}

   protected:
    ~Handler() = default;
  };

  /// Takes the descriptor (connected, non-blocking) and starts reading.
  Connection(Loop& loop, int fd, Handler& handler);
  /// The same with one that another loop has given away.
  Connection(Loop& loop, DetachedSocket socket, Handler& handler);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Sends at the end of this pass. Never fails: a broken peer shows as `on_end`.
  void write(std::string_view bytes);
  /// For large spans that lie in the scratch buffer: sends at once as much as the socket takes, keeps the rest.
  void write_through(std::string_view bytes);
  /// Room to encode into; follow with `commit`.
  [[nodiscard]] base::ByteQueue& output();
  /// Bytes not yet taken by the kernel.
  [[nodiscard]] std::size_t unsent() const noexcept { return out_.size() + (tls_ ? sealed_unsent() : 0); }
  /// A number for the place in the stream where the next byte written will stand.
  [[nodiscard]] std::uint64_t position() const noexcept { return taken_ + out_.size(); }
  /// Whether anything that was written at or behind that place may have left for the peer.
  [[nodiscard]] bool may_have_sent(std::uint64_t position) const noexcept { return taken_ > position; }
  /// Asks for one `on_drained` once `unsent()` is at most half of `mark`.
  void notify_when_drained(std::size_t mark) noexcept { drain_mark_ = mark; }
  /// Sends what can be sent now.
  void flush();

  void pause_reading();
  void resume_reading();
  [[nodiscard]] bool reading() const noexcept { return reading_; }
  /// Reads without having been told that there is something. Not from within a callback of this or another connection.
  void read_now();
  /// Shows the handler again what it had left over. Must not be called from within `on_data`.
  void redeliver();
  [[nodiscard]] std::size_t unread() const noexcept { return pending_.size(); }
  /// What the handler has left over, or is being shown again. Valid until this object does anything else.
  [[nodiscard]] std::string_view unread_bytes() const noexcept { return pending_.view(); }
  [[nodiscard]] bool ended() const noexcept { return ended_; }
  /// Whether the peer has said its last word, or is gone, though reading is paused and bytes of it may be unread.
  [[nodiscard]] bool peer_has_ended() const;

  /// See net::peer_user. Only before `close`.
  [[nodiscard]] base::Result<std::string> peer_user() const;
  /// What has come and is not consumed when TLS begins.
  enum class Early : std::uint8_t {
    forbidden,  ///< there may be nothing: somebody on the way could have put it there. It ends the connection
    is_tls,     ///< the beginning of the handshake
  };
  /// From now on all bytes go through `tls`; what was written before is sent as it is. Once, from within `on_data` or
  /// with nothing unread. `on_secured` follows, or `on_end`; there is no time-out.
  void start_tls(std::unique_ptr<TlsStream> tls, Early early);
  /// Null without TLS.
  [[nodiscard]] const TlsStream* tls() const noexcept { return tls_.get(); }

  /// Gives the socket away, to be used on another loop; only with nothing unsent and nothing unread.
  [[nodiscard]] DetachedSocket release();
  /// One more attempt to send, then the descriptor is closed. Idempotent.
  void close();

 private:
  struct Handle;
  void on_ready(int status, int events);
  bool read_once();
  void deliver(std::string_view bytes, bool from_pending);
  void update_interest();
  void after_send();
  void end(std::string_view error);
  // connection_tls.cpp
  [[nodiscard]] std::size_t sealed_unsent() const noexcept;
  void begin_tls(std::string_view early);
  bool read_secured();
  void take_records(std::string_view records);
  bool secure(std::string_view records);
  void deliver_opened(std::size_t size, bool gathered);
  void send_secured(std::string_view bytes);
  bool send_sealed();
  void flush_secured();
  void close_secured();

  Loop& loop_;
  Handler* handler_;
  Handle* handle_;  ///< owned until its close callback
  base::ByteQueue pending_;
  base::ByteQueue out_;
  std::unique_ptr<TlsStream> tls_;
  std::size_t drain_mark_ = 0;
  std::uint64_t taken_ = 0;  ///< bytes of `out_` that the kernel, or TLS, has taken
  int interest_ = 0;
  bool reading_ = true;
  bool waiting_writable_ = false;
  bool write_broken_ = false;
  bool flush_registered_ = false;
  bool delivering_ = false;
  bool early_is_tls_ = false;
  bool ended_ = false;
};

}  // namespace pgweir::net
