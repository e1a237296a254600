// The rules of the protocol about which message answers which; see reply_queue.h.
#include "session/reply_queue.h"

#include <algorithm>
#include <utility>

#include "wire/messages/backend.h"

namespace pgweir::session {

namespace {

namespace backend = wire::backend;
using Taken = ReplyQueue::Taken;

bool ends_with_ready(Expect what) {
  return what == Expect::query || what == Expect::function_call || what == Expect::sync;
}

bool changes_books(const Expected& entry) { return entry.change || entry.sets_unnamed; }

/// What a message of this type, other than ErrorResponse and ReadyForQuery, means for such an entry.
Taken::Kind meaning(Expect what, char type) {
  using Kind = Taken::Kind;
  switch (what) {
    case Expect::parse: return type == backend::kParseComplete ? Kind::complete : Kind::violation;
    case Expect::bind: return type == backend::kBindComplete ? Kind::complete : Kind::violation;
    case Expect::close: return type == backend::kCloseComplete ? Kind::complete : Kind::violation;
    case Expect::describe:
      if (type == backend::kParameterDescription) return Kind::part;
      return type == backend::kRowDescription || type == backend::kNoData ? Kind::complete : Kind::violation;
    case Expect::execute:
      switch (type) {
        case backend::kCommandComplete:
        case backend::kEmptyQuery:
        case backend::kPortalSuspended: return Kind::complete;
        case backend::kDataRow:
        case backend::kCopyIn:
        case backend::kCopyOut:
        case backend::kCopyBoth:
        case backend::kCopyData:
        case backend::kCopyDone: return Kind::part;
        default: return Kind::violation;
      }
    case Expect::query:
      switch (type) {
        case backend::kRowDescription:
        case backend::kDataRow:
        case backend::kCommandComplete:
        case backend::kEmptyQuery:
        case backend::kCopyIn:
        case backend::kCopyOut:
        case backend::kCopyBoth:
        case backend::kCopyData:
        case backend::kCopyDone: return Kind::part;
        default: return Kind::violation;
      }
    case Expect::function_call: return type == backend::kFunctionCallResponse ? Kind::part : Kind::violation;
    default: return Kind::violation;
  }
}

/// What a query or a function call has before its ReadyForQuery, if there is no error.
bool answers(char type) {
  return type == backend::kCommandComplete || type == backend::kEmptyQuery || type == backend::kFunctionCallResponse;
}

/// Whether it may come next. A second ReadyForQuery is not the answer to what the client has asked next.
bool may_be_ready(const Expected& entry) {
  return entry.what == Expect::sync || (ends_with_ready(entry.what) && entry.answered);
}

}  // namespace

void ReplyQueue::push(Expected&& expected) {
  if (skipping_) {
    if (expected.what != Expect::sync) return;
    skipping_ = false;
  }
  if (copying_in_ && expected.what == Expect::sync) return;
  entries_.push_back(std::move(expected));
}

bool ReplyQueue::accepts(char type) const {
  if (empty() || front().action == Action::synthesise) return false;
  if (front().what == Expect::execution) return false;
  if (type == backend::kReadyForQuery) return may_be_ready(front());
  return meaning(front().what, type) != Taken::Kind::violation;
}

Taken ReplyQueue::take(char type, std::vector<Expected>& dropped, Expected& completed) {
  if (empty() && eaten_syncs_ > 0 && skipping_ && type == backend::kReadyForQuery) {
    eaten_syncs_ = 0;
    skipping_ = false;
    completed = {.what = Expect::sync};
    return {Taken::Kind::complete, Action::forward, Expect::sync, false};
  }
  if (empty()) return {};
  if (front_is_whole()) take_apart_front();
  Expected& front = entries_[front_];
  if (front.action == Action::synthesise) return {};
  if (type == backend::kErrorResponse) return take_error(dropped);
  if (type == backend::kReadyForQuery) return may_be_ready(front) ? complete(completed) : Taken{};
  const auto kind = meaning(front.what, type);
  if (kind == Taken::Kind::violation) return {};
  if (type == backend::kCopyIn) begin_copy_in();
  const bool syncs_eaten = type == backend::kCopyIn && eaten_syncs_ > 0 && size() == 1;
  if (front.what == Expect::query || front.what == Expect::function_call) {
    // Rows or a COPY behind the end of a statement belong to the next one, which has its own end.
    front.answered = answers(type);
    if (front.answered) copying_in_ = false;
    return {Taken::Kind::part, front.action, front.what, syncs_eaten};
  }
  if (kind == Taken::Kind::complete) {
    copying_in_ = false;
    return complete(completed);
  }
  return {kind, front.action, front.what, syncs_eaten};
}

/// The memory of those that are gone is used again when all are, or when they are the larger part.
void ReplyQueue::drop_front() {
  constexpr std::size_t kMany = 64;
  ++front_;
  if (empty()) {
    entries_.clear();
    front_ = 0;
  } else if (front_ >= kMany && front_ > entries_.size() / 2) {
    entries_.erase(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(front_));
    front_ = 0;
  }
}

void ReplyQueue::begin_copy_in() {
  copying_in_ = true;
  Expected& front = entries_[front_];
  while (front.copies_ended == 0 && size() > 1 && entries_[front_ + 1].what == Expect::sync) {
    front.copies_ended = entries_[front_ + 1].copies_ended;
    entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(front_) + 1);
    ++eaten_syncs_;
  }
  if (front.copies_ended == 0) return;
  --front.copies_ended;
  copying_in_ = false;
}

