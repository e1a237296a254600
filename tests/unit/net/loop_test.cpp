// The end of a pass: tasks, then flushing, until both are quiet.
#include "net/loop.h"

#include <string>
#include <vector>

#include "doctest/doctest.h"
#include "unit/on_loop.h"

using namespace pgweir;
using test::Recorder;
using test::run_passes;
using test::run_until;
using test::SocketPair;

TEST_CASE("tasks run after the pass, in order, and may add tasks and output") {
  net::Loop loop;
  SocketPair pair;
  Recorder recorder;
  net::Connection connection(loop, pair.inner, recorder);
  std::vector<int> order;
  loop.after_pass([&] {
    order.push_back(1);
    loop.after_pass([&] {
      order.push_back(3);
      connection.write("late");
    });
  });
  loop.after_pass([&] { order.push_back(2); });
  CHECK(order.empty());
  run_passes(loop);
  CHECK(order == std::vector<int>{1, 2, 3});
  CHECK(pair.receive() == "late");
}

TEST_CASE("what is still to be done is done when the loop is drained") {
  bool ran = false;
  {
    net::Loop loop;
    loop.after_pass([&] { ran = true; });
  }
  CHECK(ran);
}

TEST_CASE("buffers are used again unless they are huge") {
  net::Loop loop;
  CHECK(loop.take_buffer().capacity() == 0);
  base::ByteQueue used;
  used.append("secret");
  const std::size_t capacity = used.capacity();
  loop.give_buffer(std::move(used));
  base::ByteQueue again = loop.take_buffer();
  CHECK(again.capacity() == capacity);
  CHECK(again.empty());
  base::ByteQueue huge;
  huge.append(std::string(1024 * 1024, 'x'));
  loop.give_buffer(std::move(huge));
  CHECK(huge.capacity() == 0);
  CHECK(loop.take_buffer().capacity() == 0);
}

TEST_CASE("the time of the loop is a steady clock's") {
  net::Loop loop;
  const base::Time before = base::Clock::now();
  run_passes(loop, 3);
  CHECK(loop.now() >= before - std::chrono::milliseconds(2));
  CHECK(loop.now() <= base::Clock::now() + std::chrono::milliseconds(2));
}
