// Framing of protocol version 3: a type byte, a length that counts itself, a body.
// Source: PostgreSQL documentation, "Message Formats"; start-up packets have no type byte.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/byte_order.h"
#include "base/byte_queue.h"

namespace pgweir::wire {

/// The largest body that either side may announce: PostgreSQL's own limit for one message is just below 1 GiB
/// (libpq/pqcomm.c, PQ_LARGE_MESSAGE_LIMIT), and replies carry a value of 1 GiB plus other columns.
inline constexpr std::size_t kLargestBody = 0x7fffffffU - 4;
inline constexpr std::size_t kHeaderBytes = 5;

struct Frame {
  char type = 0;
  std::size_t body_size = 0;  ///< as announced
  std::string_view body;      ///< what of it is here; body.size() <= body_size
  [[nodiscard]] bool complete() const noexcept { return body.size() == body_size; }
  [[nodiscard]] std::size_t bytes_here() const noexcept { return kHeaderBytes + body.size(); }
  [[nodiscard]] std::size_t bytes_left() const noexcept { return body_size - body.size(); }
};

enum class FrameStatus : std::uint8_t {
  need_header,  ///< fewer than five bytes
  ok,           ///< `frame` is filled in; it may be incomplete
  invalid,      ///< the length cannot be right: the connection must be closed with 08P01
};

/// Looks at the front of `bytes`; takes nothing and keeps nothing.
inline FrameStatus read_frame(std::string_view bytes, Frame& frame) noexcept {
  if (bytes.size() < kHeaderBytes) return FrameStatus::need_header;
  const std::uint32_t length = base::load_be32(bytes.data() + 1);
  if (length < 4 || length - 4 > kLargestBody) return FrameStatus::invalid;
  frame.type = bytes[0];
  frame.body_size = length - 4;
  frame.body = bytes.substr(kHeaderBytes, frame.body_size);
  return FrameStatus::ok;
}

/// `length`: of the body and of the length itself.
void encode_header(base::ByteQueue& out, char type, std::uint32_t length);

/// Reads a body from front to back. A read beyond the end fails for good: check `ok()` once at the end.
class BodyReader {
 public:
  explicit BodyReader(std::string_view body) noexcept : rest_(body) {}

  [[nodiscard]] bool ok() const noexcept { return ok_; }
  /// True when everything was read and nothing failed.
  [[nodiscard]] bool at_end() const noexcept { return ok_ && rest_.empty(); }
  [[nodiscard]] std::string_view rest() const noexcept { return rest_; }

  char byte() noexcept {
    const auto raw = bytes(1);
    return raw.empty() ? '\0' : raw[0];
  }
  std::uint16_t uint16() noexcept {
    const auto raw = bytes(2);
    return raw.empty() ? std::uint16_t{0} : base::load_be16(raw.data());
  }
  std::uint32_t uint32() noexcept {
    const auto raw = bytes(4);
    return raw.empty() ? 0U : base::load_be32(raw.data());
  }
  std::int32_t int32() noexcept { return static_cast<std::int32_t>(uint32()); }
  /// Up to and without the zero byte.
  std::string_view c_string() noexcept {
    const auto end = rest_.find('\0');
    if (end == std::string_view::npos) {
      fail();
      return {};
    }
    const auto text = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    return text;
  }
  std::string_view bytes(std::size_t count) noexcept {
    if (rest_.size() < count) {
      fail();
      return {};
    }
    const auto taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }

 private:
  void fail() noexcept {
    ok_ = false;
    rest_ = {};
  }
  std::string_view rest_;
  bool ok_ = true;
};

/// Header and body of a frame that `read_frame` found: what of it is here.
inline std::string_view raw(const Frame& frame) noexcept {
  return {frame.body.data() - kHeaderBytes, frame.bytes_here()};
}

/// Encodes one message at the end of a queue; the length is filled in by the destructor.
class FrameWriter {
 public:
  /// `type` 0 writes a start-up packet, which has none.
  FrameWriter(base::ByteQueue& out, char type);
  ~FrameWriter();
  FrameWriter(const FrameWriter&) = delete;
  FrameWriter& operator=(const FrameWriter&) = delete;

  FrameWriter& byte(char value);
  FrameWriter& uint16(std::uint16_t value);
  FrameWriter& uint32(std::uint32_t value);
  FrameWriter& c_string(std::string_view text);
  FrameWriter& bytes(std::string_view raw);

 private:
  base::ByteQueue& out_;
  std::size_t length_at_;  ///< offset of the length field from the front of the queue
};

}  // namespace pgweir::wire
