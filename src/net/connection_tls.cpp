// The way of bytes through TLS, between a socket and a Connection's owner; see connection.h.
//
// Reading: one recv into the loop's buffer for records, no more than what, once opened, fits the scratch buffer; open
// all; deliver. Writing: seal what is queued and what is written through into the loop's other buffer, send that. While
// the socket does not take records, nothing more is sealed: the rest waits as it is.
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "base/assertion.h"
#include "net/connection.h"
#include "net/connection_handle.h"
#include "net/loop.h"
#include "net/tls_stream.h"

namespace pgweir::net {

namespace {

/// Beside the bytes received, the rest of a record of which the beginning came before has to fit.
constexpr std::size_t kRoomForEarlierRecord = TlsStream::kLargestRecord;
/// An unfinished message that leaves less room than this in the scratch buffer is gathered in a buffer of its own.
constexpr std::size_t kLeastRoom = 2 * TlsStream::kLargestRecord;
static_assert(Loop::kSealedBytes >= TlsStream::kLargestRecord + TlsStream::kRecordOverhead);

/// How much was sent of `bytes`: less than all means that the socket is full. Nothing: the connection is broken.
std::optional<std::size_t> send_some(int fd, std::string_view bytes) {
  const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (sent >= 0) return static_cast<std::size_t>(sent);
  if (errno == EAGAIN || errno == EINTR) return 0;
  return std::nullopt;
}

}  // namespace

std::size_t Connection::sealed_unsent() const noexcept { return tls_->to_send().size(); }

void Connection::start_tls(std::unique_ptr<TlsStream> tls, Early early) {
  PGWEIR_ASSERT(!tls_ && handle_ && (delivering_ || pending_.empty()));
  tls_ = std::move(tls);
  early_is_tls_ = early == Early::is_tls;
  tls_->to_send().append(out_.view());
  out_.clear();
  (void)output();  // whoever speaks first does so at the end of the pass
}

/// `on_data` has started TLS and left `early`, which lies in the scratch buffer or in `pending_`.
void Connection::begin_tls(std::string_view early) {
  if (!early.empty() && !early_is_tls_) return end("received unencrypted data after SSL request");
  Handle* handle = handle_;
  const std::string records(early);
  if (pending_.capacity() > 0) loop_.give_buffer(std::move(pending_));
  for (std::size_t at = 0; at < records.size() && handle->owner && !ended_; at += kRoomForEarlierRecord)
    take_records(std::string_view(records).substr(at, kRoomForEarlierRecord));
}

/// False when there was nothing to read.
bool Connection::read_secured() {
  if (tls_->at_end()) {
    end({});
    return true;
  }
  PGWEIR_ASSERT(!loop_.scratch_in_use);
  const bool gather = pending_.size() + kLeastRoom > Loop::kScratchBytes;
  const std::size_t room = gather ? Loop::kScratchBytes : Loop::kScratchBytes - pending_.size();
  const std::span<char> into = loop_.sealed_in().first(room - kRoomForEarlierRecord);
  const ssize_t got = ::recv(handle_->fd, into.data(), into.size(), 0);
  if (got < 0) {
    if (errno == EAGAIN || errno == EINTR) return false;
    end(std::strerror(errno));
    return true;
  }
  if (got == 0) {
    // Without a close_notify anybody on the way may have cut it off.
    end("SSL connection has been closed unexpectedly");
    return true;
  }
  take_records({into.data(), static_cast<std::size_t>(got)});
  return true;
}

void Connection::take_records(std::string_view records) {
  Handle* handle = handle_;
  const bool secured = secure(records);
  if (!handle->owner || !tls_) return;
  if (sealed_unsent() > 0) (void)output();
  if (!secured || ended_) return;
  const bool gather = pending_.size() + kLeastRoom > Loop::kScratchBytes || !reading_;
  const std::span<char> room =
      gather ? pending_.reserve(Loop::kScratchBytes) : loop_.scratch().subspan(pending_.size());
  const std::size_t size = tls_->open(room);
  PGWEIR_ASSERT(tls_->took_all());
  if (sealed_unsent() > 0) (void)output();  // an answer of TLS's own
  deliver_opened(size, gather);
  if (!handle->owner || !tls_) return;
  if (tls_->failed())
    end(std::string(tls_->error()));
  else if (tls_->at_end() && reading_)
    end({});
}

/// Goes on with the handshake; true when it is over. Afterwards this object may be gone.
bool Connection::secure(std::string_view records) {
  tls_->feed(records);
  if (tls_->established()) return true;
  const auto state = tls_->handshake();
  if (state == TlsStream::Handshake::failed) end(std::string(tls_->error()));
  if (state != TlsStream::Handshake::established) return false;
  if (!out_.empty()) (void)output();  // it has waited for this
  handler_->on_secured(*this);
  return true;
}

/// `size` bytes lie behind the pending ones: in `pending_`'s own room, or in the scratch buffer.
void Connection::deliver_opened(std::size_t size, bool gathered) {
  if (gathered) {
    pending_.commit(size);
    if (pending_.empty()) loop_.give_buffer(std::move(pending_));
    if (size > 0 && reading_) deliver(pending_.view(), true);
    return;
  }
  if (size == 0) return;
  const std::size_t before = pending_.size();
  if (before > 0) std::memcpy(loop_.scratch().data(), pending_.view().data(), before);
  pending_.clear();
  deliver({loop_.scratch().data(), before + size}, false);
}

/// Sends what TLS has sealed before. False when the socket does not take all of it, or is broken.
bool Connection::send_sealed() {
  base::ByteQueue& sealed = tls_->to_send();
  if (!sealed.empty() && !write_broken_) {
    const auto sent = send_some(handle_->fd, sealed.view());
    if (sent) sealed.consume(*sent);
    write_broken_ = !sent;
  }
  if (write_broken_) {
    sealed.clear();
    out_.clear();
  }
  if (sealed.empty() && sealed.capacity() > 0) loop_.give_buffer(std::move(sealed));
  return !write_broken_ && sealed.empty();
}

/// Seals and sends what is queued, then `bytes`, as far as the socket takes it.
void Connection::send_secured(std::string_view bytes) {
  const std::span<char> room = loop_.sealed_out();
  while (send_sealed() && tls_->established() && (!out_.empty() || !bytes.empty())) {
    std::size_t size = 0;
    while (!out_.empty() || !bytes.empty()) {
      const bool queued = !out_.empty();
      const std::string_view part = (queued ? out_.view() : bytes).substr(0, TlsStream::kLargestRecord);
      if (size + part.size() + TlsStream::kRecordOverhead > room.size()) break;
      const std::size_t record = tls_->seal(part, room.subspan(size));
      if (record == 0) {
        write_broken_ = true;
        break;
      }
      size += record;
      taken_ += part.size();
      if (queued)
        out_.consume(part.size());
      else
        bytes.remove_prefix(part.size());
    }
    const auto sent = send_some(handle_->fd, {room.data(), size});
    if (!sent) write_broken_ = true;
    if (sent && *sent < size) {
      if (tls_->to_send().capacity() == 0) tls_->to_send() = loop_.take_buffer();
      tls_->to_send().append({room.data() + *sent, size - *sent});
    }
  }
  if (write_broken_) return;
  if (!bytes.empty()) output().append(bytes);
  if (sealed_unsent() > 0 && !waiting_writable_) {
    waiting_writable_ = true;
    update_interest();
  }
}

void Connection::flush_secured() {
  Handle* handle = handle_;
  if (!tls_->established() && !tls_->failed() && !ended_) {
    (void)secure({});
    if (!handle->owner || !tls_) return;
  }
  send_secured({});
  const bool unnoticed = write_broken_ && !reading_ && !ended_;
  const bool over = tls_->at_end() && reading_ && !ended_;
  after_send();
  if (!handle->owner) return;
  if (unnoticed)
    end("connection reset");
  else if (over)
    end({});
}

/// Says that nothing more comes, so that the other side knows that it has had all.
void Connection::close_secured() {
  send_secured({});
  if (out_.empty() && !write_broken_) tls_->say_end();
  (void)send_sealed();
}

}  // namespace pgweir::net
