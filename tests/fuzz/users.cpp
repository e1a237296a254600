// The users file and the servers' password file: text of any content. No secret comes back in a problem.
#include <string>

#include "config/password_file.h"
#include "config/users_file.h"
#include "fuzz/target.h"

using namespace pgweir;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = fuzz::text(data, size);
  const auto users = config::parse_users(text, "users.txt");
  if (!users) {
    FUZZ_CHECK(!users.error().empty());
    for (const auto& problem : users.error()) FUZZ_CHECK(problem.text().starts_with("users.txt"));
  }
  const auto passwords = config::parse_passwords(text, "passwords");
  if (passwords) {
    const auto found = passwords->find("localhost", 5432, "d", "u");
    if (found) FUZZ_CHECK(passwords->size() > 0);
    (void)passwords->find(text.substr(0, 20), 1, text.substr(0, 3), "u");
  } else {
    for (const auto& problem : passwords.error()) FUZZ_CHECK(problem.text().starts_with("passwords"));
  }
  (void)config::parse_verifier(text);
  return 0;
}
