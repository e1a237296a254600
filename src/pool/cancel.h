// Carries a cancel request to the server that runs a session's statement.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "net/address.h"
#include "net/connection.h"
#include "net/connector.h"
#include "net/timer.h"
#include "pool/server_tls.h"

namespace pgweir::net {
class Loop;
}

namespace pgweir::pool {

/// Connects, sends CancelRequest, waits until the server closes: only then has it acted (or decided not to). One use.
/// The key goes as the connection does that it is for: over TLS, or not at all, where that has TLS.
class CancelCarrier final : private net::Connection::Handler {
 public:
  /// `on_done` is called once: the server has closed, could not be reached, or did not answer within `timeout`. `tls`:
  /// nothing where the connection has none.
  CancelCarrier(net::Loop& loop, const net::Endpoint& endpoint, std::uint32_t process_id, std::string secret,
                base::Duration timeout, std::function<void()> on_done, std::optional<ServerTls> tls = {});

 private:
  std::size_t on_data(net::Connection& connection, std::string_view bytes) override;
  void on_end(net::Connection& connection, std::string_view error) override;
  void on_drained(net::Connection&) override {}
  void on_secured(net::Connection& connection) override;
  void say_cancel();
  void finish();

  std::uint32_t process_id_;
  std::string secret_;
  std::optional<ServerTls> tls_;

  std::function<void()> on_done_;
  net::Timer timer_;
  std::unique_ptr<net::Connection> connection_;
  net::Connector connector_;
};

}  // namespace pgweir::pool
