// One worker of pgweir with nodes that a fuzz target plays, all in one thread: the loop is run pass by pass, and in
// between the target's sockets are looked at. Made once per process and kept.
#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/honest_server.h"
#include "fuzz/target.h"
#include "session/local_commands.h"
#include "session/process.h"
#include "session/worker.h"

namespace pgweir::fuzz {

/// A connected stream socket, closed with it.
class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  ~Socket() { close(); }
  Socket(Socket&& other) noexcept;
  Socket& operator=(Socket&& other) = delete;
  [[nodiscard]] bool is_open() const { return fd_ >= 0; }
  void close();
  /// How much of it the peer has taken: nobody here waits.
  std::size_t send(std::string_view bytes) const;
  void end_sending() const;
  /// Of a listening one: a new connection, or -1.
  [[nodiscard]] int accept() const;
  /// Appends what has come; false when the peer has closed.
  bool receive(std::string& to) const;

 private:
  int fd_;
};

/// A connection that pgweir has made to one of the nodes.
struct ServerPeer {
  explicit ServerPeer(int fd) : socket(fd) {}
  void say(std::string_view bytes) {
    trace("from server:", bytes);
    unsent.append(bytes);
    flush();
  }
  void flush() { unsent.erase(0, socket.send(unsent)); }
  Socket socket;
  HonestServer model;
  std::string unsent;
  std::uint64_t heard_at = 0;  ///< a counter: higher is later
  bool logged_in = false;
};

/// Answers SHOW, also in the database "console".
class OneCommand final : public session::LocalCommands {
 public:
  [[nodiscard]] base::Result<session::LocalTable> show(std::string_view name,
                                                       const session::LocalAsker&) const override {
    if (name != "pool_nodes") return base::fail(base::sqlstate::undefined_object, "no such command");
    return session::LocalTable{{"a", "b"}, {{"1", "2"}, {"", std::string(1000, 'x')}}, "SELECT"};
  }
  [[nodiscard]] base::Result<std::vector<std::string_view>> columns(std::string_view name) const override {
    if (name != "pool_nodes") return base::fail(base::sqlstate::undefined_object, "no such command");
    return std::vector<std::string_view>{"a", "b"};
  }
  [[nodiscard]] bool is_console(std::string_view database) const override { return database == "console"; }
  [[nodiscard]] base::Result<bool> may_enter(std::string_view) const override { return true; }
  [[nodiscard]] std::vector<std::string_view> split(std::string_view text) const override { return {text}; }
  [[nodiscard]] base::Result<session::ConsoleStatementPtr> read(std::string_view text,
                                                                const session::LocalAsker&) const override {
    if (text.empty()) return base::fail(base::sqlstate::syntax_error, "no such command");
    return std::make_shared<const session::ConsoleStatement>();
  }
  [[nodiscard]] std::optional<base::Result<session::LocalTable>> run(const session::ConsoleStatement&,
                                                                     const session::LocalAsker& asker,
                                                                     Answer) const override {
    return show("pool_nodes", asker);
  }
};

class World final : private session::Process {
 public:
  enum class Nodes : std::uint8_t { primary_only = 1, with_standby = 2 };
  /// `more`: lines of configuration, of section `pool` in one line of braces, say.
  World(Nodes nodes, std::string_view more);
  ~World() override;

  [[nodiscard]] Socket connect_client() const;
  /// Some passes of the loop; new connections to the nodes are accepted and logged in.
  void pass(std::size_t passes = 1);
  /// Everything that pgweir has asked is answered, until it asks nothing more and `done` says so; false when that does
  /// not come.
  template <class Done>
  bool settle(Done done) {
    constexpr std::size_t kMost = 400;
    for (std::size_t i = 0; i < kMost; ++i) {
      pass();
      answer_all();
      if (done()) return true;
    }
    return false;
  }
  void answer_all();
  /// The one that has heard most recently, the one before it...; null when there are no servers.
  [[nodiscard]] ServerPeer* server(std::size_t back);
  void close_servers() { servers_.clear(); }
  void set_standby_up(bool up);
  [[nodiscard]] std::size_t sessions() const { return worker_->session_count(); }
  [[nodiscard]] std::size_t leased();
  /// What is going on, for the report of a finding.
  [[nodiscard]] std::string state();

 private:
  void suspect(base::NodeId) override {}
  void want_catalog(const std::string&, base::Time) override {}
  void session_ended() override {}
  void writes_are_quiet(base::WorkerId, std::uint64_t) override {}
  // Nobody is asked for anything at a login by `trust`.
  void find_memberships(const std::string&, std::function<void(base::Result<auth::Memberships>)>) override {}
  void ask_user(const std::string&, std::function<void(const base::Result<cluster::KnownUser>&)>) override {}
  session::Worker* worker(base::WorkerId id) override { return id.value == 0 ? worker_.get() : nullptr; }
  [[nodiscard]] std::size_t worker_count() const override { return 1; }
  void publish(bool standby_up);
  void accept_all();
  void receive_all();

  OneCommand commands_;
  std::string directory_;
  std::vector<Socket> listeners_;
  Nodes nodes_;
  std::unique_ptr<session::Worker> worker_;
  std::vector<std::unique_ptr<ServerPeer>> servers_;
  std::uint64_t heard_ = 0;
  std::uint64_t epoch_ = 0;
};

}  // namespace pgweir::fuzz
