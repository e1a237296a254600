// One connection to a PostgreSQL server: opened, logged in, leased to one session at a time, reset, used again.
//
// Happy path: opening -> idle -> leased -> resetting -> idle ... What can fail: the login (the waiting session is
// told), the server closes (a leased one tells its user, an idle one is dropped), the reset does not end in time
// (closed). It never decides what is sent to it while leased: that is the session's.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"
#include "net/address.h"
#include "net/connection.h"
#include "net/connector.h"
#include "net/timer.h"
#include "pool/carried_on_server.h"
#include "pool/server_login.h"
#include "pool/server_tls.h"
#include "pool/startup_class.h"
#include "wire/messages/backend.h"

namespace pgweir::pool {

class ServerConnection;

/// Of a set of reported parameters, whatever their order.
[[nodiscard]] std::uint64_t hash_of(const std::vector<std::pair<std::string, std::string>>& parameters);

/// Who holds the lease. All calls on the worker's thread.
class ServerUser {
 public:
  /// As net::Connection::Handler::on_data.
  virtual std::size_t on_server_data(ServerConnection& server, std::string_view bytes) = 0;
  /// The server is gone; the lease must be given up before the next pass. Called once.
  virtual void on_server_end(ServerConnection& server, std::string_view error) = 0;
  virtual void on_server_drained(ServerConnection& server) = 0;

 protected:
  ~ServerUser() = default;
};

/// What is known of a connection apart from its socket: this moves with it from one worker to another.
struct ServerIdentity {
  base::NodeId node;
  net::Endpoint endpoint;
  ServerTls tls;           ///< what is wanted
  bool encrypted = false;  ///< what is
  StartupClass startup;
  bool read_only = false;  ///< its transactions are, unless a client says otherwise; nobody is told
  std::uint32_t process_id = 0;
  std::string secret;
  std::vector<std::pair<std::string, std::string>> parameters;  ///< as last reported
  std::uint64_t parameters_hash = 0;                            ///< of `parameters`, whatever their order
  base::Time opened{};
  /// From 0 to 1: how much of the jitter of pool.server_lifetime is taken off from its own.
  double jitter_share = 0;
};

class ServerConnection final : private net::Connection::Handler {
 public:
  enum class State : std::uint8_t { opening, idle, leased, resetting, dead };

  /// Called once: the connection is idle now, or why it could not be opened.
  using OnOpened = std::function<void(ServerConnection&, base::Result<bool>)>;
  /// Called when an idle or resetting connection has died, or a reset has ended: the pool decides what becomes of it.
  using OnFree = std::function<void(ServerConnection&)>;

  ServerConnection(net::Loop& loop, ServerIdentity identity, OnFree on_free);
  ~ServerConnection();

  /// Starts to connect and log in, encrypted as `identity.tls` wants it. `timeout` covers both.
  void open(std::string user, std::string database, ServerCredentials credentials, base::Duration timeout,
            OnOpened on_opened);
  /// Takes over the socket of an idle connection that another worker gave away.
  void adopt(net::DetachedSocket socket, CarriedOnServer books);
  /// For an idle one: gives the socket away, with its TLS; the object is dead afterwards.
  [[nodiscard]] net::DetachedSocket give_away();

  void lease_to(ServerUser& user);
  /// The lease goes on with another user.
  void pass_to(ServerUser& user) { user_of_lease_ = &user; }
  /// Ends the lease of a connection that has nothing open: the next user finds in `carried` what it has been told.
  void release();
  /// Ends the lease: rolls back what is open, discards all session state, then reports through OnFree.
  void reset(base::Duration timeout);
  /// Ends the lease or anything else at once.
  void kill();

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] const ServerIdentity& identity() const { return identity_; }
  [[nodiscard]] base::NodeId node() const { return identity_.node; }
  [[nodiscard]] net::Connection& connection() { return *connection_; }
  [[nodiscard]] const net::Connection& connection() const { return *connection_; }
  /// Records a ParameterStatus.
  void set_parameter(std::string_view name, std::string_view value);
  /// Whether the server says of this parameter what pgweir has made it say.
  [[nodiscard]] bool is_hidden(std::string_view name) const;

  /// As the last ReadyForQuery said.
  wire::TransactionStatus transaction = wire::TransactionStatus::idle;
  CarriedOnServer carried;
  /// Cancel requests that are on their way to this server: it may not be used by anybody else until they have arrived.
  int cancels_in_flight = 0;
  /// It is idle, and would be used again if no cancel request were on its way.
  bool awaits_cancel = false;
  base::Time idle_since{};
  /// Bytes of the server's current message that are still to come, and whether its user passes them on.
  std::size_t reply_left = 0;
  bool reply_forwarded = false;
  /// It has said what cannot be: never to be used again.
  bool out_of_step = false;
  /// Its user has left something on it that nothing takes away: to be closed when what was asked for has been answered.
  bool spoilt = false;

 private:
  std::size_t on_data(net::Connection& connection, std::string_view bytes) override;
  void on_end(net::Connection& connection, std::string_view error) override;
  void on_drained(net::Connection& connection) override;
  void on_secured(net::Connection& connection) override;

  void connect();
  void on_connected(base::Result<int> fd);
  std::size_t take_ssl_byte(std::string_view bytes);
  void say_startup();
  [[nodiscard]] bool tries_again_with_tls(const base::Error& error);
  bool take_login_frame(const wire::Frame& frame);
  bool take_reset_frame(const wire::Frame& frame);
  bool take_idle_frame(const wire::Frame& frame);
  void finish_opening(base::Result<bool> result);
  void die();

  net::Loop& loop_;
  ServerIdentity identity_;
  OnFree on_free_;
  OnOpened on_opened_;
  State state_ = State::opening;
  std::unique_ptr<net::Connector> connector_;
  std::unique_ptr<net::Connection> connection_;
  std::unique_ptr<net::Timer> timer_;
  std::optional<ServerLogin> login_;
  std::string user_, database_;
  ServerUser* user_of_lease_ = nullptr;
  base::Duration timeout_{};  ///< of one attempt to connect
  int replies_to_reset_ = 0;
  enum class Negotiation : std::uint8_t { none, asked, handshake, over };
  Negotiation negotiation_ = Negotiation::none;  ///< of TLS
  bool reset_answered_ = false;                  ///< CommandComplete has come, and not yet its ReadyForQuery
};

}  // namespace pgweir::pool
