// The reply queue with random pushes and takes: an execution kept whole must come to the same as its messages one by
// one, whatever the server says; and the queue never says more than was pushed.
#include "session/reply_queue.h"
#include "fuzz/target.h"

using namespace pgweir;
using session::Action;
using session::Expect;
using session::Expected;
using session::ReplyQueue;
using Kind = ReplyQueue::Taken::Kind;

namespace {

Expected entry(Expect what, Action action = Action::forward) {
  Expected made;
  made.what = what;
  made.action = action;
  if (action == Action::synthesise) made.synthesised = "said here";
  return made;
}

/// The same conversation twice: `whole` keeps executions in one piece, `apart` has their messages.
struct Pair {
  ReplyQueue whole, apart;
  std::vector<Expected> dropped_whole, dropped_apart;

  void push(Expect what, Action action) {
    whole.push(entry(what, action));
    apart.push(entry(what, action));
  }
  void push_execution(bool parses, bool describes) {
    if (whole.skipping() || whole.copying_in()) return;
    Expected execution = entry(Expect::execution);
    execution.whole = true;
    execution.parses = execution.sets_unnamed = parses;
    execution.describes = describes;
    whole.push(std::move(execution));
    if (parses) apart.push(entry(Expect::parse));
    for (const Expect what : {Expect::bind, Expect::describe, Expect::execute, Expect::sync})
      if (what != Expect::describe || describes) apart.push(entry(what));
  }
  void take(char type) {
    dropped_whole.clear();
    dropped_apart.clear();
    Expected completed_whole, completed_apart;
    const auto one = whole.take(type, dropped_whole, completed_whole);
    const auto other = apart.take(type, dropped_apart, completed_apart);
    FUZZ_CHECK(one.kind == other.kind && one.syncs_eaten == other.syncs_eaten);
    if (one.kind == Kind::violation) return;
    FUZZ_CHECK(one.action == other.action && one.what == other.what);
    FUZZ_CHECK(completed_whole.what == completed_apart.what);
    FUZZ_CHECK(dropped_whole.size() == dropped_apart.size());
    for (std::size_t i = 0; i < dropped_whole.size(); ++i) FUZZ_CHECK(dropped_whole[i].what == dropped_apart[i].what);
  }
  void take_whole_answer() {
    if (!whole.front_is_whole()) return;
    const auto shape = whole.front_shape();
    Expected completed;
    std::string types;
    if (shape.parse) types += '1';
    types += shape.describe ? "2TDDCZ" : "2DCZ";
    whole.complete_whole(completed);
    FUZZ_CHECK(completed.what == Expect::execution);
    for (const char type : types) {
      FUZZ_CHECK(apart.accepts(type));
      const auto taken = apart.take(type, dropped_apart, completed);
      FUZZ_CHECK(taken.kind == Kind::part || taken.kind == Kind::complete);
    }
    FUZZ_CHECK(dropped_apart.empty());
  }
  void synthesise() {
    std::string one, other;
    FUZZ_CHECK(whole.take_synthesised(one) == apart.take_synthesised(other));
    FUZZ_CHECK(one == other);
  }
  void check() const {
    FUZZ_CHECK(whole.empty() == apart.empty() && whole.size() <= apart.size());
    FUZZ_CHECK(whole.expects_nothing() == apart.expects_nothing());
    FUZZ_CHECK(whole.skipping() == apart.skipping() && whole.copying_in() == apart.copying_in());
    FUZZ_CHECK(whole.owes_client() == apart.owes_client());
    FUZZ_CHECK(whole.answers_here() == apart.answers_here());
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Pair pair;
  for (std::size_t i = 0; i < size; ++i) {
    const std::uint8_t byte = data[i];
    pair.dropped_apart.clear();
    if (byte < 0x80) {
      if (byte < 0x10) {
        pair.take_whole_answer();
      } else if (byte < 0x20) {
        pair.synthesise();
      } else {
        pair.take(static_cast<char>(byte));
      }
    } else if (byte < 0xc0) {
      const auto what = static_cast<Expect>(byte % static_cast<std::uint8_t>(Expect::execution));
      constexpr Action kActions[] = {Action::forward, Action::forward, Action::swallow, Action::synthesise};
      pair.push(what, kActions[byte >> 4U & 3U]);
    } else if (byte < 0xf0) {
      pair.push_execution((byte & 1U) != 0, (byte & 2U) != 0);
    } else {
      pair.whole.copy_in_ended();
      pair.apart.copy_in_ended();
    }
    pair.check();
  }
  return 0;
}
