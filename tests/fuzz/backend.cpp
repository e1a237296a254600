// A server's messages: every decoder on every body, and the login that they may be part of.
#include "wire/messages/backend.h"
#include "fuzz/target.h"
#include "pool/server_login.h"
#include "wire/frame.h"

using namespace pgweir;

namespace {

void decode_all(std::string_view body) {
  using fuzz::within;
  if (const auto message = wire::decode_authentication(body)) {
    FUZZ_CHECK(within(message->data, body));
    for (const auto name : wire::sasl_mechanisms(message->data)) FUZZ_CHECK(within(name, body) && !name.empty());
  }
  if (const auto message = wire::decode_parameter_status(body))
    FUZZ_CHECK(within(message->name, body) && within(message->value, body));
  if (const auto message = wire::decode_backend_key_data(body)) FUZZ_CHECK(message->secret.size() >= 4);
  if (const auto message = wire::decode_error(body))
    FUZZ_CHECK(within(message->severity, body) && within(message->sqlstate, body) && within(message->message, body) &&
               within(message->detail, body) && within(message->hint, body));
  if (wire::decode_ready_for_query(body)) FUZZ_CHECK(body.size() == 1);
}

// True when the server was believed.
bool log_in(std::string_view bytes, pool::ServerCredentials credentials, std::string end_point) {
  pool::ServerLogin login("alice", std::move(credentials));
  login.bind_to(std::move(end_point));
  base::ByteQueue out;
  wire::Frame frame;
  while (wire::read_frame(bytes, frame) == wire::FrameStatus::ok && frame.complete()) {
    const auto step = login.take(frame, out);
    if (!step) return false;
    if (*step == pool::ServerLogin::Step::done) return true;
    bytes.remove_prefix(frame.bytes_here());
  }
  return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes = fuzz::text(data, size);
  std::string_view rest = bytes;
  wire::Frame frame;
  while (wire::read_frame(rest, frame) == wire::FrameStatus::ok) {
    decode_all(frame.body);
    rest.remove_prefix(frame.bytes_here());
  }
  pool::ServerCredentials password, keys;
  password.password = base::SecretText("secret");
  keys.keys = wire::ScramKeys{16, "salt", std::string(32, 'c'), std::string(32, 's')};
  for (const char* end_point : {"", "hash"}) {
    (void)log_in(bytes, password, end_point);
    (void)log_in(bytes, keys, end_point);
    (void)log_in(bytes, {}, end_point);
  }
  return 0;
}
