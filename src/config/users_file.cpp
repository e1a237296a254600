// Format: PgBouncer's documentation, "Authentication file format": two fields in double quotes, a double quote inside
// is doubled, the rest of the line is ignored, a line that begins with ; is a comment (# too, here). Unlike there, a
// line that cannot be read is an error and not the silent end of the file.
#include "config/users_file.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

#include "config/text_file.h"
#include "config/units.h"
#include "fmt/format.h"

namespace pgweir::config {
namespace {

constexpr std::string_view kScram = "SCRAM-SHA-256$";
constexpr std::size_t kKeyBytes = 32;  // SHA-256
constexpr std::string_view kHowToGetOne =
    "; SELECT rolpassword FROM pg_authid WHERE rolname = '...' shows the SCRAM verifier of a user whose password was "
    "set "
    "with password_encryption = 'scram-sha-256'";

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

// Takes a field in double quotes off the front of `rest`; nothing when it does not begin or end with one.
std::optional<std::string> take_quoted(std::string_view& rest) {
  if (!rest.starts_with('"')) return std::nullopt;
  std::string out;
  for (std::size_t i = 1; i < rest.size(); ++i) {
    if (rest[i] != '"') {
      out += rest[i];
    } else if (i + 1 < rest.size() && rest[i + 1] == '"') {
      out += rest[++i];
    } else {
      rest.remove_prefix(i + 1);
      return out;
    }
  }
  return std::nullopt;
}

void skip_blanks(std::string_view& rest) { rest.remove_prefix(std::min(rest.find_first_not_of(" \t\r"), rest.size())); }

// One line that is no comment; the reason when it cannot be taken.
std::string add_user(std::string_view line, Users& users) {
  const auto user = take_quoted(line);
  if (!user) return "does not begin with a user name in double quotes; allowed is \"user\" \"SCRAM-SHA-256$...\"";
  if (user->empty()) return "the user name is empty";
  skip_blanks(line);
  const auto secret = take_quoted(line);
  if (!secret) return fmt::format("user {} has no secret in double quotes", in_quotes(*user));
  auto parsed = parse_secret(*secret);
  if (!parsed) return fmt::format("user {}: {}", in_quotes(*user), parsed.error().message);
  if (!users.emplace(*user, std::move(*parsed)).second)
    return fmt::format("user {} was already given further up", in_quotes(*user));
  return {};
}

}  // namespace

base::Result<ScramVerifier> parse_verifier(std::string_view text) {
  if (text.empty()) return bad_verifier(fmt::format("the secret is empty{}", kHowToGetOne));
  if (!text.starts_with(kScram))
    return bad_verifier(fmt::format(
        "the secret is neither a SCRAM verifier (SCRAM-SHA-256$...) nor an MD5 hash (md5...){}", kHowToGetOne));
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
  // common/md5.c: MD5_PASSWD_LEN, MD5_PASSWD_CHARSET.
  constexpr std::size_t kMd5Bytes = 35;
  if (text.starts_with("md5") && text.size() == kMd5Bytes &&
      text.substr(3).find_first_not_of("0123456789abcdef") == std::string_view::npos)
    return Secret(Md5Hash{std::string(text)});
  auto verifier = parse_verifier(text);
  if (!verifier) return base::Failure(verifier.error());
  return Secret(std::move(*verifier));
}

Checked<Users> parse_users(std::string_view text, const std::string& file_name) {
  Users users;
  Problems problems;
  for (int number = 1; !text.empty(); ++number) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    skip_blanks(line);
    if (line.empty() || line.starts_with(';') || line.starts_with('#')) continue;
    if (std::string reason = add_user(line, users); !reason.empty())
      problems.push_back({file_name, number, {}, std::move(reason)});
  }
  if (!problems.empty()) return tl::unexpected(std::move(problems));
  return users;
}

Checked<Users> load_users_file(const std::string& path) {
  const auto text = read_text_file(path, FileAccess::anyone);
  if (!text) return tl::unexpected(Problems{{path, 0, {}, text.error().message}});
  return parse_users(*text, path);
}

}  // namespace pgweir::config
