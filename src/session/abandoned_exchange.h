// What becomes of a statement whose client has gone: PostgreSQL runs what it has received, so the answer is waited for,
// thrown away, and the server connection is used again. A statement that goes on for long is cancelled.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "net/timer.h"
#include "pool/lease.h"
#include "pool/server_connection.h"
#include "session/reply_queue.h"

namespace pgweir::session {

class Worker;

/// Owned by its worker; ends itself through `Worker::abandoned_ended`.
class AbandonedExchange final : private pool::ServerUser {
 public:
  /// `reply_left`: bytes still to come of the message that the server was sending.
  AbandonedExchange(Worker& worker, std::uint64_t number, pool::Lease lease, ReplyQueue queue, std::size_t reply_left);

 private:
  std::size_t on_server_data(pool::ServerConnection& server, std::string_view bytes) override;
  void on_server_end(pool::ServerConnection& server, std::string_view error) override;
  void on_server_drained(pool::ServerConnection&) override {}
  /// False when the connection cannot be saved.
  [[nodiscard]] bool take(const wire::Frame& frame);
  void on_patience_over();
  void end(bool clean);

  Worker& worker_;
  const std::uint64_t number_;
  pool::Lease lease_;
  ReplyQueue queue_;
  std::size_t reply_left_;
  std::vector<Expected> dropped_;
  bool cancelled_ = false;
  net::Timer patience_;
};

}  // namespace pgweir::session
