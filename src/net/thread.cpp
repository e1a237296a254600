// Threads with a known stack, and signals, by libuv; see thread.h.
#include "net/thread.h"

#include <uv.h>

#include <utility>

#include "base/assertion.h"
#include "net/loop.h"

namespace pgweir::net {

struct Thread::State {
  uv_thread_t thread{};
  std::function<void()> body;
  bool joined = false;
};

Thread::Thread(std::size_t stack_bytes, std::function<void()> body) : state_(std::make_unique<State>()) {
  state_->body = std::move(body);
  uv_thread_options_t options{};
  options.flags = UV_THREAD_HAS_STACK_SIZE;
  options.stack_size = stack_bytes;
  PGWEIR_ASSERT(uv_thread_create_ex(
                    &state_->thread, &options, [](void* state) { static_cast<State*>(state)->body(); }, state_.get()) ==
                0);
}

Thread::~Thread() { PGWEIR_ASSERT(state_->joined); }

void Thread::join() {
  uv_thread_join(&state_->thread);
  state_->joined = true;
}

struct Signal::Handle {
  uv_signal_t signal{};
  std::function<void()> on_signal;
};

Signal::Signal(Loop& loop, int number, std::function<void()> on_signal) : handle_(new Handle) {
  handle_->signal.data = handle_;
  handle_->on_signal = std::move(on_signal);
  uv_signal_init(loop.uv(), &handle_->signal);
  uv_signal_start(
      &handle_->signal, [](uv_signal_t* signal, int) { static_cast<Handle*>(signal->data)->on_signal(); }, number);
}

Signal::~Signal() {
  uv_close(reinterpret_cast<uv_handle_t*>(&handle_->signal),
           [](uv_handle_t* closed) { delete static_cast<Handle*>(closed->data); });
}

}  // namespace pgweir::net
