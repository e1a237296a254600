#include "base/byte_queue.h"

#include <string>

#include "doctest/doctest.h"

using pgweir::base::ByteQueue;

TEST_CASE("a byte queue gives back what was put in, in order") {
  ByteQueue queue;
  std::string expected;
  std::size_t consumed = 0;
  for (int i = 0; i < 2000; ++i) {
    const std::string piece = std::to_string(i);
    queue.append(piece);
    expected += piece;
    if (i % 3 == 0) {
      const std::size_t step = queue.size() / 2;
      queue.consume(step);
      consumed += step;
    }
  }
  CHECK(queue.view() == std::string_view(expected).substr(consumed));
}

TEST_CASE("a released byte queue holds no memory and works again") {
  ByteQueue queue;
  queue.append("abc");
  queue.release();
  CHECK(queue.capacity() == 0);
  CHECK(queue.empty());
  queue.append("def");
  CHECK(queue.view() == "def");
}

TEST_CASE("reserve and commit write in place") {
  ByteQueue queue;
  auto room = queue.reserve(3);
  room[0] = 'x';
  room[1] = 'y';
  queue.commit(2);
  CHECK(queue.view() == "xy");
}
