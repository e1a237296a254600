// A contiguous queue of bytes: appended at the end, consumed at the front, moved together only when it must grow.
#pragma once
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

namespace pgweir::base {

/// Owned by one object, used by one thread. An empty queue holds no memory after `release()`.
class ByteQueue {
 public:
  ByteQueue() = default;
  ByteQueue(ByteQueue&& other) noexcept;
  ByteQueue& operator=(ByteQueue&& other) noexcept;

  [[nodiscard]] std::string_view view() const noexcept { return {data_.get() + head_, tail_ - head_}; }
  [[nodiscard]] std::size_t size() const noexcept { return tail_ - head_; }
  [[nodiscard]] bool empty() const noexcept { return head_ == tail_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

  void append(std::string_view bytes);
  /// Makes room for `size` bytes at the end and returns where to write them; follow with `commit`.
  [[nodiscard]] std::span<char> reserve(std::size_t size);
  /// Counts `size` bytes, written into what `reserve` returned, as part of the queue.
  void commit(std::size_t size) noexcept;
  /// Drops `size` bytes (at most `size()`) from the front.
  void consume(std::size_t size) noexcept;
  /// Drops everything but keeps the memory.
  void clear() noexcept { head_ = tail_ = 0; }
  /// Drops everything and gives the memory back.
  void release() noexcept;

 private:
  std::unique_ptr<char[]> data_;
  std::size_t capacity_ = 0;
  std::size_t head_ = 0;
  std::size_t tail_ = 0;
};

}  // namespace pgweir::base
