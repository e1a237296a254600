// Sockets and passes; see world.h.
#include "fuzz/world.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "config/load.h"
#include "fuzz/target.h"
#include "net/listener.h"
#include "session/tls_contexts.h"
#include "unit/routing/small_catalog.h"

namespace pgweir::fuzz {

namespace {

constexpr std::uint16_t kProxyPort = 6432, kFirstNodePort = 5001;

sockaddr_un address_of(const net::Endpoint& endpoint) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = endpoint.unix_path();
  FUZZ_CHECK(path.size() < sizeof address.sun_path);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

int new_socket() { return ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }

int listen_at(const net::Endpoint& endpoint) {
  const int fd = new_socket();
  const sockaddr_un address = address_of(endpoint);
  FUZZ_CHECK(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  FUZZ_CHECK(::listen(fd, 64) == 0);
  return fd;
}

std::string temporary_directory() {
  std::string path = "/tmp/pgweir-fuzz-XXXXXX";
  FUZZ_CHECK(::mkdtemp(path.data()) != nullptr);
  return path;
}

}  // namespace

Socket::Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

void Socket::close() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

std::size_t Socket::send(std::string_view bytes) const {
  if (fd_ < 0 || bytes.empty()) return 0;
  const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  return sent > 0 ? static_cast<std::size_t>(sent) : 0;
}

void Socket::end_sending() const {
  if (fd_ >= 0) ::shutdown(fd_, SHUT_WR);
}

int Socket::accept() const { return ::accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC); }

bool Socket::receive(std::string& to) const {
  std::array<char, 65536> room;
  while (fd_ >= 0) {
    const ssize_t got = ::recv(fd_, room.data(), room.size(), 0);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) return false;
    to.append(room.data(), static_cast<std::size_t>(got));
  }
  return false;
}

World::World(Nodes nodes, std::string_view more)
    : session::Process(static_cast<std::size_t>(nodes), config::PasswordFile{}),
      directory_(temporary_directory()),
      nodes_(nodes) {
  std::signal(SIGPIPE, SIG_IGN);
  local_commands = &commands_;
  base::log::set_level(base::log::Level::error);
  std::string text = "topology: streaming\nlisten: {unix_socket_dir: " + directory_ + "}\nworkers: 1\nnodes:\n";
  for (std::uint16_t i = 0; i < static_cast<std::uint16_t>(nodes); ++i) {
    const auto port = static_cast<std::uint16_t>(kFirstNodePort + i);
    text += "  - {name: n" + std::to_string(i) + ", host: " + directory_ + ", port: " + std::to_string(port) + "}\n";
    listeners_.emplace_back(listen_at({directory_, port}));
  }
  // Statements short enough for the stack of this thread (sql/classifier.h).
  // Nobody tells of a change of the nodes for which a session could wait.
  text += "failover: {hold_timeout: 0s}\n";
  text += "auth: {method: trust}\nmonitor: {user: m}\nlimits: {max_parse_bytes: 4kB, max_parse_tokens: 500}\n";
  text += more;
  auto settings = config::load_text(text, "fuzz.yaml");
  if (!settings)
    for (const auto& problem : settings.error()) std::fprintf(stderr, "%s\n", problem.text().c_str());
  FUZZ_CHECK(settings.has_value());
  auto how = std::make_shared<session::ClientAuth>();
  how->rules = auth::for_everybody(auth::Method::trust);
  auto tls = session::load_tls(*settings);
  FUZZ_CHECK(tls.has_value());
  worker_ =
      std::make_unique<session::Worker>(base::WorkerId{0}, static_cast<session::Process&>(*this),
                                        std::make_shared<const config::Settings>(std::move(*settings)), how, *tls);
  publish(true);
  worker_->set_catalog("d", test::small_catalog(), base::Time::max());
  auto socket = net::ListeningSocket::open({directory_, kProxyPort}, 64, 0700);
  FUZZ_CHECK(socket.has_value());
  worker_->listen(std::move(*socket));
}

/// Only at the end of a test: the worker's thread would have closed what it has.
World::~World() = default;

void World::publish(bool standby_up) {
  auto topology = std::make_shared<routing::Topology>();
  topology->epoch = ++epoch_;
  topology->primary = base::NodeId{0};
  for (std::uint16_t i = 0; i < static_cast<std::uint16_t>(nodes_); ++i) {
    routing::Node node;
    node.id = base::NodeId{i};
    node.name = "n" + std::to_string(i);
    node.host = directory_;
    node.port = static_cast<std::uint16_t>(kFirstNodePort + i);
    node.role = i == 0 ? routing::Role::primary : routing::Role::standby;
    node.status = i == 0 || standby_up ? routing::NodeStatus::up : routing::NodeStatus::down;
    node.server_version = 150000;
    freshness.write(node.id, {base::Time::max(), 0});
    topology->nodes.push_back(std::move(node));
  }
  worker_->set_topology(std::move(topology));
}

void World::set_standby_up(bool up) {
  if (nodes_ == Nodes::with_standby) publish(up);
}

Socket World::connect_client() const {
  const int fd = new_socket();
  const sockaddr_un address = address_of({directory_, kProxyPort});
  FUZZ_CHECK(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  return Socket(fd);
}

void World::accept_all() {
  for (const Socket& listener : listeners_)
    for (;;) {
      const int fd = listener.accept();
      if (fd < 0) break;
      servers_.push_back(std::make_unique<ServerPeer>(fd));
    }
}

void World::receive_all() {
  std::string bytes;
  std::erase_if(servers_, [&](auto& one) {
    bytes.clear();
    one->flush();
    const bool goes_on = one->socket.receive(bytes);
    trace("to server:", bytes);
    if (!bytes.empty()) {
      one->model.receive(bytes);
      one->heard_at = ++heard_;
    }
    if (!one->logged_in && one->model.has_message()) {
      one->say(one->model.answer(1));
      one->logged_in = true;
    }
    return !goes_on || one->model.over();
  });
}

void World::pass(std::size_t passes) {
  for (std::size_t i = 0; i < passes; ++i) {
    uv_run(worker_->loop().uv(), UV_RUN_NOWAIT);
    accept_all();
    receive_all();
  }
}

void World::answer_all() {
  for (const auto& one : servers_)
    if (one->model.has_message()) one->say(one->model.answer(SIZE_MAX));
}

ServerPeer* World::server(std::size_t back) {
  if (servers_.empty()) return nullptr;
  std::vector<ServerPeer*> all;
  for (const auto& one : servers_) all.push_back(one.get());
  std::sort(all.begin(), all.end(), [](const auto* a, const auto* b) { return a->heard_at > b->heard_at; });
  return all[back % all.size()];
}

std::size_t World::leased() {
  const auto counts = worker_->pools().counts();
  return counts.leased + counts.opening + counts.waiting;
}

std::string World::state() {
  const auto counts = worker_->pools().counts();
  const auto number = [](std::string_view what, std::size_t value) {
    return std::string(what) + " " + std::to_string(value) + ", ";
  };
  std::string text = number("sessions", sessions()) + number("idle", counts.idle) + number("leased", counts.leased) +
                     number("opening", counts.opening) + number("waiting", counts.waiting);
  for (const auto& one : servers_)
    text += "server" + std::string(one->logged_in ? "" : " before login") + (one->model.has_message() ? " asked" : "") +
            number(" unsent", one->unsent.size()) + one->model.state();
  return text;
}

}  // namespace pgweir::fuzz
