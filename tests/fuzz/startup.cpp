// A client's bytes before it has a session: however they arrive, the verdict is the same.
#include "session/flows/startup.h"
#include "fuzz/target.h"

using namespace pgweir;
using session::StartupFlow;

namespace {

std::shared_ptr<const session::ClientAuth> client_auth(auth::Method method) {
  auto made = std::make_shared<session::ClientAuth>();
  made->rules = auth::for_everybody(method);
  made->users.emplace("alice", config::ScramVerifier{16, "salt", std::string(32, 's'), std::string(32, 'k')});
  made->mock_secret = "mock";
  return made;
}

StartupFlow::Stage run(std::string_view bytes, std::size_t piece, auth::Method method) {
  StartupFlow flow(client_auth(method));
  base::ByteQueue out;
  std::string unread;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    unread.append(bytes.substr(at, piece));
    const std::size_t taken = flow.take(unread, out);
    FUZZ_CHECK(taken <= unread.size());
    unread.erase(0, taken);
  }
  // Nobody in the corpus knows a password.
  FUZZ_CHECK(method == auth::Method::trust || flow.stage() != StartupFlow::Stage::authenticated);
  return flow.stage();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes = fuzz::text(data, size);
  for (const auto method :
       {auth::Method::trust, auth::Method::scram_sha_256, auth::Method::md5, auth::Method::password}) {
    const auto whole = run(bytes, bytes.size() + 1, method);
    FUZZ_CHECK(run(bytes, 1, method) == whole);
    FUZZ_CHECK(run(bytes, 7, method) == whole);
  }
  return 0;
}
