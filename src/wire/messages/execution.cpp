// Recognizing executions and their answers; see execution.h.
#include "wire/messages/execution.h"

#include <algorithm>

#include "wire/messages/backend.h"

namespace pgweir::wire {

namespace {

/// Complete messages, one after the other.
class Messages {
 public:
  explicit Messages(std::string_view bytes) : bytes_(bytes) {}
  [[nodiscard]] std::size_t at() const { return at_; }
  /// What is next, whole; 0 when there is none.
  char look() {
    if (read_frame(bytes_.substr(at_), frame_) != FrameStatus::ok || !frame_.complete()) return '\0';
    return frame_.type;
  }
  /// Of what `look` has found.
  [[nodiscard]] const Frame& frame() const { return frame_; }
  void next() { at_ += frame_.bytes_here(); }
  /// Whether it is of this type; goes on if so.
  bool take(char type) {
    if (look() != type) return false;
    next();
    return true;
  }

 private:
  std::string_view bytes_;
  std::size_t at_ = 0;
  Frame frame_;
};

}  // namespace

std::optional<Execution> read_execution(std::string_view bytes, std::size_t longest) {
  using namespace std::string_view_literals;
  Execution found;
  Messages messages(bytes.substr(0, longest));
  char type = messages.look();
  if (type == frontend::kParse) {
    const auto parse = decode_parse(messages.frame().body);
    if (!parse || !parse->name.empty()) return std::nullopt;
    found.parse = *parse;
    messages.next();
    type = messages.look();
  }
  if (type != frontend::kBind) return std::nullopt;
  const auto bind = decode_bind(messages.frame().body);
  if (!bind || !bind->portal.empty() || (found.parse && !bind->statement.empty())) return std::nullopt;
  found.statement = bind->statement;
  messages.next();
  type = messages.look();
  if (type == frontend::kDescribe) {
    if (messages.frame().body != "P\0"sv) return std::nullopt;
    found.describes = true;
    messages.next();
    type = messages.look();
  }
  if (type != frontend::kExecute || messages.frame().body != "\0\0\0\0\0"sv) return std::nullopt;
  messages.next();
  if (messages.look() != frontend::kSync || messages.frame().body_size != 0) return std::nullopt;
  messages.next();
  found.size = messages.at();
  return found;
}

std::optional<std::size_t> read_whole_answer(std::string_view bytes, AnswerShape shape, Frame& ready) {
  Messages messages(bytes);
  if (shape.parse && !messages.take(backend::kParseComplete)) return std::nullopt;
  if (shape.bind && !messages.take(backend::kBindComplete)) return std::nullopt;
  const bool described = (shape.describe || !shape.bind) && messages.take(backend::kRowDescription);
  if (shape.describe && !described && !messages.take(backend::kNoData)) return std::nullopt;
  while (messages.take(backend::kDataRow)) {
  }
  if (!messages.take(backend::kCommandComplete) && !messages.take(backend::kEmptyQuery)) return std::nullopt;
  if (messages.look() != backend::kReadyForQuery) return std::nullopt;
  ready = messages.frame();
  return messages.at();
}

}  // namespace pgweir::wire
