// Framing, in any pieces: what is seen of a stream is the same however it arrives, nothing is read twice or skipped,
// and the encoder makes what the reader reads.
#include "wire/frame.h"

#include <string>

#include "base/byte_queue.h"
#include "fuzz/target.h"

using namespace pgweir;

namespace {

/// Types, sizes and bodies of a stream that comes in pieces; long messages as they come.
std::string read(std::string_view bytes, std::size_t piece) {
  std::string seen;
  std::string unread;
  std::size_t left = 0;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    unread.append(bytes.substr(at, piece));
    for (;;) {
      const std::size_t step = std::min(left, unread.size());
      seen.append(unread, 0, step);
      unread.erase(0, step);
      left -= step;
      if (left > 0) break;
      wire::Frame frame;
      const auto status = wire::read_frame(unread, frame);
      if (status == wire::FrameStatus::invalid) return seen + "invalid";
      if (status == wire::FrameStatus::need_header) break;
      FUZZ_CHECK(frame.body_size <= wire::kLargestBody);
      FUZZ_CHECK(frame.bytes_here() <= unread.size() && fuzz::within(frame.body, unread));
      FUZZ_CHECK(frame.bytes_here() + frame.bytes_left() == frame.body_size + wire::kHeaderBytes);
      seen += frame.type + std::to_string(frame.body_size) + ":";
      seen += frame.body;
      left = frame.bytes_left();
      unread.erase(0, frame.bytes_here());
    }
  }
  return seen;
}

void write_and_read(std::string_view body) {
  base::ByteQueue out;
  wire::FrameWriter(out, 'x').bytes(body);
  wire::Frame frame;
  FUZZ_CHECK(wire::read_frame(out.view(), frame) == wire::FrameStatus::ok);
  FUZZ_CHECK(frame.complete() && frame.type == 'x' && frame.body == body && wire::raw(frame) == out.view());
}

/// Whatever is read from a body lies in it, and the reader never recovers from a failure.
void read_body(std::string_view body) {
  wire::BodyReader reader(body);
  std::size_t consumed = 0;
  for (const char c : body) {
    std::string_view found;
    switch (c & 3) {
      case 0: reader.byte(); break;
      case 1: (void)reader.int32(); break;
      case 2: found = reader.c_string(); break;
      default: found = reader.bytes(static_cast<unsigned char>(c)); break;
    }
    FUZZ_CHECK(fuzz::within(found, body) && fuzz::within(reader.rest(), body));
    if (!reader.ok()) FUZZ_CHECK(reader.rest().empty() && !reader.at_end());
    const std::size_t now = body.size() - reader.rest().size();
    FUZZ_CHECK(now >= consumed);
    consumed = now;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes = fuzz::text(data, size);
  const std::string whole = read(bytes, bytes.size() + 1);
  FUZZ_CHECK(read(bytes, 1) == whole);
  FUZZ_CHECK(read(bytes, 6) == whole);
  write_and_read(bytes);
  read_body(bytes);
  return 0;
}
