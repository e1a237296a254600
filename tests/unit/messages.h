// Bytes of the protocol, cut into messages, and made into messages: for the tests of the floors wire, pool and session.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_queue.h"
#include "doctest/doctest.h"
#include "wire/frame.h"

namespace pgweir::test {

struct Message {
  char type = 0;
  std::string body;
  friend bool operator==(const Message&, const Message&) = default;
};

/// The whole messages at the front of `bytes`; `bytes` keeps the rest.
inline std::vector<Message> take_messages(std::string& bytes) {
  std::vector<Message> out;
  wire::Frame frame;
  while (wire::read_frame(bytes, frame) == wire::FrameStatus::ok && frame.complete()) {
    out.push_back({frame.type, std::string(frame.body)});
    bytes.erase(0, frame.bytes_here());
  }
  return out;
}

/// All of `bytes` as messages; a rest is a failure.
inline std::vector<Message> messages_in(std::string_view bytes) {
  std::string rest(bytes);
  auto out = take_messages(rest);
  CHECK(rest.empty());
  return out;
}

/// What an encoder writes.
inline std::string encoded(const std::function<void(base::ByteQueue&)>& encode) {
  base::ByteQueue out;
  encode(out);
  return std::string(out.view());
}

/// The one message that an encoder writes.
inline Message message(const std::function<void(base::ByteQueue&)>& encode) {
  const auto all = messages_in(encoded(encode));
  REQUIRE(all.size() == 1);
  return all.front();
}

/// `text` with its zero byte.
inline std::string c_string(std::string_view text) {
  std::string out(text);
  out.push_back('\0');
  return out;
}

inline std::string big_endian(std::uint32_t value) {
  std::string out(4, '\0');
  base::store_be32(out.data(), value);
  return out;
}

}  // namespace pgweir::test
