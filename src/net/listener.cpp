// Listening sockets; see listener.h. Blocks only at start-up.
#include "net/listener.h"

#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "net/loop.h"

namespace pgweir::net {

namespace {

constexpr int kAcceptsPerPass = 64;
/// Without descriptors or memory the socket stays readable: it is looked at again after this time.
constexpr std::uint64_t kPauseMilliseconds = 100;

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

struct Listener::Handle {
  uv_poll_t poll{};
  uv_timer_t pause{};
  int open_handles = 2;
  int fd = -1;
  OnAccept on_accept;

  void watch() {
    uv_poll_start(&poll, UV_READABLE,
                  [](uv_poll_t* ready, int, int) { static_cast<Handle*>(ready->data)->accept_some(); });
  }

  /// EAGAIN and the error of one client (ECONNABORTED) end the pass; what lasts must not keep the loop spinning.
  void on_failure(int error) {
    if (error != EMFILE && error != ENFILE && error != ENOBUFS && error != ENOMEM) return;
    base::log::error("accept_failed", {{"error", std::strerror(error)}});
    uv_poll_stop(&poll);
    uv_timer_start(
        &pause, [](uv_timer_t* timer) { static_cast<Handle*>(timer->data)->watch(); }, kPauseMilliseconds, 0);
  }

  void accept_some() {
    for (int i = 0; i < kAcceptsPerPass && on_accept; ++i) {
      const int client = ::accept4(fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (client < 0) return on_failure(errno);
      tune_stream(client);
      on_accept(client);
    }
  }
};

base::Result<std::unique_ptr<Listener>> Listener::open(Loop& loop, const Endpoint& endpoint, int backlog,
                                                       unsigned unix_mode, OnAccept on_accept) {
  auto fd = endpoint.is_unix() ? listen_unix(endpoint, backlog, unix_mode) : listen_tcp(endpoint, backlog);
  if (!fd) return base::Failure(fd.error());
  std::unique_ptr<Listener> listener(new Listener);
  listener->handle_ = new Handle;
  listener->handle_->fd = *fd;
  listener->handle_->on_accept = std::move(on_accept);
  listener->handle_->poll.data = listener->handle_;
  if (endpoint.is_unix()) listener->unlink_path_ = endpoint.unix_path();
  listener->handle_->pause.data = listener->handle_;
  uv_poll_init(loop.uv(), &listener->handle_->poll, *fd);
  uv_timer_init(loop.uv(), &listener->handle_->pause);
  listener->handle_->watch();
  return listener;
}

Listener::~Listener() {
  if (!handle_) return;
  handle_->on_accept = nullptr;
  const auto on_closed = [](uv_handle_t* closed) {
    auto* done = static_cast<Handle*>(closed->data);
    if (--done->open_handles > 0) return;
    ::close(done->fd);
    delete done;
  };
  uv_close(reinterpret_cast<uv_handle_t*>(&handle_->poll), on_closed);
  uv_close(reinterpret_cast<uv_handle_t*>(&handle_->pause), on_closed);
  if (!unlink_path_.empty()) ::unlink(unlink_path_.c_str());
}

}  // namespace pgweir::net
