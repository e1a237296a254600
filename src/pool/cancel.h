// Carries a cancel request to the server that runs a session's statement.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "net/address.h"
#include "net/connection.h"
#include "net/connector.h"
#include "net/timer.h"

namespace pgweir::net {
class Loop;
}

namespace pgweir::pool {

/// Connects, sends CancelRequest, waits until the server closes: only then has it acted (or decided not to). One use.
class CancelCarrier final : private net::Connection::Handler {
 public:
  /// `on_done` is called once: the server has closed, could not be reached, or did not answer within `timeout`.
  CancelCarrier(net::Loop& loop, const net::Endpoint& endpoint, std::uint32_t process_id, std::string secret,
                base::Duration timeout, std::function<void()> on_done);

 private:
  std::size_t on_data(net::Connection& connection, std::string_view bytes) override;
  void on_end(net::Connection& connection, std::string_view error) override;
  void on_drained(net::Connection&) override {}
  void finish();

  std::function<void()> on_done_;
  net::Timer timer_;
  std::unique_ptr<net::Connection> connection_;
  net::Connector connector_;
};

}  // namespace pgweir::pool
