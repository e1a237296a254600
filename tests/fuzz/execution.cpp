// What is recognized as a whole, on either side, against what reading message by message says: an execution in a
// client's bytes, and the answer to it in a server's. The first byte of the input is the shape that the answer has to
// have and how many bytes of an execution are allowed.
#include "wire/messages/execution.h"

#include <string>

#include "fuzz/target.h"
#include "session/reply_queue.h"
#include "wire/frame.h"

using namespace pgweir;
using session::Expect;
using session::Expected;
using session::ReplyQueue;

namespace {

struct Read {
  std::vector<wire::Frame> frames;  ///< the complete ones
  std::string types;
};

Read read_all(std::string_view bytes) {
  Read all;
  wire::Frame frame;
  while (wire::read_frame(bytes, frame) == wire::FrameStatus::ok && frame.complete()) {
    all.frames.push_back(frame);
    all.types += frame.type;
    bytes.remove_prefix(frame.bytes_here());
  }
  return all;
}

/// By PostgreSQL's documentation, not by the code under test.
std::optional<std::size_t> size_of_execution(std::string_view bytes) {
  const Read all = read_all(bytes);
  std::size_t at = 0;
  bool parses = false, describes = false;
  if (all.types.starts_with("P")) parses = ++at > 0;
  if (!std::string_view(all.types).substr(at).starts_with("B")) return std::nullopt;
  const std::size_t bind = at++;
  if (std::string_view(all.types).substr(at).starts_with("D")) describes = ++at > 0;
  if (!std::string_view(all.types).substr(at).starts_with("ES")) return std::nullopt;
  if (parses) {
    const auto parse = wire::decode_parse(all.frames[0].body);
    if (!parse || !parse->name.empty()) return std::nullopt;
  }
  const auto bound = wire::decode_bind(all.frames[bind].body);
  if (!bound || !bound->portal.empty() || (parses && !bound->statement.empty())) return std::nullopt;
  if (describes) {
    const auto target = wire::decode_target(all.frames[bind + 1].body);
    if (!target || target->what != 'P' || !target->name.empty()) return std::nullopt;
  }
  const auto execute = wire::decode_execute(all.frames[at].body);
  if (!execute || !execute->portal.empty() || execute->row_limit != 0) return std::nullopt;
  if (!all.frames[at + 1].body.empty()) return std::nullopt;
  std::size_t size = 0;
  for (std::size_t i = 0; i <= at + 1; ++i) size += all.frames[i].bytes_here();
  return size;
}

void check_execution(std::string_view bytes, std::size_t longest) {
  const auto found = wire::read_execution(bytes, longest);
  const auto expected = size_of_execution(bytes.substr(0, longest));
  FUZZ_CHECK(found.has_value() == expected.has_value());
  if (!found) return;
  FUZZ_CHECK(found->size == *expected && found->size <= longest);
  FUZZ_CHECK(fuzz::within(found->statement, bytes));
  if (found->parse) FUZZ_CHECK(fuzz::within(found->parse->text, bytes));
}

/// A whole answer is one that a queue takes to its end, message by message, with nothing over and no error; and what a
/// queue takes so is one, if it has nothing of a COPY, no notice and the like.
void check_answer(std::string_view bytes, wire::AnswerShape shape) {
  wire::Frame ready;
  const auto at = wire::read_whole_answer(bytes, shape, ready);
  ReplyQueue queue;
  const auto push = [&](Expect what) {
    Expected entry;
    entry.what = what;
    queue.push(std::move(entry));
  };
  if (shape.parse) push(Expect::parse);
  if (shape.bind) push(Expect::bind);
  if (shape.bind && shape.describe) push(Expect::describe);
  push(shape.bind ? Expect::execute : Expect::query);
  if (shape.bind) push(Expect::sync);

  std::size_t read = 0;
  std::optional<std::size_t> ready_at;
  std::vector<Expected> dropped;
  Expected completed;
  bool plain = true;
  std::size_t complete_tags = 0;
  for (const wire::Frame& frame : read_all(bytes).frames) {
    const auto taken = queue.take(frame.type, dropped, completed);
    if (taken.kind == ReplyQueue::Taken::Kind::violation || taken.kind == ReplyQueue::Taken::Kind::error) break;
    plain = plain && std::string_view("12TnDCIZ").find(frame.type) != std::string_view::npos;
    if (frame.type == 'C' || frame.type == 'I') ++complete_tags;
    if (queue.empty()) {
      ready_at = read;
      break;
    }
    read += frame.bytes_here();
  }
  if (at) {
    FUZZ_CHECK(ready_at == at && ready.type == 'Z' && fuzz::within(ready.body, bytes));
    FUZZ_CHECK(plain && complete_tags == 1);
  } else if (shape.bind) {
    FUZZ_CHECK(!ready_at || !plain);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::uint8_t shape = data[0];
  const std::string_view bytes = fuzz::text(data + 1, size - 1);
  check_execution(bytes, bytes.size());
  check_execution(bytes, shape);
  const bool bind = (shape & 1U) != 0;
  check_answer(bytes, {.parse = bind && (shape & 2U) != 0, .bind = bind, .describe = bind && (shape & 4U) != 0});
  return 0;
}
