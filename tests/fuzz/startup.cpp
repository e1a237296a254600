// A client's bytes before it has a session: however they arrive, the verdict is the same.
#include "session/flows/startup.h"
#include "fuzz/target.h"

using namespace pgweir;
using session::StartupFlow;

namespace {

std::shared_ptr<const session::ClientAuth> client_auth(auth::Method method, bool limits_failures) {
  auto made = std::make_shared<session::ClientAuth>();
  made->rules = auth::for_everybody(method);
  made->users.emplace("alice", config::ScramVerifier{16, "salt", std::string(32, 's'), std::string(32, 'k')});
  made->mock_secret = "mock";
  made->limits_failures = limits_failures;
  return made;
}

StartupFlow::Stage run(std::string_view bytes, std::size_t piece, auth::Method method, bool limits_failures,
                       const std::string& certificate_hash = {}) {
  StartupFlow flow(client_auth(method, limits_failures));
  auth::TlsFacts facts;
  facts.tls = !certificate_hash.empty();
  facts.server_certificate_hash = certificate_hash;
  if (facts.tls) flow.set_tls(facts);
  base::ByteQueue out;
  std::string unread;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    unread.append(bytes.substr(at, piece));
    const std::size_t taken = flow.take(unread, out);
    FUZZ_CHECK(taken <= unread.size());
    unread.erase(0, taken);
    if (flow.question() == StartupFlow::Question::turn) flow.answer_turn(true, out);
  }
  FUZZ_CHECK(!flow.withheld() || (limits_failures && flow.stage() == StartupFlow::Stage::failed));
  // Nobody in the corpus knows a password.
  FUZZ_CHECK(method == auth::Method::trust || flow.stage() != StartupFlow::Stage::authenticated);
  return flow.stage();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes = fuzz::text(data, size);
  for (const auto method :
       {auth::Method::trust, auth::Method::scram_sha_256, auth::Method::md5, auth::Method::password}) {
    const auto whole = run(bytes, bytes.size() + 1, method, false);
    FUZZ_CHECK(run(bytes, 1, method, false) == whole);
    FUZZ_CHECK(run(bytes, 7, method, false) == whole);
    FUZZ_CHECK(run(bytes, bytes.size() + 1, method, true) == whole);
    const auto encrypted = run(bytes, bytes.size() + 1, method, false, "hash");
    FUZZ_CHECK(run(bytes, 1, method, true, "hash") == encrypted);
  }
  return 0;
}
