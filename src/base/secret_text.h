// Text that must not be seen: passwords and keys. It cannot be printed, logged or compared in a time that tells
// anything, and its memory is cleared when it goes. Copies that others make of it are theirs to clear.
#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace pgweir::base {

/// Overwrites `size` bytes in a way that no compiler leaves out.
void wipe(void* place, std::size_t size) noexcept;
/// The same for a text, with what its memory held before; empty afterwards.
void wipe(std::string& text) noexcept;

/// Owns its bytes, on the heap, so that moving leaves nothing behind.
class SecretText {
 public:
  SecretText() = default;
  explicit SecretText(std::string_view text);
  SecretText(const SecretText& other) : SecretText(other.reveal()) {}
  SecretText(SecretText&& other) noexcept;
  SecretText& operator=(const SecretText& other);
  SecretText& operator=(SecretText&& other) noexcept;
  ~SecretText() { clear(); }

  /// Good until this object changes. Whoever copies it answers for the copy.
  [[nodiscard]] std::string_view reveal() const noexcept { return {bytes_.get(), size_}; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  void clear() noexcept;

  /// Takes the same time wherever two texts of one size differ.
  friend bool operator==(const SecretText& a, const SecretText& b) noexcept;

 private:
  std::unique_ptr<char[]> bytes_;
  std::size_t size_ = 0;
};

}  // namespace pgweir::base
