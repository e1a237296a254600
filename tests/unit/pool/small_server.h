// A server of PostgreSQL's protocol that the tests of the pool talk to: it lets everybody in, answers every query with
// CommandComplete and ReadyForQuery, and remembers what it was asked. It runs on the loop of the test.
#pragma once
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "doctest/doctest.h"
#include "net/listener.h"
#include "unit/messages.h"
#include "unit/on_loop.h"
#include "wire/messages/backend.h"
#include "wire/messages/frontend.h"
#include "wire/messages/startup.h"

namespace pgweir::test {

class SmallServer {
 public:
  /// One client of it.
  struct Client final : net::Connection::Handler {
    Client(SmallServer& of, net::Loop& loop, int fd)
        : server(of), number(static_cast<std::uint32_t>(of.clients.size() + 1)), connection(loop, fd, *this) {}
    std::size_t on_data(net::Connection&, std::string_view bytes) override { return server.take(*this, bytes); }
    void on_end(net::Connection&, std::string_view) override { ended = true; }
    void on_drained(net::Connection&) override {}
    void send(std::string_view bytes) { connection.write(bytes); }

    SmallServer& server;
    const std::uint32_t number;  ///< from 1; its process id
    net::Connection connection;
    bool started = false;
    bool ended = false;
    std::uint32_t cancels = 0;  ///< it was a cancel request for this process
    wire::StartupMessage startup;
    std::vector<std::string> queries;
  };

  explicit SmallServer(net::Loop& loop) : loop_(loop) {
    std::string pattern = "/tmp/pgweir-pool-XXXXXX";
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    endpoint = {pattern, 5432};
    auto opened = net::Listener::open(loop, endpoint, 64, 0600, [this](int fd, const net::PeerAddress&) {
      clients.push_back(std::make_unique<Client>(*this, loop_, fd));
    });
    REQUIRE(opened.has_value());
    listener = std::move(*opened);
  }
  ~SmallServer() {
    clients.clear();
    listener.reset();
    std::filesystem::remove_all(endpoint.host);
  }

  /// Clients whose connection is open.
  [[nodiscard]] std::size_t open() const {
    return static_cast<std::size_t>(
        std::count_if(clients.begin(), clients.end(), [](const auto& one) { return !one->ended; }));
  }

  net::Endpoint endpoint;
  std::unique_ptr<net::Listener> listener;
  std::vector<std::unique_ptr<Client>> clients;
  bool answers_logins = true;
  bool answers_queries = true;
  std::string behind_login;   ///< sent in one piece with the end of each login
  base::Error login_error{};  ///< refused with this when it has a message
  char status = 'I';          ///< in each ReadyForQuery after a query

 private:
  std::size_t take(Client& client, std::string_view bytes) {
    std::size_t consumed = 0;
    if (!client.started) {
      if (bytes.size() < 4 || bytes.size() < base::load_be32(bytes.data())) return 0;
      consumed = base::load_be32(bytes.data());
      client.started = true;
      start(client, bytes.substr(4, consumed - 4));
    }
    wire::Frame frame;
    while (wire::read_frame(bytes.substr(consumed), frame) == wire::FrameStatus::ok && frame.complete()) {
      consumed += frame.bytes_here();
      if (frame.type != wire::frontend::kQuery) continue;
      client.queries.emplace_back(wire::decode_query(frame.body)->text);
      if (!answers_queries) continue;
      wire::encode_command_complete(client.connection.output(), "OK");
      wire::encode_ready_for_query(client.connection.output(), static_cast<wire::TransactionStatus>(status));
    }
    return consumed;
  }

  void start(Client& client, std::string_view body) {
    const auto packet = wire::decode_startup(body);
    REQUIRE(packet.has_value());
    if (const auto* cancel = std::get_if<wire::CancelRequest>(&*packet)) {
      client.cancels = cancel->process_id;
      client.connection.close();
      client.ended = true;
      return;
    }
    client.startup = std::get<wire::StartupMessage>(*packet);
    if (!answers_logins) return;
    auto& out = client.connection.output();
    if (!login_error.message.empty()) {
      wire::encode_error(out, wire::Severity::fatal, login_error);
      client.connection.close();
      client.ended = true;
      return;
    }
    wire::encode_authentication(out, wire::AuthenticationCode::ok, {});
    wire::encode_parameter_status(out, "TimeZone", "UTC");
    wire::encode_backend_key_data(out, client.number, "abcd");
    wire::encode_ready_for_query(out, wire::TransactionStatus::idle);
    out.append(behind_login);
  }

  net::Loop& loop_;
};

}  // namespace pgweir::test
