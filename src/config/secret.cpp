// Forms of secrets: RFC 5803 for verifiers; PostgreSQL's get_password_type (libpq/crypt.c) for telling them apart.
#include "config/secret.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "config/units.h"

namespace pgweir::config {
namespace {

constexpr std::string_view kScram = "SCRAM-SHA-256$";
constexpr std::string_view kMd5 = "md5";
constexpr std::size_t kMd5Size = 35;
constexpr std::size_t kKeyBytes = 32;  // SHA-256

// RFC 4648, section 4, with padding; nothing for any other text.
std::optional<std::string> decode_base64(std::string_view text) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  if (text.size() % 4 != 0) return std::nullopt;
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  std::string out;
  std::uint32_t bits = 0;
  unsigned count = 0;
  for (const char c : text.substr(0, text.size() - padding)) {
    const std::size_t digit = kAlphabet.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    bits = bits << 6 | static_cast<std::uint32_t>(digit);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out += static_cast<char>(bits >> count & 0xff);
      bits &= (1U << count) - 1;
    }
  }
  if (bits != 0) return std::nullopt;  // bits that belong to no byte
  return out;
}

base::Failure bad_verifier(std::string message) {
  return base::fail(base::sqlstate::config_file_error, std::move(message));
}

// Takes the text before `separator` off the front of `rest`; nothing when there is no separator.
std::optional<std::string_view> take_until(std::string_view& rest, char separator) {
  const std::size_t end = rest.find(separator);
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view taken = rest.substr(0, end);
  rest.remove_prefix(end + 1);
  return taken;
}

bool is_md5(std::string_view text) {
  return text.size() == kMd5Size && text.starts_with(kMd5) &&
         text.find_first_not_of("0123456789abcdef", kMd5.size()) == std::string_view::npos;
}

}  // namespace

base::Result<ScramVerifier> parse_verifier(std::string_view text) {
  if (!text.starts_with(kScram)) return bad_verifier("the verifier does not begin with SCRAM-SHA-256$");
  text.remove_prefix(kScram.size());
  const auto iterations = take_until(text, ':');
  const auto salt = iterations ? take_until(text, '$') : std::nullopt;
  const auto stored_key = salt ? take_until(text, ':') : std::nullopt;
  if (!stored_key)
    return bad_verifier("the verifier is not of the form SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>");
  const auto count = parse_whole(*iterations);
  if (!count || *count < 1 || *count > 2'000'000'000)
    return bad_verifier("the verifier's number of iterations is not a whole number from 1 to 2000000000");
  const auto decoded_salt = decode_base64(*salt);
  if (!decoded_salt || decoded_salt->empty()) return bad_verifier("the verifier's salt is not valid base64");
  const auto decoded_stored = decode_base64(*stored_key);
  if (!decoded_stored || decoded_stored->size() != kKeyBytes)
    return bad_verifier("the verifier's StoredKey is not the base64 of 32 bytes");
  const auto decoded_server = decode_base64(text);
  if (!decoded_server || decoded_server->size() != kKeyBytes)
    return bad_verifier("the verifier's ServerKey is not the base64 of 32 bytes");
  return ScramVerifier{static_cast<int>(*count), *decoded_salt, *decoded_stored, *decoded_server};
}

base::Result<Secret> parse_secret(std::string_view text) {
  if (text.empty()) return bad_verifier("the secret is empty");
  if (text.starts_with(kScram)) {
    auto verifier = parse_verifier(text);
    if (!verifier) return base::Failure(verifier.error());
    return Secret(std::move(*verifier));
  }
  if (is_md5(text)) return Secret(Md5Hash{std::string(text)});
  return Secret(PlainPassword{std::string(text), {}});
}

}  // namespace pgweir::config
