// A counted pointer for objects that never leave their thread: like std::shared_ptr without atomics and without a
// separate control block. Never hand one to another thread, not even for a moment.
#pragma once
#include <cstddef>
#include <cstdint>
#include <utility>

namespace pgweir::base {

/// Base of everything a LocalPtr points to. Copying an object does not copy its count.
class LocalCounted {
 public:
  LocalCounted() = default;
  LocalCounted(const LocalCounted&) noexcept {}
  LocalCounted& operator=(const LocalCounted&) noexcept { return *this; }

 protected:
  ~LocalCounted() = default;

 private:
  template <class T>
  friend class LocalPtr;
  std::uint32_t references_ = 0;
};

template <class T>
class LocalPtr {
 public:
  LocalPtr() = default;
  LocalPtr(std::nullptr_t) noexcept {}  // NOLINT(google-explicit-constructor): reads like a pointer
  explicit LocalPtr(T* object) noexcept : object_(object) { acquire(); }
  LocalPtr(const LocalPtr& other) noexcept : object_(other.object_) { acquire(); }
  LocalPtr(LocalPtr&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  LocalPtr& operator=(LocalPtr other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~LocalPtr() {
    if (object_ != nullptr && --object_->references_ == 0) delete object_;
  }

  [[nodiscard]] T* get() const noexcept { return object_; }
  /// Nobody else points to it.
  [[nodiscard]] bool is_only() const noexcept { return object_ != nullptr && object_->references_ == 1; }
  T& operator*() const noexcept { return *object_; }
  T* operator->() const noexcept { return object_; }
  explicit operator bool() const noexcept { return object_ != nullptr; }
  friend bool operator==(const LocalPtr& a, const LocalPtr& b) noexcept { return a.object_ == b.object_; }
  friend bool operator==(const LocalPtr& a, std::nullptr_t) noexcept { return a.object_ == nullptr; }

 private:
  void acquire() noexcept {
    if (object_ != nullptr) ++object_->references_;
  }
  T* object_ = nullptr;
};

template <class T, class... Args>
[[nodiscard]] LocalPtr<T> make_local(Args&&... args) {
  return LocalPtr<T>(new T(std::forward<Args>(args)...));
}

}  // namespace pgweir::base
