// Decoding and encoding of client messages; see frontend.h.
#include "wire/messages/frontend.h"

#include "wire/frame.h"

namespace pgweir::wire {

namespace {

base::Failure malformed() { return base::fail(base::sqlstate::protocol_violation, "invalid message format"); }

/// The decoded message if the body held exactly it.
template <class T>
base::Result<T> whole(const BodyReader& reader, T message) {
  if (!reader.at_end()) return malformed();
  return message;
}

}  // namespace

bool frontend::known(char type) noexcept {
  return type != '\0' && std::string_view("QPBDECHSFdcfX").find(type) != std::string_view::npos;
}

std::size_t frontend::largest_body(char type) noexcept {
  constexpr std::size_t kLarge = 0x3fffffff - 1, kSmall = 10000, kLength = 4;
  const bool may_be_large = std::string_view("QFPBd").find(type) != std::string_view::npos;
  return (may_be_large ? kLarge : kSmall) - kLength;
}

base::Result<Query> decode_query(std::string_view body) {
  BodyReader reader(body);
  const Query message{reader.c_string()};
  return whole(reader, message);
}

base::Result<Parse> decode_parse(std::string_view body) {
  BodyReader reader(body);
  Parse message;
  message.name = reader.c_string();
  message.text = reader.c_string();
  message.types = reader.rest();
  const std::size_t count = reader.uint16();
  reader.bytes(count * 4);
  return whole(reader, message);
}

base::Result<Bind> decode_bind(std::string_view body) {
  BodyReader reader(body);
  Bind message;
  message.portal = reader.c_string();
  message.statement = reader.c_string();
  message.rest = reader.rest();
  if (!reader.ok()) return malformed();
  return message;
}

base::Result<Execute> decode_execute(std::string_view body) {
  BodyReader reader(body);
  Execute message;
  message.portal = reader.c_string();
  message.row_limit = reader.uint32();
  return whole(reader, message);
}

base::Result<Target> decode_target(std::string_view body) {
  BodyReader reader(body);
  Target message;
  message.what = reader.byte();
  message.name = reader.c_string();
  return whole(reader, message);
}

base::Result<std::string_view> decode_password(std::string_view body) {
  BodyReader reader(body);
  const std::string_view password = reader.c_string();
  return whole(reader, password);
}

base::Result<SaslInitialResponse> decode_sasl_initial_response(std::string_view body) {
  BodyReader reader(body);
  SaslInitialResponse message;
  message.mechanism = reader.c_string();
  const std::int32_t size = reader.int32();
  if (size >= 0) message.data = reader.bytes(static_cast<std::size_t>(size));
  return whole(reader, message);
}

void encode_query(base::ByteQueue& out, std::string_view text) { FrameWriter(out, frontend::kQuery).c_string(text); }

void encode_parse(base::ByteQueue& out, std::string_view name, std::string_view text, std::string_view types) {
  FrameWriter(out, frontend::kParse).c_string(name).c_string(text).bytes(types);
}

void encode_bind(base::ByteQueue& out, std::string_view portal, std::string_view statement) {
  FrameWriter(out, frontend::kBind).c_string(portal).c_string(statement).uint16(0).uint16(0).uint16(0);
}

void encode_execute(base::ByteQueue& out, std::string_view portal) {
  FrameWriter(out, frontend::kExecute).c_string(portal).uint32(0);
}

void encode_close(base::ByteQueue& out, char what, std::string_view name) {
  FrameWriter(out, frontend::kClose).byte(what).c_string(name);
}

void encode_bare(base::ByteQueue& out, char type) { const FrameWriter frame(out, type); }

void encode_password(base::ByteQueue& out, std::string_view password) {
  FrameWriter(out, frontend::kPassword).c_string(password);
}

void encode_sasl_initial_response(base::ByteQueue& out, std::string_view mechanism, std::string_view data) {
  FrameWriter(out, frontend::kPassword).c_string(mechanism).uint32(static_cast<std::uint32_t>(data.size())).bytes(data);
}

void encode_sasl_response(base::ByteQueue& out, std::string_view data) {
  FrameWriter(out, frontend::kPassword).bytes(data);
}

}  // namespace pgweir::wire
