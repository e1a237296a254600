// Reading an answer that nobody wants to its end; see abandoned_exchange.h.
#include "session/abandoned_exchange.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "session/worker.h"
#include "wire/frame.h"
#include "wire/messages/backend.h"

namespace pgweir::session {

namespace {
/// Enough for what a client may send and leave behind on purpose; nothing that blocks a connection for long.
constexpr std::chrono::seconds kPatience{1};
constexpr std::chrono::seconds kPatienceAfterCancel{5};
}  // namespace

AbandonedExchange::AbandonedExchange(Worker& worker, std::uint64_t number, pool::Lease lease, ReplyQueue queue,
                                     std::size_t reply_left)
    : worker_(worker),
      number_(number),
      lease_(std::move(lease)),
      queue_(std::move(queue)),
      reply_left_(reply_left),
      patience_(worker.loop(), [this] { on_patience_over(); }) {
  lease_->pass_to(static_cast<pool::ServerUser&>(*this));
  lease_->connection().resume_reading();
  patience_.start(kPatience);
}

std::size_t AbandonedExchange::on_server_data(pool::ServerConnection&, std::string_view bytes) {
  std::size_t used = std::min(reply_left_, bytes.size());
  reply_left_ -= used;
  wire::Frame frame;
  while (wire::read_frame(bytes.substr(used), frame) == wire::FrameStatus::ok) {
    if (!frame.complete() && frame.type == wire::backend::kReadyForQuery) break;
    if (!take(frame)) {
      end(false);
      return bytes.size();
    }
    used += frame.bytes_here();
    reply_left_ = frame.bytes_left();
    if (queue_.empty()) {
      end(used == bytes.size());  // what comes behind is no answer to anything
      return bytes.size();
    }
  }
  return used;
}

bool AbandonedExchange::take(const wire::Frame& frame) {
  if (wire::backend::is_asynchronous(frame.type)) return true;
  std::string unwanted;
  while (queue_.take_synthesised(unwanted)) {
  }
  Expected completed;
  const auto taken = queue_.take(frame.type, dropped_, completed);
  dropped_.clear();
  if (frame.type == wire::backend::kReadyForQuery) {
    const auto status = wire::decode_ready_for_query(frame.body);
    if (!status) return false;
    lease_->transaction = *status;
  }
  // A server that waits for data, or for a Sync that will never come, cannot be saved.
  return taken.kind != ReplyQueue::Taken::Kind::violation && !queue_.copying_in() && !queue_.skipping();
}

void AbandonedExchange::on_server_end(pool::ServerConnection&, std::string_view) { end(false); }

void AbandonedExchange::on_patience_over() {
  if (std::exchange(cancelled_, true)) return end(false);
  worker_.carry_cancel(*lease_.server());
  patience_.start(kPatienceAfterCancel);
}

void AbandonedExchange::end(bool clean) {
  patience_.stop();
  if (clean && !lease_->spoilt)
    lease_.give_back();
  else
    lease_.close();
  worker_.abandoned_ended(number_);
}

}  // namespace pgweir::session
