// Receiving from and sending to stream sockets, which nobody does but this file and connection_tls.cpp; see
// connection.h.
#include "net/connection.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include <uv.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/assertion.h"
#include "net/address.h"
#include "net/connection_handle.h"
#include "net/loop.h"
#include "net/tls_stream.h"

namespace pgweir::net {

namespace {
/// An unfinished message that leaves less room than this in the scratch buffer is gathered in a buffer of its own.
constexpr std::size_t kLeastRoom = 16 * 1024;
/// Spans from here on are worth a send of their own instead of a copy.
constexpr std::size_t kDirectBytes = 16 * 1024;
}  // namespace

DetachedSocket::DetachedSocket(int fd, std::unique_ptr<TlsStream> tls) : fd_(fd), tls_(std::move(tls)) {}

DetachedSocket::DetachedSocket(DetachedSocket&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), tls_(std::move(other.tls_)) {}

DetachedSocket::~DetachedSocket() {
  if (fd_ >= 0) ::close(fd_);
}

Connection::Connection(Loop& loop, int fd, Handler& handler) : loop_(loop), handler_(&handler), handle_(new Handle) {
  handle_->owner = this;
  handle_->fd = fd;
  handle_->poll.data = handle_;
  PGWEIR_ASSERT(uv_poll_init(loop_.uv(), &handle_->poll, fd) == 0);
  update_interest();
}

Connection::Connection(Loop& loop, DetachedSocket socket, Handler& handler)
    : Connection(loop, std::exchange(socket.fd_, -1), handler) {
  tls_ = std::move(socket.tls_);
}

Connection::~Connection() { close(); }

void Connection::close() {
  if (!handle_) return;
  // Nobody is told anything any more; `flush` does not take this connection out of the loop's list.
  drain_mark_ = 0;
  ended_ = true;
  const bool registered = flush_registered_;
  if (tls_)
    close_secured();
  else if (!out_.empty())
    flush();
  if (registered) loop_.forget(*this);
  Handle* handle = std::exchange(handle_, nullptr);
  handle->owner = nullptr;
  uv_close(reinterpret_cast<uv_handle_t*>(&handle->poll), [](uv_handle_t* closed) {
    auto* done = static_cast<Handle*>(closed->data);
    if (done->fd >= 0) ::close(done->fd);
    delete done;
  });
  loop_.give_buffer(std::move(out_));
  pending_.release();
}

base::Result<std::string> Connection::peer_user() const {
  PGWEIR_ASSERT(handle_);
  return net::peer_user(handle_->fd);
}

DetachedSocket Connection::release() {
  PGWEIR_ASSERT(handle_ && unsent() == 0 && pending_.empty());
  DetachedSocket socket(std::exchange(handle_->fd, -1), std::move(tls_));
  uv_poll_stop(&handle_->poll);
  close();
  return socket;
}

void Connection::update_interest() {
  if (!handle_) return;
  const int wanted = (reading_ && !ended_ ? UV_READABLE : 0) | (waiting_writable_ ? UV_WRITABLE : 0);
  if (wanted == interest_) return;
  interest_ = wanted;
  if (wanted == 0) {
    uv_poll_stop(&handle_->poll);
    return;
  }
  uv_poll_start(&handle_->poll, wanted, [](uv_poll_t* poll, int status, int events) {
    auto* handle = static_cast<Handle*>(poll->data);
    if (handle->owner) handle->owner->on_ready(status, events);
  });
}

void Connection::pause_reading() {
  reading_ = false;
  update_interest();
}

bool Connection::peer_has_ended() const {
  if (ended_) return true;
  pollfd look{handle_->fd, POLLRDHUP, 0};
  return ::poll(&look, 1, 0) == 1;  // of errors it tells unasked
}

void Connection::resume_reading() {
  reading_ = true;
  update_interest();
  // The end may have come inside TLS, where the socket does not tell of it again.
  if (tls_ && tls_->at_end()) [[unlikely]]
    (void)output();
}

void Connection::on_ready(int status, int events) {
  Handle* handle = handle_;
  if (status < 0) {
    // libuv has stopped watching: the peer has reset the connection. What it said before is read to the end.
    interest_ = 0;
    waiting_writable_ = false;
    write_broken_ = true;
    while (handle->owner && !ended_)
      if (!reading_ || !read_once()) end("connection reset");
    return;
  }
  if ((events & UV_WRITABLE) != 0) flush();
  if (handle->owner && reading_ && (events & UV_READABLE) != 0) read_once();
}

void Connection::read_now() {
  if (reading_ && !ended_) read_once();
}

/// False when there was nothing to read.
bool Connection::read_once() {
  if (tls_) return read_secured();
  const bool gather = pending_.size() + kLeastRoom > Loop::kScratchBytes;
  PGWEIR_ASSERT(!loop_.scratch_in_use);
  const std::span<char> room =
      gather ? pending_.reserve(Loop::kScratchBytes) : loop_.scratch().subspan(pending_.size());
  const ssize_t got = ::recv(handle_->fd, room.data(), room.size(), 0);
  if (got < 0) {
    if (errno == EAGAIN || errno == EINTR) return false;
    end(std::strerror(errno));
    return true;
  }
  if (got == 0) {
    end({});
    return true;
  }
  if (gather) {
    pending_.commit(static_cast<std::size_t>(got));
    deliver(pending_.view(), true);
    return true;
  }
  const std::size_t before = pending_.size();
  if (before > 0) std::memcpy(loop_.scratch().data(), pending_.view().data(), before);
  pending_.clear();  // it is in the scratch buffer now: the handler may give the descriptor away
  deliver({loop_.scratch().data(), before + static_cast<std::size_t>(got)}, false);
  return true;
}

void Connection::redeliver() {
  PGWEIR_ASSERT(!delivering_);
  if (!pending_.empty()) deliver(pending_.view(), true);
}

void Connection::deliver(std::string_view bytes, bool from_pending) {
  Handle* handle = handle_;
  Loop& loop = loop_;
  delivering_ = true;
  const bool was_secured = tls_ != nullptr;
  if (!from_pending) loop.scratch_in_use = true;
  const std::size_t consumed = handler_->on_data(*this, bytes);
  if (!from_pending) loop.scratch_in_use = false;
  if (!handle->owner) return;  // this object may be gone: only the handle is still there
  delivering_ = false;
  PGWEIR_ASSERT(consumed <= bytes.size());
  if (!was_secured && tls_) return begin_tls(bytes.substr(consumed));
  if (from_pending) {
    pending_.consume(consumed);
  } else {
    pending_.clear();
    if (consumed < bytes.size() && pending_.capacity() == 0) pending_ = loop_.take_buffer();
    pending_.append(bytes.substr(consumed));
  }
  if (pending_.empty() && pending_.capacity() > 0) loop_.give_buffer(std::move(pending_));
}

base::ByteQueue& Connection::output() {
  if (!flush_registered_ && handle_) {
    flush_registered_ = true;
    loop_.flush_later(*this);
  }
  if (out_.capacity() == 0) out_ = loop_.take_buffer();
  return out_;
}

void Connection::write(std::string_view bytes) {
  if (!handle_ || write_broken_) return;
  output().append(bytes);
}

void Connection::write_through(std::string_view bytes) {
  if (bytes.size() < kDirectBytes || waiting_writable_ || write_broken_ || !handle_) {
    write(bytes);
    return;
  }
  if (tls_) return send_secured(bytes);
  const std::string_view queued = out_.view();
  std::array<iovec, 2> parts{iovec{const_cast<char*>(queued.data()), queued.size()},
                             iovec{const_cast<char*>(bytes.data()), bytes.size()}};
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  const ssize_t sent = ::sendmsg(handle_->fd, &message, MSG_NOSIGNAL);
  std::size_t taken = sent > 0 ? static_cast<std::size_t>(sent) : 0;
  if (sent < 0 && errno != EAGAIN && errno != EINTR) {
    write_broken_ = true;
    out_.clear();
    return;
  }
  const std::size_t from_queue = std::min(taken, queued.size());
  out_.consume(from_queue);
  taken_ += taken;
  taken -= from_queue;
  if (taken < bytes.size()) {
    output().append(bytes.substr(taken));
    waiting_writable_ = true;
    update_interest();
  }
}

void Connection::flush() {
  flush_registered_ = false;
  if (!handle_) return;
  if (tls_) return flush_secured();
  if (!out_.empty() && !write_broken_) {
    const ssize_t sent = ::send(handle_->fd, out_.view().data(), out_.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      out_.consume(static_cast<std::size_t>(sent));
      taken_ += static_cast<std::size_t>(sent);
    }
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
      // What the peer said before it went away may still be unread: the end is found by reading.
      write_broken_ = true;
      out_.clear();
    }
  }
  Handle* handle = handle_;
  const bool unnoticed = write_broken_ && !reading_ && !ended_;
  after_send();
  if (unnoticed && handle->owner) end("connection reset");
}

void Connection::after_send() {
  const bool wait = tls_ ? sealed_unsent() > 0 : !out_.empty();
  if (wait != waiting_writable_) {
    waiting_writable_ = wait;
    update_interest();
  }
  if (out_.empty() && out_.capacity() > 0) loop_.give_buffer(std::move(out_));
  if (drain_mark_ > 0 && unsent() <= drain_mark_ / 2) {
    drain_mark_ = 0;
    handler_->on_drained(*this);
  }
}

void Connection::end(std::string_view error) {
  if (ended_) return;
  ended_ = true;
  update_interest();
  handler_->on_end(*this, error);
}

}  // namespace pgweir::net
