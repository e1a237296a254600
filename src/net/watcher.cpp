// Readiness of a descriptor that somebody else owns; see watcher.h.
#include "net/watcher.h"

#include <uv.h>

#include <memory>
#include <utility>

#include "base/assertion.h"
#include "net/loop.h"

namespace pgweir::net {

struct Watcher::Handle {
  uv_poll_t poll{};
  std::shared_ptr<std::function<void()>> on_ready;
};

Watcher::Watcher(Loop& loop, int fd, std::function<void()> on_ready) : handle_(new Handle) {
  handle_->poll.data = handle_;
  handle_->on_ready = std::make_shared<std::function<void()>>(std::move(on_ready));
  PGWEIR_ASSERT(uv_poll_init(loop.uv(), &handle_->poll, fd) == 0);
}

Watcher::~Watcher() {
  handle_->on_ready.reset();
  uv_poll_stop(&handle_->poll);
  uv_close(reinterpret_cast<uv_handle_t*>(&handle_->poll),
           [](uv_handle_t* closed) { delete static_cast<Handle*>(closed->data); });
}

void Watcher::watch(Interest interest) {
  if (interest == Interest::none) {
    uv_poll_stop(&handle_->poll);
    return;
  }
  const int events =
      (interest != Interest::writable ? UV_READABLE : 0) | (interest != Interest::readable ? UV_WRITABLE : 0);
  uv_poll_start(&handle_->poll, events, [](uv_poll_t* poll, int, int) {
    const auto on_ready = static_cast<Handle*>(poll->data)->on_ready;
    if (on_ready) (*on_ready)();
  });
}

}  // namespace pgweir::net
