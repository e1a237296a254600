// Secrets that leave no trace in freed memory; see secret_text.h.
#include "base/secret_text.h"

#include <cstring>
#include <utility>

namespace pgweir::base {

void wipe(void* place, std::size_t size) noexcept {
  if (size > 0) ::explicit_bzero(place, size);
}

void wipe(std::string& text) noexcept {
  text.resize(text.capacity());  // within its memory: never allocates
  wipe(text.data(), text.size());
  text.clear();
}

SecretText::SecretText(std::string_view text) : size_(text.size()) {
  if (text.empty()) return;
  bytes_ = std::make_unique<char[]>(size_);
  std::memcpy(bytes_.get(), text.data(), size_);
}

SecretText::SecretText(SecretText&& other) noexcept
    : bytes_(std::move(other.bytes_)), size_(std::exchange(other.size_, 0)) {}

SecretText& SecretText::operator=(const SecretText& other) {
  if (this != &other) *this = SecretText(other);
  return *this;
}

SecretText& SecretText::operator=(SecretText&& other) noexcept {
  if (this == &other) return *this;
  clear();
  bytes_ = std::move(other.bytes_);
  size_ = std::exchange(other.size_, 0);
  return *this;
}

void SecretText::clear() noexcept {
  wipe(bytes_.get(), size_);
  bytes_.reset();
  size_ = 0;
}

bool operator==(const SecretText& a, const SecretText& b) noexcept {
  if (a.size_ != b.size_) return false;
  unsigned char difference = 0;
  for (std::size_t i = 0; i < a.size_; ++i)
    difference = static_cast<unsigned char>(difference | (a.bytes_[i] ^ b.bytes_[i]));
  return difference == 0;
}

}  // namespace pgweir::base
