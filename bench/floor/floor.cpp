// The floor for any proxy in user space: forwards bytes, looks at none of them, one thread, one epoll.
// Each client gets a server connection of its own. What a proxy costs beyond this is what it does for its users.
//   floor LISTEN PORT SERVER PORT: addresses of IPv4, or directories of a Unix socket (/tmp means /tmp/.s.PGSQL.PORT)
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace {

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;

  Address(const std::string& host, const std::string& port) {
    if (host[0] == '/') {
      auto* path = reinterpret_cast<sockaddr_un*>(&storage);
      path->sun_family = AF_UNIX;
      std::snprintf(path->sun_path, sizeof path->sun_path, "%s/.s.PGSQL.%s", host.c_str(), port.c_str());
      size = sizeof *path;
    } else {
      auto* place = reinterpret_cast<sockaddr_in*>(&storage);
      place->sin_family = AF_INET;
      place->sin_port = htons(static_cast<std::uint16_t>(std::stoi(port)));
      inet_pton(AF_INET, host.c_str(), &place->sin_addr);
      size = sizeof *place;
    }
  }
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

void require(bool fine, const char* what) {
  if (fine) return;
  std::perror(what);
  std::exit(1);
}

constexpr std::uint32_t kNotYet = ~0U;

/// One of the two ends of a forwarded connection.
struct Peer {
  int socket = -1;
  std::uint32_t watched = kNotYet;
  Peer* other = nullptr;
  std::string unsent;  ///< what this peer did not take; while there is any, the other one is not read
  bool closed = false;
};

int g_epoll = -1;
std::vector<Peer*> g_finished;  // freed after the pass: later events of it may name them
char g_scratch[64 * 1024];

void watch(Peer& peer) {
  const std::uint32_t wanted = (peer.other->unsent.empty() ? EPOLLIN : 0U) | (peer.unsent.empty() ? 0U : EPOLLOUT);
  if (wanted == peer.watched) return;
  epoll_event event{wanted, {.ptr = &peer}};
  require(epoll_ctl(g_epoll, peer.watched == kNotYet ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, peer.socket, &event) == 0,
          "epoll_ctl");
  peer.watched = wanted;
}

void finish(Peer& peer) {
  if (peer.closed) return;
  for (Peer* end : {&peer, peer.other}) {
    close(end->socket);
    end->closed = true;
    g_finished.push_back(end);
  }
}

/// What could not be sent, or everything when the peer is gone.
std::size_t send_some(Peer& to, const char* bytes, std::size_t size) {
  const ssize_t sent = send(to.socket, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0 && errno != EAGAIN) finish(to);
  return size - static_cast<std::size_t>(sent < 0 ? 0 : sent);
}

void forward(Peer& from) {
  if (!from.other->unsent.empty()) return;  // a hang-up shows even when it is not asked for
  const ssize_t got = recv(from.socket, g_scratch, sizeof g_scratch, MSG_DONTWAIT);
  if (got <= 0) {
    if (got == 0 || errno != EAGAIN) finish(from);
    return;
  }
  const auto size = static_cast<std::size_t>(got);
  const std::size_t left = send_some(*from.other, g_scratch, size);
  if (left == 0 || from.closed) return;
  from.other->unsent.assign(g_scratch + size - left, left);
  watch(from);
  watch(*from.other);
}

void send_rest(Peer& to) {
  const std::size_t left = send_some(to, to.unsent.data(), to.unsent.size());
  if (to.closed) return;
  to.unsent.erase(0, to.unsent.size() - left);
  watch(to);
  watch(*to.other);
}

void accept_one(int listener, const Address& server) {
  auto client = std::make_unique<Peer>(), upstream = std::make_unique<Peer>();
  client->socket = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  if (client->socket < 0) return;
  upstream->socket = socket(server.get()->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  require(connect(upstream->socket, server.get(), server.size) == 0, "connect");
  client->other = upstream.get();
  upstream->other = client.get();
  const int on = 1;
  for (Peer* peer : {client.release(), upstream.release()}) {
    setsockopt(peer->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // does nothing to a Unix socket
    watch(*peer);
  }
}

}  // namespace

int main(int count, char** words) {
  if (count != 5) return std::fputs("usage: floor LISTEN PORT SERVER PORT\n", stderr), 2;
  const Address here(words[1], words[2]), server(words[3], words[4]);
  const int listener = socket(here.get()->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  require(bind(listener, here.get(), here.size) == 0 && listen(listener, 1024) == 0, "listen");
  g_epoll = epoll_create1(EPOLL_CLOEXEC);
  epoll_event event{EPOLLIN, {.ptr = nullptr}};
  require(epoll_ctl(g_epoll, EPOLL_CTL_ADD, listener, &event) == 0, "epoll_ctl");
  for (;;) {
    epoll_event events[128];
    const int ready = epoll_wait(g_epoll, events, 128, -1);
    for (int i = 0; i < ready; ++i) {
      auto* peer = static_cast<Peer*>(events[i].data.ptr);
      if (peer == nullptr) accept_one(listener, server);
      if (peer == nullptr || peer->closed) continue;
      if ((events[i].events & EPOLLOUT) != 0) send_rest(*peer);
      if (!peer->closed && (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) forward(*peer);
    }
    for (Peer* peer : g_finished) delete peer;
    g_finished.clear();
  }
}
