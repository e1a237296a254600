// Listening sockets; see listener.h. Blocks only at start-up.
#include "net/listener.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "base/log.h"
#include "net/loop.h"

namespace pgweir::net {

namespace {

constexpr int kMostPerPass = 64;
/// Clients speak first: the kernel keeps those that have said nothing yet to itself for about so long.
constexpr int kSilentSeconds = 1;
/// Without descriptors or memory the socket stays readable: it is looked at again after this time.
constexpr std::uint64_t kPauseMilliseconds = 100;
constexpr std::uint64_t kQuietMilliseconds = 60'000;

base::Failure failure(const Endpoint& endpoint, std::string_view what) {
  return base::fail(base::sqlstate::config_file_error,
                    "could not listen on " + endpoint.text() + ": " + std::string(what));
}

base::Result<int> listen_tcp(const Endpoint& endpoint, int backlog) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const std::string service = std::to_string(endpoint.port);
  const char* host = endpoint.host == "*" ? nullptr : endpoint.host.c_str();
  if (const int code = ::getaddrinfo(host, service.c_str(), &hints, &found); code != 0)
    return failure(endpoint, ::gai_strerror(code));
  std::string reason = "no address";
  for (const addrinfo* one = found; one; one = one->ai_next) {
    const int fd = ::socket(one->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) continue;
    const int on = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    ::setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &kSilentSeconds, sizeof kSilentSeconds);
    tune_stream(fd);
    if (::bind(fd, one->ai_addr, one->ai_addrlen) == 0 && ::listen(fd, backlog) == 0) {
      ::freeaddrinfo(found);
      return fd;
    }
    reason = std::strerror(errno);
    ::close(fd);
  }
  ::freeaddrinfo(found);
  return failure(endpoint, reason);
}

/// A file left behind by a process that is gone is removed; one that answers is in use.
bool somebody_listens(const sockaddr_un& address) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool answered = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  ::close(fd);
  return answered;
}

base::Result<int> listen_unix(const Endpoint& endpoint, int backlog, unsigned mode) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = endpoint.unix_path();
  if (path.size() >= sizeof address.sun_path) return failure(endpoint, "path is too long");
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  if (somebody_listens(address)) return failure(endpoint, "another process listens there");
  ::unlink(path.c_str());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd >= 0 && ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
      ::chmod(path.c_str(), mode) == 0 && ::listen(fd, backlog) == 0)
    return fd;
  const std::string reason = std::strerror(errno);
  if (fd >= 0) ::close(fd);
  return failure(endpoint, reason);
}

}  // namespace

base::Result<ListeningSocket> ListeningSocket::open(const Endpoint& endpoint, int backlog, unsigned unix_mode) {
  auto fd = endpoint.is_unix() ? listen_unix(endpoint, backlog, unix_mode) : listen_tcp(endpoint, backlog);
  if (!fd) return base::Failure(fd.error());
  return ListeningSocket(*fd, endpoint.is_unix() ? endpoint.unix_path() : std::string());
}

base::Result<bool> ListeningSocket::give_file_to(unsigned uid, unsigned gid) const {
  if (path_.empty() || ::lchown(path_.c_str(), uid, gid) == 0) return true;
  return base::fail(base::sqlstate::config_file_error, "could not give " + path_ + " away: " + std::strerror(errno));
}

ListeningSocket::ListeningSocket(ListeningSocket&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), path_(std::exchange(other.path_, {})) {}

ListeningSocket::~ListeningSocket() {
  if (fd_ < 0) return;
  ::close(fd_);
  if (!path_.empty()) ::unlink(path_.c_str());
}

struct Listener::Handle {
  Handle(ListeningSocket opened, OnAccept callback) : socket(std::move(opened)), on_accept(std::move(callback)) {}
  uv_poll_t poll{};
  uv_timer_t pause{};
  int open_handles = 2;
  std::optional<ListeningSocket> socket;
  OnAccept on_accept;
  bool said = false;            ///< that no client can be accepted
  std::uint64_t said_at = 0;    ///< the same, in milliseconds of the loop; 0: never
  int allowed = 1;              ///< to be accepted in a pass
  std::uint64_t filled_at = 0;  ///< when a pass has accepted as many, in milliseconds of the loop

  void watch() {
    uv_poll_start(&poll, UV_READABLE,
                  [](uv_poll_t* ready, int, int) { static_cast<Handle*>(ready->data)->accept_some(); });
  }

  /// Clients that come and go would make a line each time: one in a minute is enough.
  void say(int error) {
    const std::uint64_t now = uv_now(poll.loop);
    if (said_at != 0 && now - said_at < kQuietMilliseconds) return;
    said = true;
    said_at = now;
    base::log::error("accept_failed", {{"error", std::strerror(error)}, {"hint", "no more clients until it is over"}});
  }
  void say_it_is_over() {
    said = false;
    base::log::info("accepting_again");
  }

  /// EAGAIN and the error of one client (ECONNABORTED) end the pass; what lasts must not keep the loop spinning.
  void on_failure(int error) {
    if (error != EMFILE && error != ENFILE && error != ENOBUFS && error != ENOMEM) return;
    say(error);
    uv_poll_stop(&poll);
    uv_timer_start(
        &pause, [](uv_timer_t* timer) { static_cast<Handle*>(timer->data)->watch(); }, kPauseMilliseconds, 0);
  }

  /// One client in a pass is the rule, and then asking for another one is in vain. While they come faster than that,
  /// each pass takes twice as many.
  void accept_some() {
    for (int i = 0; i < allowed; ++i) {
      sockaddr_storage peer{};
      socklen_t size = sizeof peer;
      const int client =
          ::accept4(socket->fd(), reinterpret_cast<sockaddr*>(&peer), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (client < 0) {
        allowed = std::max(1, i);
        return on_failure(errno);
      }
      if (said) say_it_is_over();
      on_accept(client, {peer, size});
      if (!on_accept) return;
    }
    const std::uint64_t now = uv_now(poll.loop);
    if (now == std::exchange(filled_at, now)) allowed = std::min(allowed * 2, kMostPerPass);
  }
};

Listener::Listener(Loop& loop, ListeningSocket socket, OnAccept on_accept)
    : handle_(new Handle(std::move(socket), std::move(on_accept))) {
  handle_->poll.data = handle_->pause.data = handle_;
  uv_poll_init(loop.uv(), &handle_->poll, handle_->socket->fd());
  uv_timer_init(loop.uv(), &handle_->pause);
  handle_->watch();
}

base::Result<std::unique_ptr<Listener>> Listener::open(Loop& loop, const Endpoint& endpoint, int backlog,
                                                       unsigned unix_mode, OnAccept on_accept) {
  auto socket = ListeningSocket::open(endpoint, backlog, unix_mode);
  if (!socket) return base::Failure(socket.error());
  return std::make_unique<Listener>(loop, std::move(*socket), std::move(on_accept));
}

Listener::~Listener() {
  handle_->on_accept = nullptr;
  // Not in the close callback: from now on nobody can connect.
  uv_poll_stop(&handle_->poll);
  handle_->socket.reset();
  const auto on_closed = [](uv_handle_t* closed) {
    auto* done = static_cast<Handle*>(closed->data);
    if (--done->open_handles == 0) delete done;
  };
  uv_close(reinterpret_cast<uv_handle_t*>(&handle_->poll), on_closed);
  uv_close(reinterpret_cast<uv_handle_t*>(&handle_->pause), on_closed);
}

}  // namespace pgweir::net
