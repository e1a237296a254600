// Words for reasons, and the bounded history.
#include "cluster/node_reason.h"

#include "unit/cluster/conversation.h"

using namespace pgweir::test;

TEST_CASE("reasons name nodes, timelines and positions as operators know them") {
  const auto nodes = Conversation::names(2);
  CHECK(text_of({ReasonCode::older_timeline, {}, 1, 2}, nodes) == "it is on timeline 1, the primary on 2");
  CHECK(text_of({ReasonCode::second_primary, node(1)}, nodes) == "a second primary: node \"pg2\" is believed");
  CHECK(text_of({ReasonCode::most_received, node(0), 0x1630000A0ULL}, nodes) ==
        "node \"pg1\" has received the most, up to 1/630000A0");
  CHECK(text_of({ReasonCode::second_primary, node(9)}, nodes) == "a second primary: a node is believed");
}

TEST_CASE("every reason has words, every state and phase a name") {
  const auto nodes = Conversation::names(1);
  for (auto code = ReasonCode::not_asked; code <= ReasonCode::target_lost;
       code = static_cast<ReasonCode>(static_cast<int>(code) + 1))
    CHECK_FALSE(text_of({code}, nodes).empty());
  CHECK(name_of(Phase::catching) == "catching");
  CHECK(name_of(NodeState::catching_up) == "catching_up");
  CHECK(name_of(ActionKind::restore) == "restore");
}

TEST_CASE("the history forgets the oldest, and counts all") {
  EventHistory history;
  for (std::uint64_t i = 0; i < EventHistory::kMost + 10; ++i) {
    HistoryEntry entry;
    entry.why.x = i;
    history.add(entry);
  }
  CHECK(history.entries().size() == EventHistory::kMost);
  CHECK(history.entries().front().why.x == 10);
  CHECK(history.added() == EventHistory::kMost + 10);
}
