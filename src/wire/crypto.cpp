// Primitives by libcrypto and libidn; see crypto.h.
#include "wire/crypto.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stringprep.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "base/assertion.h"
#include "base/secret_text.h"

namespace pgweir::wire {

namespace {

const unsigned char* bytes_of(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }
unsigned char* bytes_of(Sha256Digest& digest) { return reinterpret_cast<unsigned char*>(digest.data()); }

}  // namespace

Sha256Digest sha256(std::string_view data) {
  Sha256Digest digest{};
  PGWEIR_ASSERT(EVP_Digest(data.data(), data.size(), bytes_of(digest), nullptr, EVP_sha256(), nullptr) == 1);
  return digest;
}

Sha256Digest hmac_sha256(std::string_view key, std::string_view data) {
  Sha256Digest digest{};
  unsigned int size = 0;
  PGWEIR_ASSERT(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes_of(data), data.size(),
                     bytes_of(digest), &size) != nullptr);
  return digest;
}

Sha256Digest pbkdf2_sha256(std::string_view password, std::string_view salt, int iterations) {
  Sha256Digest digest{};
  PGWEIR_ASSERT(PKCS5_PBKDF2_HMAC(password.data(), static_cast<int>(password.size()), bytes_of(salt),
                                  static_cast<int>(salt.size()), iterations, EVP_sha256(),
                                  static_cast<int>(digest.size()), bytes_of(digest)) == 1);
  return digest;
}

std::string md5_hex(std::string_view data) {
  std::array<unsigned char, 16> digest{};
  PGWEIR_ASSERT(EVP_Digest(data.data(), data.size(), digest.data(), nullptr, EVP_md5(), nullptr) == 1);
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex;
  for (const unsigned char byte : digest) {
    hex += kDigits[byte >> 4U];
    hex += kDigits[byte & 15U];
  }
  return hex;
}

std::string random_bytes(std::size_t count) {
  // A call of the generator costs about the same for a few bytes and for many. What was given out is wiped.
  struct Stock {
    std::array<char, 1024> bytes;
    std::size_t left = 0;
  };
  thread_local Stock stock;
  std::string bytes(count, '\0');
  const auto fill = [](char* place, std::size_t size) {
    PGWEIR_ASSERT(RAND_bytes(reinterpret_cast<unsigned char*>(place), static_cast<int>(size)) == 1);
  };
  if (count > stock.bytes.size()) {
    fill(bytes.data(), count);
    return bytes;
  }
  if (stock.left < count) {
    fill(stock.bytes.data(), stock.bytes.size());
    stock.left = stock.bytes.size();
  }
  stock.left -= count;
  std::memcpy(bytes.data(), stock.bytes.data() + stock.left, count);
  OPENSSL_cleanse(stock.bytes.data() + stock.left, count);
  return bytes;
}

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string base64_encode(std::string_view raw) {
  std::string text((raw.size() + 2) / 3 * 4 + 1, '\0');
  const int size =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), bytes_of(raw), static_cast<int>(raw.size()));
  text.resize(static_cast<std::size_t>(size));
  return text;
}

std::string base64_decode(std::string_view text) {
  if (text.empty() || text.size() % 4 != 0) return {};
  std::string raw(text.size() / 4 * 3, '\0');
  if (EVP_DecodeBlock(reinterpret_cast<unsigned char*>(raw.data()), bytes_of(text), static_cast<int>(text.size())) < 0)
    return {};
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  raw.resize(raw.size() - padding);
  // EVP_DecodeBlock is lenient about white space and stray bits: only what encodes back to the same text is accepted.
  return base64_encode(raw) == text ? raw : std::string();
}

std::string saslprep(std::string_view password) {
  std::string input(password);
  // ASCII is what it was before, and the library would leave a copy in memory.
  const auto is_ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
  if (std::all_of(input.begin(), input.end(), is_ascii)) return input;
  char* prepared = nullptr;
  if (stringprep_profile(input.c_str(), &prepared, "SASLprep", static_cast<Stringprep_profile_flags>(0)) !=
      STRINGPREP_OK)
    return input;
  const std::unique_ptr<char, decltype(&std::free)> owner(prepared, &std::free);
  if (!owner || *owner == 0) return input;
  base::wipe(input);
  std::string result(owner.get());
  base::wipe(prepared, result.size());
  return result;
}

}  // namespace pgweir::wire