void ReplyQueue::copy_in_ended() {
  if (!std::exchange(copying_in_, false) && !empty()) ++entries_.back().copies_ended;
}

wire::AnswerShape ReplyQueue::front_shape() const {
  const Expected& front = entries_[front_];
  return {.parse = front.parses, .bind = front.what == Expect::execution, .describe = front.describes};
}

void ReplyQueue::take_apart_front() {
  entries_[front_].whole = false;
  if (entries_[front_].what != Expect::execution) return;
  Expected whole = std::move(entries_[front_]);
  // In place, so that nothing is allocated once the entries have their memory.
  const std::size_t more = 2 + (whole.parses ? 1 : 0) + (whole.describes ? 1 : 0);
  entries_.resize(entries_.size() + more);
  const auto behind = entries_.begin() + static_cast<std::ptrdiff_t>(front_) + 1;
  std::move_backward(behind, entries_.end() - static_cast<std::ptrdiff_t>(more), entries_.end());
  std::size_t at = front_;
  const auto put = [&](Expect what) -> Expected& {
    Expected& part = entries_[at++] = Expected{};
    part.what = what;
    if (what != Expect::sync) part.statement = whole.statement;
    if (what == Expect::parse || what == Expect::bind) part.on_server = whole.on_server;
    return part;
  };
  if (whole.parses) put(Expect::parse).sets_unnamed = whole.sets_unnamed;
  put(Expect::bind);
  if (whole.describes) put(Expect::describe);
  put(Expect::execute);
  put(Expect::sync).copies_ended = whole.copies_ended;
}

Taken ReplyQueue::complete(Expected& completed) {
  completed = std::move(entries_[front_]);
  if (changes_books(completed)) --changes_;
  drop_front();
  if (!copying_in_ && !skipping_) eaten_syncs_ = 0;
  return {Taken::Kind::complete, completed.action, completed.what, false};
}

Taken ReplyQueue::take_error(std::vector<Expected>& dropped) {
  const Taken taken{Taken::Kind::error, entries_[front_].action, entries_[front_].what, false};
  copying_in_ = false;
  entries_[front_].answered = true;
  if (ends_with_ready(taken.what)) return taken;
  while (!empty() && entries_[front_].what != Expect::sync) {
    if (front_is_whole()) take_apart_front();
    dropped.push_back(std::move(entries_[front_]));
    if (changes_books(dropped.back())) --changes_;
    drop_front();
  }
  skipping_ = empty();
  return taken;
}

bool ReplyQueue::owes_client() const {
  return std::any_of(entries_.begin() + static_cast<std::ptrdiff_t>(front_), entries_.end(),
                     [](const Expected& entry) { return entry.action != Action::swallow; });
}

bool ReplyQueue::tell_error_of_next_query() {
  for (std::size_t i = front_; i < entries_.size(); ++i) {
    Expected& entry = entries_[i];
    if (entry.action == Action::swallow) continue;
    if (entry.what != Expect::query || entry.action != Action::forward || !entry.runs_prepared) return false;
    entry.error_told = true;
    return true;
  }
  return false;
}

bool ReplyQueue::changes_prepared(std::string_view name) const {
  return std::any_of(entries_.begin() + static_cast<std::ptrdiff_t>(front_), entries_.end(),
                     [&](const Expected& entry) {
                       return (entry.change && entry.change->name == name) || (entry.sets_unnamed && name.empty());
                     });
}

bool ReplyQueue::take_synthesised(std::string& messages) {
  if (empty() || entries_[front_].action != Action::synthesise) return false;
  messages = std::move(entries_[front_].synthesised);
  drop_front();
  return true;
}

std::vector<Expected> ReplyQueue::take_all() {
  entries_.erase(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(front_));
  std::vector<Expected> all = std::move(entries_);
  clear();
  return all;
}

void ReplyQueue::clear() {
  entries_.clear();
  front_ = 0;
  skipping_ = copying_in_ = false;
  eaten_syncs_ = changes_ = 0;
}

}  // namespace pgweir::session
