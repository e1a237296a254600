// The few cryptographic primitives that authentication needs, from OpenSSL's libcrypto. Keeps no secret longer than its
// caller.
#pragma once
#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace pgweir::wire {

inline constexpr std::size_t kSha256Bytes = 32;
using Sha256Digest = std::array<char, kSha256Bytes>;

[[nodiscard]] inline std::string_view view(const Sha256Digest& digest) { return {digest.data(), digest.size()}; }

[[nodiscard]] Sha256Digest sha256(std::string_view data);
[[nodiscard]] Sha256Digest hmac_sha256(std::string_view key, std::string_view data);
/// Hi() of RFC 5802.
[[nodiscard]] Sha256Digest pbkdf2_sha256(std::string_view password, std::string_view salt, int iterations);
/// Lower-case hexadecimal digits.
[[nodiscard]] std::string md5_hex(std::string_view data);
/// Cryptographically strong; aborts when the system has none to give.
[[nodiscard]] std::string random_bytes(std::size_t count);
/// Takes the same time whatever the contents; false when the sizes differ.
[[nodiscard]] bool equal_in_constant_time(std::string_view a, std::string_view b);

[[nodiscard]] std::string base64_encode(std::string_view raw);
/// Empty when `text` is not canonical base64 (or is itself empty).
[[nodiscard]] std::string base64_decode(std::string_view text);

/// SASLprep (RFC 4013). As in PostgreSQL, a password that cannot be prepared is used as it is.
[[nodiscard]] std::string saslprep(std::string_view password);

}  // namespace pgweir::wire
