// Name lookup and connect without blocking; see connector.h.
#include "net/connector.h"

#include <netdb.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "net/loop.h"
#include "net/timer.h"
#include "net/watcher.h"

namespace pgweir::net {

namespace {
struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

struct Lookup {
  uv_getaddrinfo_t request{};
  std::function<void(int status, addrinfo* found)> on_found;
};
}  // namespace

// Kept alive by whatever may still call it (the timer, the watcher, the lookup), cut off by `on_done` being empty.
struct Connector::Attempt : std::enable_shared_from_this<Connector::Attempt> {
  Attempt(Loop& l, Endpoint e, OnDone done) : loop(l), endpoint(std::move(e)), on_done(std::move(done)) {}

  Loop& loop;
  Endpoint endpoint;
  OnDone on_done;
  std::unique_ptr<Timer> timer;
  std::unique_ptr<Watcher> watcher;
  std::vector<Address> addresses;
  std::size_t next = 0;
  int fd = -1;
  std::string reason = "no address";

  void start(base::Duration timeout) {
    timer = std::make_unique<Timer>(loop, [weak = weak_from_this()] {
      if (auto self = weak.lock()) {
        self->reason = "no answer in time";
        self->finish_with_failure();
      }
    });
    timer->start(timeout);
    if (endpoint.is_unix())
      use_unix_path();
    else
      look_up();
  }

  void use_unix_path() {
    Address address;
    sockaddr_un path{};
    path.sun_family = AF_UNIX;
    const std::string text = endpoint.unix_path();
    if (text.size() >= sizeof path.sun_path) {
      reason = "path is too long";
    } else {
      std::memcpy(path.sun_path, text.c_str(), text.size() + 1);
      std::memcpy(&address.storage, &path, sizeof path);
      address.size = sizeof path;
      addresses.push_back(address);
    }
    loop.after_pass([weak = weak_from_this()] {
      if (auto self = weak.lock()) self->try_next();
    });
  }

  void look_up() {
    auto lookup = std::make_unique<Lookup>();
    lookup->request.data = lookup.get();
    lookup->on_found = [weak = weak_from_this()](int status, addrinfo* found) {
      if (auto self = weak.lock()) self->found(status, found);
    };
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICSERV;
    const std::string service = std::to_string(endpoint.port);
    const int code = uv_getaddrinfo(
        loop.uv(), &lookup->request,
        [](uv_getaddrinfo_t* request, int status, addrinfo* list) {
          const std::unique_ptr<Lookup> done(static_cast<Lookup*>(request->data));
          done->on_found(status, list);
          uv_freeaddrinfo(list);
        },
        endpoint.host.c_str(), service.c_str(), &hints);
    if (code == 0) {
      lookup.release();  // freed in the callback
      return;
    }
    reason = uv_strerror(code);
    loop.after_pass([weak = weak_from_this()] {
      if (auto self = weak.lock()) self->finish_with_failure();
    });
  }

  void found(int status, addrinfo* list) {
    if (status != 0) reason = uv_strerror(status);
    for (; list; list = list->ai_next) {
      Address address;
      std::memcpy(&address.storage, list->ai_addr, list->ai_addrlen);
      address.size = list->ai_addrlen;
      addresses.push_back(address);
    }
    try_next();
  }

  void try_next() {
    close_descriptor();
    while (next < addresses.size()) {
      const Address& address = addresses[next++];
      const auto* raw = reinterpret_cast<const sockaddr*>(&address.storage);
      fd = ::socket(raw->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
      if (fd < 0) {
        reason = std::strerror(errno);
        continue;
      }
      tune_stream(fd);
      if (::connect(fd, raw, address.size) == 0) return succeed();
      if (errno == EINPROGRESS) return wait_for_connect();
      reason = std::strerror(errno);
      close_descriptor();
    }
    finish_with_failure();
  }

  void wait_for_connect() {
    watcher = std::make_unique<Watcher>(loop, fd, [weak = weak_from_this()] {
      if (auto self = weak.lock()) self->on_ready();
    });
    watcher->watch(Interest::writable);
  }

  void on_ready() {
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    watcher.reset();
    if (error == 0) return succeed();
    reason = std::strerror(error);
    try_next();
  }

  void succeed() { finish(std::exchange(fd, -1)); }

  void finish_with_failure() {
    close_descriptor();
    finish(base::fail(base::sqlstate::connection_failure, "could not connect to " + endpoint.text() + ": " + reason));
  }

  void finish(base::Result<int> result) {
    timer.reset();
    watcher.reset();
    if (auto done = std::exchange(on_done, nullptr)) done(std::move(result));
  }

  void close_descriptor() {
    watcher.reset();
    if (fd >= 0) ::close(std::exchange(fd, -1));
  }

  void cancel() {
    on_done = nullptr;
    timer.reset();
    close_descriptor();
  }
};

Connector::Connector(Loop& loop, Endpoint endpoint, base::Duration timeout, OnDone on_done)
    : attempt_(std::make_shared<Attempt>(loop, std::move(endpoint), std::move(on_done))) {
  attempt_->start(timeout);
}

Connector::~Connector() { attempt_->cancel(); }

}  // namespace pgweir::net
