// Growing and moving together of byte queues; see byte_queue.h.
#include "base/byte_queue.h"

#include <algorithm>

namespace pgweir::base {

namespace {
constexpr std::size_t kSmallest = 512;
}

/// For `size` more bytes behind the last one.
void ByteQueue::make_room(std::size_t size) {
  const std::size_t used = tail_ - head_;
  if (capacity_ - used >= size && head_ >= used) {
    std::memcpy(data_.get(), data_.get() + head_, used);
  } else {
    const std::size_t grown = std::max({kSmallest, capacity_ * 2, used + size});
    auto fresh = std::make_unique_for_overwrite<char[]>(grown);
    if (used > 0) std::memcpy(fresh.get(), data_.get() + head_, used);
    data_ = std::move(fresh);
    capacity_ = grown;
  }
  head_ = 0;
  tail_ = used;
}

}  // namespace pgweir::base
