// Growing and moving of byte queues; see byte_queue.h.
#include "base/byte_queue.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/assertion.h"

namespace pgweir::base {

namespace {
constexpr std::size_t kSmallest = 512;
}

ByteQueue::ByteQueue(ByteQueue&& other) noexcept { *this = std::move(other); }

ByteQueue& ByteQueue::operator=(ByteQueue&& other) noexcept {
  if (this == &other) return *this;
  data_ = std::move(other.data_);
  capacity_ = std::exchange(other.capacity_, 0);
  head_ = std::exchange(other.head_, 0);
  tail_ = std::exchange(other.tail_, 0);
  return *this;
}

void ByteQueue::append(std::string_view bytes) {
  if (bytes.empty()) return;
  std::memcpy(reserve(bytes.size()).data(), bytes.data(), bytes.size());
  commit(bytes.size());
}

std::span<char> ByteQueue::reserve(std::size_t size) {
  if (capacity_ - tail_ >= size) return {data_.get() + tail_, capacity_ - tail_};
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
  return {data_.get() + tail_, capacity_ - tail_};
}

void ByteQueue::commit(std::size_t size) noexcept {
  PGWEIR_ASSERT(size <= capacity_ - tail_);
  tail_ += size;
}

void ByteQueue::consume(std::size_t size) noexcept {
  PGWEIR_ASSERT(size <= this->size());
  head_ += size;
  if (head_ == tail_) head_ = tail_ = 0;
}

void ByteQueue::release() noexcept {
  data_.reset();
  capacity_ = head_ = tail_ = 0;
}

}  // namespace pgweir::base
