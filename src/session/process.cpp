// What is random in a process; see process.h.
#include "session/process.h"

#include <cstring>

#include "wire/crypto.h"

namespace pgweir::session {

std::uint64_t Process::random_seed() {
  const std::string bytes = wire::random_bytes(sizeof(std::uint64_t));
  std::uint64_t seed = 0;
  std::memcpy(&seed, bytes.data(), sizeof seed);
  return seed;
}

}  // namespace pgweir::session
