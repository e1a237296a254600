// Secrets: copied and moved like texts, gone from memory when they end.
#include "base/secret_text.h"

#include <string>
#include <type_traits>
#include <utility>

#include "doctest/doctest.h"

using pgweir::base::SecretText;

TEST_CASE("a secret is copied, moved and compared like a text") {
  const SecretText one("hunter2");
  SecretText two = one;
  CHECK(two == one);
  CHECK(two.reveal() == "hunter2");
  SecretText three = std::move(two);
  CHECK(three == one);
  CHECK(two.empty());  // NOLINT(bugprone-use-after-move)
  CHECK_FALSE(three == SecretText("hunter3"));
  CHECK_FALSE(three == SecretText("hunter"));
  three = SecretText("another");
  CHECK(three.reveal() == "another");
  three.clear();
  CHECK(three.empty());
  CHECK(three == SecretText());
}

TEST_CASE("a secret does not turn into a text by itself") {
  CHECK_FALSE(std::is_convertible_v<SecretText, std::string>);
  CHECK_FALSE(std::is_convertible_v<SecretText, std::string_view>);
  CHECK_FALSE(std::is_convertible_v<std::string, SecretText>);
}

TEST_CASE("wiping clears all that the memory of a text has held") {
  for (const std::size_t size : {std::size_t{7}, std::size_t{15}, std::size_t{100}}) {
    std::string text(size, 'x');
    char* const memory = text.data();
    text.resize(size / 2);
    pgweir::base::wipe(text);
    CHECK(text.empty());
    for (std::size_t i = 0; i < size; ++i) CHECK(memory[i] == 0);
  }
}
