// Framing: every split, every length that cannot be right, and bodies read beyond their end.
#include "wire/frame.h"

#include <memory>
#include <string>

#include "doctest/doctest.h"
#include "unit/messages.h"

namespace {

using namespace pgweir::wire;
using pgweir::test::big_endian;

// Bytes with nothing readable behind them, so that the address sanitizer sees a read too far.
class Exact {
 public:
  explicit Exact(std::string_view bytes) : data_(std::make_unique<char[]>(bytes.size())), size_(bytes.size()) {
    bytes.copy(data_.get(), size_);
  }
  [[nodiscard]] std::string_view view() const { return {data_.get(), size_}; }

 private:
  std::unique_ptr<char[]> data_;
  std::size_t size_;
};

}  // namespace

TEST_CASE("a frame at every split") {
  const std::string bytes = "D" + big_endian(4 + 6) + "abcdef" + "next";
  for (std::size_t size = 0; size <= bytes.size(); ++size) {
    const Exact here(std::string_view(bytes).substr(0, size));
    Frame frame;
    const auto status = read_frame(here.view(), frame);
    if (size < kHeaderBytes) {
      CHECK(status == FrameStatus::need_header);
      continue;
    }
    CHECK(status == FrameStatus::ok);
    CHECK(frame.type == 'D');
    CHECK(frame.body_size == 6);
    CHECK(frame.complete() == (size >= 11));
    CHECK(frame.bytes_here() == std::min<std::size_t>(size, 11));
    CHECK(frame.bytes_left() == 11 - frame.bytes_here());
    CHECK(frame.body == std::string_view("abcdef").substr(0, frame.body.size()));
    CHECK(raw(frame) == here.view().substr(0, frame.bytes_here()));
  }
}

TEST_CASE("lengths at the edges") {
  Frame frame;
  for (const std::uint32_t length : {0U, 1U, 2U, 3U, 0x80000000U, 0xfffffffeU, 0xffffffffU})
    CHECK(read_frame("Q" + big_endian(length), frame) == FrameStatus::invalid);
  const std::string empty = "S" + big_endian(4);
  CHECK(read_frame(empty, frame) == FrameStatus::ok);
  CHECK(frame.complete());
  CHECK(raw(frame) == empty);
  CHECK(read_frame("D" + big_endian(0x7fffffffU), frame) == FrameStatus::ok);
  CHECK(frame.body_size == kLargestBody);
  CHECK_FALSE(frame.complete());
}

TEST_CASE("a body reader never reads beyond the end, and fails for good") {
  const Exact bytes(std::string("\x01\x02\x03", 3));
  BodyReader reader(bytes.view());
  CHECK(reader.byte() == 1);
  CHECK(reader.uint32() == 0);
  CHECK_FALSE(reader.ok());
  CHECK(reader.byte() == 0);  // what is left does not come back
  CHECK(reader.uint16() == 0);
  CHECK(reader.c_string().empty());
  CHECK(reader.bytes(1).empty());
  CHECK(reader.rest().empty());
  CHECK_FALSE(reader.at_end());

  BodyReader huge(bytes.view());
  CHECK(huge.bytes(static_cast<std::size_t>(-1)).empty());
  CHECK_FALSE(huge.ok());

  const Exact text("abc");
  BodyReader unterminated(text.view());
  CHECK(unterminated.c_string().empty());
  CHECK_FALSE(unterminated.ok());

  BodyReader empty("");
  CHECK(empty.at_end());
  CHECK(empty.bytes(0).empty());
  CHECK(empty.at_end());
}

TEST_CASE("what a frame writer writes, a body reader reads") {
  pgweir::base::ByteQueue out;
  out.append("before");
  out.consume(3);  // the queue's front is not where its memory begins
  FrameWriter(out, 'X').byte('a').uint16(0x1234).uint32(0xfedcba98U).c_string("text").bytes("raw");
  FrameWriter(out, 0).uint32(7);
  const std::string all(out.view());
  CHECK(all.substr(0, 3) == "ore");
  Frame frame;
  REQUIRE(read_frame(std::string_view(all).substr(3), frame) == FrameStatus::ok);
  REQUIRE(frame.complete());
  CHECK(frame.type == 'X');
  BodyReader reader(frame.body);
  CHECK(reader.byte() == 'a');
  CHECK(reader.uint16() == 0x1234);
  CHECK(reader.int32() == static_cast<std::int32_t>(0xfedcba98U));
  CHECK(reader.c_string() == "text");
  CHECK(reader.bytes(3) == "raw");
  CHECK(reader.at_end());
  CHECK(all.substr(3 + frame.bytes_here()) == big_endian(8) + big_endian(7));
}

TEST_CASE("a header by itself announces what follows") {
  for (const std::uint32_t body : {0U, 1U, 255U, 65536U, static_cast<std::uint32_t>(kLargestBody)}) {
    CAPTURE(body);
    const std::string bytes = pgweir::test::encoded([&](auto& out) { encode_header(out, 'B', body + 4); });
    CHECK(bytes == "B" + big_endian(body + 4));
    Frame frame;
    REQUIRE(read_frame(bytes, frame) == FrameStatus::ok);
    CHECK(frame.type == 'B');
    CHECK(frame.body_size == body);
    CHECK(frame.bytes_left() == body);
  }
}
