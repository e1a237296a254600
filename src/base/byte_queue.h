// A contiguous queue of bytes: appended at the end, consumed at the front, moved together only when it must grow.
#pragma once
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "base/assertion.h"

namespace pgweir::base {

/// Owned by one object, used by one thread. An empty queue holds no memory after `release()`.
class ByteQueue {
 public:
  ByteQueue() = default;
  ByteQueue(ByteQueue&& other) noexcept
      : data_(std::move(other.data_)),
        capacity_(std::exchange(other.capacity_, 0)),
        head_(std::exchange(other.head_, 0)),
        tail_(std::exchange(other.tail_, 0)) {}
  ByteQueue& operator=(ByteQueue&& other) noexcept {
    if (this == &other) return *this;
    data_ = std::move(other.data_);
    capacity_ = std::exchange(other.capacity_, 0);
    head_ = std::exchange(other.head_, 0);
    tail_ = std::exchange(other.tail_, 0);
    return *this;
  }

  [[nodiscard]] std::string_view view() const noexcept { return {data_.get() + head_, tail_ - head_}; }
  [[nodiscard]] std::size_t size() const noexcept { return tail_ - head_; }
  [[nodiscard]] bool empty() const noexcept { return head_ == tail_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

  void append(std::string_view bytes) {
    if (bytes.empty()) return;
    if (capacity_ - tail_ < bytes.size()) make_room(bytes.size());
    std::memcpy(data_.get() + tail_, bytes.data(), bytes.size());
    tail_ += bytes.size();
  }
  /// Makes room for `size` bytes at the end and returns where to write them; follow with `commit`.
  [[nodiscard]] std::span<char> reserve(std::size_t size) {
    if (capacity_ - tail_ < size) make_room(size);
    return {data_.get() + tail_, capacity_ - tail_};
  }
  /// Counts `size` bytes, written into what `reserve` returned, as part of the queue.
  void commit(std::size_t size) noexcept {
    PGWEIR_ASSERT(size <= capacity_ - tail_);
    tail_ += size;
  }
  /// Drops `size` bytes (at most `size()`) from the front.
  void consume(std::size_t size) noexcept {
    PGWEIR_ASSERT(size <= this->size());
    head_ += size;
    if (head_ == tail_) head_ = tail_ = 0;
  }
  /// Drops everything but keeps the memory.
  void clear() noexcept { head_ = tail_ = 0; }
  /// Drops everything and gives the memory back.
  void release() noexcept {
    data_.reset();
    capacity_ = head_ = tail_ = 0;
  }

 private:
  void make_room(std::size_t size);

  std::unique_ptr<char[]> data_;
  std::size_t capacity_ = 0;
  std::size_t head_ = 0;
  std::size_t tail_ = 0;
};

}  // namespace pgweir::base
