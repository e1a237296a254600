// Both sides of SCRAM against anything: the first line of the input is the peer's first message, the rest its last.
#include <string>

#include "fuzz/target.h"
#include "wire/scram.h"

using namespace pgweir;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes = fuzz::text(data, size);
  const auto line = bytes.find('\n');
  const std::string_view first = bytes.substr(0, line);
  const std::string_view last = line == std::string_view::npos ? std::string_view{} : bytes.substr(line + 1);

  for (const bool known : {true, false})
    for (const std::string end_point : {"", "hash of a certificate"})
      for (const auto mechanism : {wire::kScramSha256, wire::kScramSha256Plus}) {
        wire::ScramServer server({16, "salt", std::string(32, 's'), std::string(32, 'k')}, known, "server", end_point);
        const auto answer = server.first(first, mechanism);
        if (!answer) continue;
        FUZZ_CHECK(answer->starts_with("r="));
        // Who is offered PLUS either takes it, or says that he cannot.
        FUZZ_CHECK(end_point.empty() || first.front() != 'y');
        FUZZ_CHECK((mechanism == wire::kScramSha256Plus) == first.starts_with("p=tls-server-end-point,"));
        FUZZ_CHECK(!server.final(last).has_value());  // no password belongs to that verifier
        FUZZ_CHECK(server.take_keys().client_key.empty());
      }
  // A large count of iterations is allowed and slow.
  if (first.find("i=") != std::string_view::npos && first.size() - first.find("i=") > 5) return 0;
  wire::ScramClient client("secret", "client");
  FUZZ_CHECK(!client.verify(last).has_value());
  const auto proof = client.final(first);
  if (proof) FUZZ_CHECK(proof->find(",p=") != std::string::npos);
  FUZZ_CHECK(!client.verify(last).has_value());
  wire::ScramClient onward(wire::ScramKeys{16, "salt", std::string(32, 'c'), std::string(32, 's')}, "client",
                           {"hash of a certificate", true});
  const auto passed_on = onward.final(first);
  if (passed_on) FUZZ_CHECK(first.find("s=c2FsdA==") != std::string_view::npos);
  FUZZ_CHECK(!onward.verify(last).has_value());
  return 0;
}
