// A verifier for each password; see add_verifiers.h.
#include "wire/add_verifiers.h"

#include <variant>

#include "wire/scram.h"

namespace pgweir::wire {

void add_verifier(std::string_view user, config::Secret& secret, const config::Secret* before,
                  std::string_view process_secret) {
  auto* plain = std::get_if<config::PlainPassword>(&secret);
  if (!plain) return;
  const auto* old = before ? std::get_if<config::PlainPassword>(before) : nullptr;
  if (old && old->text == plain->text)
    plain->verifier = old->verifier;
  else  // the salt of the mock verifier: it does not tell that the user exists
    plain->verifier = make_verifier(plain->text, mock_verifier(user, process_secret).salt, kDefaultIterations);
}

void add_verifiers(config::Users& users, const config::Users& before, std::string_view process_secret) {
  for (auto& [user, secret] : users) {
    const auto found = before.find(user);
    add_verifier(user, secret, found == before.end() ? nullptr : &found->second, process_secret);
  }
}

}  // namespace pgweir::wire
