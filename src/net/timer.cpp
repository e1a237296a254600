// Timers by libuv; see timer.h.
#include "net/timer.h"

#include <uv.h>

#include <algorithm>
#include <utility>

#include "net/loop.h"

namespace pgweir::net {

struct Timer::Handle {
  uv_timer_t timer{};
  std::function<void()> on_fire;  ///< kept to the end, because it may be what destroys the timer
  bool destroyed = false;
};

namespace {
std::uint64_t milliseconds(base::Duration duration) {
  const auto rounded = std::chrono::ceil<std::chrono::milliseconds>(duration).count();
  return static_cast<std::uint64_t>(std::max<long long>(rounded, 0));
}
}  // namespace

Timer::Timer(Loop& loop, std::function<void()> on_fire) : handle_(new Handle) {
  uv_timer_init(loop.uv(), &handle_->timer);
  handle_->timer.data = handle_;
  handle_->on_fire = std::move(on_fire);
}

Timer::~Timer() {
  handle_->destroyed = true;
  uv_close(reinterpret_cast<uv_handle_t*>(&handle_->timer),
           [](uv_handle_t* closed) { delete static_cast<Handle*>(closed->data); });
}

void Timer::start(base::Duration after) {
  uv_timer_start(
      &handle_->timer,
      [](uv_timer_t* timer) {
        auto* handle = static_cast<Handle*>(timer->data);
        if (!handle->destroyed) handle->on_fire();
      },
      milliseconds(after), 0);
}

void Timer::start_repeating(base::Duration every) {
  start(every);
  uv_timer_set_repeat(&handle_->timer, std::max<std::uint64_t>(milliseconds(every), 1));
}

void Timer::stop() { uv_timer_stop(&handle_->timer); }

bool Timer::active() const { return uv_is_active(reinterpret_cast<const uv_handle_t*>(&handle_->timer)) != 0; }

}  // namespace pgweir::net
