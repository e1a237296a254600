// Tasks from other threads, by uv_async; see mailbox.h.
#include "net/mailbox.h"

#include <uv.h>

#include <utility>

#include "base/assertion.h"
#include "net/loop.h"

namespace pgweir::net {

struct Mailbox::Handle {
  uv_async_t async{};
  Mailbox* owner = nullptr;
};

Mailbox::Mailbox(Loop& loop) : handle_(new Handle) {
  handle_->owner = this;
  handle_->async.data = handle_;
  PGWEIR_ASSERT(uv_async_init(loop.uv(), &handle_->async, [](uv_async_t* async) {
                  auto* handle = static_cast<Handle*>(async->data);
                  if (handle->owner) handle->owner->run();
                }) == 0);
}

Mailbox::~Mailbox() {
  handle_->owner = nullptr;
  uv_close(reinterpret_cast<uv_handle_t*>(&handle_->async),
           [](uv_handle_t* closed) { delete static_cast<Handle*>(closed->data); });
}

void Mailbox::post(std::function<void()> task) {
  const std::lock_guard lock(mutex_);
  tasks_.push_back(std::move(task));
  uv_async_send(&handle_->async);
}

void Mailbox::run() {
  std::vector<std::function<void()>> tasks;
  {
    const std::lock_guard lock(mutex_);
    tasks.swap(tasks_);
  }
  Handle* handle = handle_;
  for (auto& task : tasks) {
    task();
    if (!handle->owner) return;
  }
}

}  // namespace pgweir::net
