// Secrets made of passwords: the verifiers of those that stand in a file as they are.
#pragma once
#include <string_view>

#include "config/secret.h"

namespace pgweir::wire {

/// Makes the verifiers of the passwords among `users`, so that SCRAM is possible with them. Takes them over from
/// `before` where the password is the same, because each costs a millisecond or two. `process_secret`: as for
/// mock_verifier.
void add_verifiers(config::Users& users, const config::Users& before, std::string_view process_secret);
/// The same for one; `before` may be null.
void add_verifier(std::string_view user, config::Secret& secret, const config::Secret* before,
                  std::string_view process_secret);

}  // namespace pgweir::wire
