// Sets of reasons, and the list of the sessions that are pinned.
#include "session/pins.h"

#include <set>
#include <string_view>

#include "doctest/doctest.h"

using namespace pgweir;
using namespace pgweir::session;

TEST_CASE("a set of reasons") {
  Pins pins;
  CHECK_FALSE(pins.any());
  for (const PinReasonRow& row : kPinReasons) {
    CHECK_FALSE(pins.has(row.reason));
    pins.add(row.reason);
    pins.add(row.reason);
    CHECK(pins.has(row.reason));
  }
  pins.remove(PinReason::listen);
  pins.remove(PinReason::listen);
  for (const PinReasonRow& row : kPinReasons) CHECK(pins.has(row.reason) == (row.reason != PinReason::listen));
  const Pins none;
  CHECK_FALSE(pins == none);
  pins.clear();
  CHECK(pins == none);
  CHECK_FALSE(pins.any());
  pins.remove(PinReason::cursor);
  CHECK_FALSE(pins.any());
}

TEST_CASE("every reason has one row with a name and a text of its own, in the order of the enum") {
  std::set<std::string_view> names, texts;
  for (std::size_t i = 0; i < kPinReasons.size(); ++i) {
    CHECK(static_cast<std::size_t>(kPinReasons[i].reason) == i);
    CHECK(names.insert(kPinReasons[i].name).second);
    CHECK(texts.insert(kPinReasons[i].text).second);
    CHECK_FALSE(kPinReasons[i].text.empty());
  }
  CHECK(kPinReasons.back().reason == PinReason::unknown);
}

TEST_CASE("the directory lists who is pinned now") {
  PinDirectory directory;
  CHECK(directory.all().empty());
  PinnedSession session;
  session.client = "c1";
  session.pins.add(PinReason::listen);
  directory.set({7}, session);
  session.client = "c2";
  directory.set({3}, session);
  session.pins.add(PinReason::cursor);
  directory.set({3}, session);  // its reasons have changed
  const auto all = directory.all();
  REQUIRE(all.size() == 2);
  CHECK(all[0].first.value == 3);
  CHECK(all[0].second.client == "c2");
  CHECK(all[0].second.pins.has(PinReason::cursor));
  CHECK(all[1].first.value == 7);
  CHECK_FALSE(all[1].second.pins.has(PinReason::cursor));
  directory.erase({7});
  directory.erase({7});
  CHECK(directory.all().size() == 1);
}
