// A client's messages: framing, then each body through every decoder, whatever its type says.
#include "wire/messages/frontend.h"
#include "fuzz/target.h"
#include "wire/frame.h"

using namespace pgweir;

namespace {

void decode_all(std::string_view body) {
  using fuzz::within;
  if (const auto message = wire::decode_query(body)) FUZZ_CHECK(within(message->text, body));
  if (const auto message = wire::decode_parse(body)) {
    FUZZ_CHECK(within(message->name, body) && within(message->text, body) && within(message->types, body));
    FUZZ_CHECK(message->types.size() >= 2);
  }
  if (const auto message = wire::decode_bind(body))
    FUZZ_CHECK(within(message->portal, body) && within(message->statement, body) && within(message->rest, body));
  if (const auto message = wire::decode_execute(body)) FUZZ_CHECK(within(message->portal, body));
  if (const auto message = wire::decode_target(body)) FUZZ_CHECK(within(message->name, body));
  if (const auto message = wire::decode_password(body)) FUZZ_CHECK(within(*message, body));
  if (const auto message = wire::decode_sasl_initial_response(body))
    FUZZ_CHECK(within(message->mechanism, body) && within(message->data, body));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest = fuzz::text(data, size);
  wire::Frame frame;
  while (wire::read_frame(rest, frame) == wire::FrameStatus::ok) {
    FUZZ_CHECK(frame.bytes_here() <= rest.size());
    FUZZ_CHECK(frame.body.size() <= frame.body_size);
    FUZZ_CHECK(fuzz::within(frame.body, rest));
    decode_all(frame.body);
    rest.remove_prefix(frame.bytes_here());
  }
  return 0;
}
