// What is lent to a session while something is under way, and when it goes back.
#include "session/work.h"

#include <string>

#include "doctest/doctest.h"

using namespace pgweir::session;

TEST_CASE("reading shows that nothing is under way, and takes nothing from the stock") {
  WorkStock stock;
  const LentWork lent(stock);
  CHECK(lent->is_quiet());
  CHECK(lent->is_over());
  CHECK(lent->queue.empty());
  CHECK(lent->transaction == Transaction::none);
  CHECK_FALSE(lent->on_probation());
  CHECK_FALSE(lent->audit_is_due());
}

TEST_CASE("what is over goes back and is lent again, empty") {
  WorkStock stock;
  LentWork first(stock), second(stock);
  Work* const work = &*first;
  work->plan.node = "b";
  work->plan.wrote = true;
  work->lazy_begin = "BEGIN";
  work->portals.emplace_back("p", nullptr);
  work->query_index = 7;
  work->second_try.healable = true;
  GatheredMessage message;
  message.type = 'Q';
  work->exchange.add(std::move(message), "bytes");
  first.give_back_if_over();
  REQUIRE(&*second == work);
  CHECK(second->plan.node.empty());
  CHECK_FALSE(second->plan.wrote);
  CHECK(second->lazy_begin.empty());
  CHECK(second->portals.empty());
  CHECK(second->query_index == 0);
  CHECK_FALSE(second->second_try.healable);
  CHECK(second->exchange.empty());
  CHECK(&*first != work);
}

TEST_CASE("what is under way stays") {
  const auto stays = [](auto begin) {
    WorkStock stock;
    LentWork lent(stock);
    Work* const work = &*lent;
    begin(*work);
    CHECK_FALSE(work->is_over());
    lent.give_back_if_over();
    CHECK(&*lent == work);
  };
  stays([](Work& work) { work.transaction = Transaction::lazy; });
  stays([](Work& work) { work.transaction = Transaction::failed_here; });
  stays([](Work& work) { work.stage = Stage::gathering; });
  stays([](Work& work) { work.wait = Wait::lease; });
  stays([](Work& work) { work.tickets.push_back({}); });
  stays([](Work& work) { work.stream_left = 1; });
  stays([](Work& work) { work.skip_to_sync = true; });
  stays([](Work& work) { work.unsettled = 1; });
  stays([](Work& work) { work.queue.push({.what = Expect::sync}); });
  stays([](Work& work) {
    // The rest of the exchange, up to its Sync, is still to be skipped.
    work.queue.push({.what = Expect::parse});
    Expected completed;
    CHECK(work.queue.take('E', work.dropped, completed).kind == ReplyQueue::Taken::Kind::error);
  });
}

TEST_CASE("the buffer of a large exchange is not kept") {
  WorkStock stock;
  LentWork lent(stock);
  GatheredMessage message;
  message.type = 'Q';
  lent->exchange.add(std::move(message), std::string(60 * 1024, 'x'));
  lent.give_back_if_over();
  CHECK(lent->exchange.capacity() < 60 * 1024);
}
