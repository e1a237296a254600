// Primitives against published vectors, and base64 in its one canonical form.
#include "wire/crypto.h"

#include <random>
#include <string>

#include "doctest/doctest.h"

using namespace pgweir::wire;

namespace {

std::string hex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += kDigits[byte >> 4U];
    out += kDigits[byte & 15U];
  }
  return out;
}

}  // namespace

TEST_CASE("md5 (RFC 1321)") {
  CHECK(md5_hex("") == "d41d8cd98f00b204e9800998ecf8427e");
  CHECK(md5_hex("abc") == "900150983cd24fb0d6963f7d28e17f72");
}

TEST_CASE("sha256 (FIPS 180), hmac (RFC 4231), pbkdf2 (RFC 7914)") {
  CHECK(hex(view(sha256("abc"))) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(hex(view(sha256(""))) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(hex(view(hmac_sha256("Jefe", "what do ya want for nothing?"))) ==
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  CHECK(hex(view(pbkdf2_sha256("passwd", "salt", 1))) ==
        "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc");
}

TEST_CASE("base64 (RFC 4648)") {
  const std::pair<std::string_view, std::string_view> vectors[] = {{"f", "Zg=="},         {"fo", "Zm8="},
                                                                   {"foo", "Zm9v"},       {"foob", "Zm9vYg=="},
                                                                   {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}};
  for (const auto& [raw, text] : vectors) {
    CHECK(base64_encode(raw) == text);
    CHECK(base64_decode(text) == raw);
  }
  CHECK(base64_encode("").empty());
  std::mt19937 random(7677);
  for (std::size_t size = 1; size < 100; ++size) {
    std::string raw(size, '\0');
    for (char& c : raw) c = static_cast<char>(random() & 0xffU);
    CHECK(base64_decode(base64_encode(raw)) == raw);
  }
}

TEST_CASE("base64 that is not canonical is refused") {
  for (const std::string_view text : {"", "Z", "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Zm9v\n", " Zm9v", "Zm9v    ",
                                      "Z=g=", "====", "Zg==Zg==", "Zm9-", "Zm9_", "Zm9\0"})
    CHECK(base64_decode(text).empty());
  CHECK(base64_decode(std::string("Zm9\0", 4)).empty());
}

TEST_CASE("comparison in constant time is a comparison") {
  CHECK(equal_in_constant_time("", ""));
  CHECK(equal_in_constant_time("abc", "abc"));
  CHECK_FALSE(equal_in_constant_time("abc", "abd"));
  CHECK_FALSE(equal_in_constant_time("abc", "abcd"));
}

TEST_CASE("random bytes are of the size asked for, and differ") {
  CHECK(random_bytes(0).empty());
  CHECK(random_bytes(33).size() == 33);
  CHECK(random_bytes(16) != random_bytes(16));
}

TEST_CASE("SASLprep (RFC 4013, section 3)") {
  CHECK(saslprep("I\u00ADX") == "IX");        // soft hyphen: mapped to nothing
  CHECK(saslprep("user") == "user");          // unchanged
  CHECK(saslprep("USER") == "USER");          // case is kept
  CHECK(saslprep("\u00AA") == "a");           // NFKC
  CHECK(saslprep("\u2168") == "IX");          // NFKC
  CHECK(saslprep("a\u00A0b") == "a b");       // other spaces become one
  CHECK(saslprep("\x07") == "\x07");          // prohibited: used as it is
  CHECK(saslprep("\xff\xfe") == "\xff\xfe");  // not UTF-8: likewise
  CHECK(saslprep("").empty());
}
