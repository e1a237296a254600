// Encoding of frames; see frame.h. Never sends anything: the caller owns the queue.
#include "wire/frame.h"

#include <array>

namespace pgweir::wire {

void encode_header(base::ByteQueue& out, char type, std::uint32_t length) {
  std::array<char, kHeaderBytes> raw;
  raw[0] = type;
  base::store_be32(raw.data() + 1, length);
  out.append({raw.data(), raw.size()});
}

FrameWriter::FrameWriter(base::ByteQueue& out, char type) : out_(out) {
  if (type != 0) byte(type);
  length_at_ = out_.size();
  uint32(0);
}

FrameWriter::~FrameWriter() {
  auto* start = const_cast<char*>(out_.view().data());
  base::store_be32(start + length_at_, static_cast<std::uint32_t>(out_.size() - length_at_));
}

FrameWriter& FrameWriter::byte(char value) {
  out_.append({&value, 1});
  return *this;
}

FrameWriter& FrameWriter::uint16(std::uint16_t value) {
  std::array<char, 2> raw;
  base::store_be16(raw.data(), value);
  out_.append({raw.data(), raw.size()});
  return *this;
}

FrameWriter& FrameWriter::uint32(std::uint32_t value) {
  std::array<char, 4> raw;
  base::store_be32(raw.data(), value);
  out_.append({raw.data(), raw.size()});
  return *this;
}

FrameWriter& FrameWriter::c_string(std::string_view text) {
  out_.append(text);
  return byte('\0');
}

FrameWriter& FrameWriter::bytes(std::string_view raw) {
  out_.append(raw);
  return *this;
}

}  // namespace pgweir::wire
