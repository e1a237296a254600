// Decoding and encoding of server messages; see backend.h. Servers are believed no more than clients are.
#include "wire/messages/backend.h"

#include <utility>

#include "wire/frame.h"

namespace pgweir::wire {

namespace {

constexpr std::uint32_t kTextTypeOid = 25;

base::Failure malformed(std::string_view what) {
  return base::fail(base::sqlstate::protocol_violation, "malformed " + std::string(what) + " message from the server");
}

std::string_view word(Severity severity) {
  switch (severity) {
    case Severity::error: return "ERROR";
    case Severity::fatal: return "FATAL";
    case Severity::notice: return "NOTICE";
    case Severity::warning: return "WARNING";
  }
  return "ERROR";
}

}  // namespace

base::Result<Authentication> decode_authentication(std::string_view body) {
  BodyReader reader(body);
  Authentication message;
  message.code = static_cast<AuthenticationCode>(reader.uint32());
  message.data = reader.rest();
  if (!reader.ok()) return malformed("authentication");
  return message;
}

base::Result<ParameterStatus> decode_parameter_status(std::string_view body) {
  BodyReader reader(body);
  ParameterStatus message;
  message.name = reader.c_string();
  message.value = reader.c_string();
  if (!reader.at_end()) return malformed("ParameterStatus");
  return message;
}

base::Result<BackendKeyData> decode_backend_key_data(std::string_view body) {
  BodyReader reader(body);
  BackendKeyData message;
  message.process_id = reader.uint32();
  message.secret = reader.rest();
  if (!reader.ok() || message.secret.size() < 4 || message.secret.size() > 256) return malformed("BackendKeyData");
  return message;
}

base::Result<TransactionStatus> decode_ready_for_query(std::string_view body) {
  if (body.size() != 1 || (body[0] != 'I' && body[0] != 'T' && body[0] != 'E')) return malformed("ReadyForQuery");
  return static_cast<TransactionStatus>(body[0]);
}

base::Result<ErrorFields> decode_error(std::string_view body) {
  BodyReader reader(body);
  ErrorFields fields;
  while (reader.ok()) {
    const char code = reader.byte();
    if (code == '\0') break;
    const auto value = reader.c_string();
    switch (code) {
      case 'V': fields.severity = value; break;
      case 'S':
        if (fields.severity.empty()) fields.severity = value;
        break;
      case 'C': fields.sqlstate = value; break;
      case 'M': fields.message = value; break;
      case 'D': fields.detail = value; break;
      case 'H': fields.hint = value; break;
      default: break;
    }
  }
  if (!reader.ok()) return malformed("ErrorResponse");
  return fields;
}

std::vector<std::string_view> sasl_mechanisms(std::string_view data) {
  std::vector<std::string_view> names;
  BodyReader reader(data);
  while (reader.ok()) {
    const auto name = reader.c_string();
    if (name.empty()) break;
    names.push_back(name);
  }
  return names;
}

void encode_error(base::ByteQueue& out, Severity severity, const base::Error& error) {
  const bool is_error = severity == Severity::error || severity == Severity::fatal;
  FrameWriter frame(out, is_error ? backend::kErrorResponse : backend::kNoticeResponse);
  const auto field = [&frame](char code, std::string_view value) {
    if (!value.empty()) frame.byte(code).c_string(value);
  };
  field('S', word(severity));
  field('V', word(severity));
  field('C', error.sqlstate.view());
  field('M', error.message);
  field('D', error.detail);
  field('H', error.hint);
  frame.byte('\0');
}

std::string with_hint(const Frame& error, std::string_view hint) {
  const auto fields = decode_error(error.body);
  if (!fields || !fields->hint.empty() || hint.empty() || error.body.empty()) return std::string(raw(error));
  base::ByteQueue out;
  FrameWriter(out, error.type)
      .bytes(error.body.substr(0, error.body.size() - 1))  // without the zero that ends the list of fields
      .byte('H')
      .c_string(hint)
      .byte('\0');
  return std::string(out.view());
}

void encode_authentication(base::ByteQueue& out, AuthenticationCode code, std::string_view data) {
  FrameWriter(out, backend::kAuthentication).uint32(static_cast<std::uint32_t>(code)).bytes(data);
}

void encode_parameter_status(base::ByteQueue& out, std::string_view name, std::string_view value) {
  FrameWriter(out, backend::kParameterStatus).c_string(name).c_string(value);
}

void encode_backend_key_data(base::ByteQueue& out, std::uint32_t process_id, std::string_view secret) {
  FrameWriter(out, backend::kBackendKeyData).uint32(process_id).bytes(secret);
}

void encode_ready_for_query(base::ByteQueue& out, TransactionStatus status) {
  FrameWriter(out, backend::kReadyForQuery).byte(static_cast<char>(status));
}

void encode_negotiate_protocol_version(base::ByteQueue& out, std::uint32_t version,
                                       std::span<const std::string> unknown_options) {
  FrameWriter frame(out, backend::kNegotiateProtocolVersion);
  frame.uint32(version).uint32(static_cast<std::uint32_t>(unknown_options.size()));
  for (const auto& name : unknown_options) frame.c_string(name);
}

void encode_command_complete(base::ByteQueue& out, std::string_view tag) {
  FrameWriter(out, backend::kCommandComplete).c_string(tag);
}

void encode_bare_reply(base::ByteQueue& out, char type) { const FrameWriter frame(out, type); }

void encode_text_row_description(base::ByteQueue& out, std::span<const std::string_view> names,
                                 std::span<const std::uint16_t> formats) {
  FrameWriter frame(out, backend::kRowDescription);
  frame.uint16(static_cast<std::uint16_t>(names.size()));
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::uint16_t format = formats.empty() ? 0 : formats[formats.size() == 1 ? 0 : i];
    frame.c_string(names[i]).uint32(0).uint16(0).uint32(kTextTypeOid).uint16(0xffff).uint32(0xffffffff).uint16(format);
  }
}

void encode_parameter_description(base::ByteQueue& out, std::span<const std::uint32_t> types) {
  FrameWriter frame(out, backend::kParameterDescription);
  frame.uint16(static_cast<std::uint16_t>(types.size()));
  for (const std::uint32_t type : types) frame.uint32(type);
}

void encode_text_row(base::ByteQueue& out, std::span<const std::string> values) {
  FrameWriter frame(out, backend::kDataRow);
  frame.uint16(static_cast<std::uint16_t>(values.size()));
  for (const auto& value : values) frame.uint32(static_cast<std::uint32_t>(value.size())).bytes(value);
}

}  // namespace pgweir::wire
