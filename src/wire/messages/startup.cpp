// Decoding and encoding of start-up packets; see startup.h. Everything in them is untrusted.
#include "wire/messages/startup.h"

#include <algorithm>

#include "wire/frame.h"

namespace pgweir::wire {

namespace {

using base::fail;
namespace sqlstate = base::sqlstate;

base::Result<StartupPacket> decode_cancel(BodyReader reader) {
  CancelRequest request;
  request.process_id = reader.uint32();
  request.secret = std::string(reader.rest());
  if (!reader.ok() || request.secret.empty() || request.secret.size() > 256)
    return fail(sqlstate::protocol_violation, "invalid length of cancel request packet");
  return StartupPacket(std::move(request));
}

void take_parameter(StartupMessage& message, std::string_view name, std::string_view value) {
  if (name == "user")
    message.user = value.substr(0, kLongestName);
  else if (name == "database")
    message.database = value.substr(0, kLongestName);
  else if (name == "replication")
    message.replication = value;
  else if (name.starts_with("_pq_."))
    message.unknown_protocol_options.emplace_back(name);
  else
    message.parameters.emplace_back(name, value);
}

base::Result<StartupPacket> decode_startup_message(BodyReader reader, std::uint32_t version) {
  StartupMessage message;
  message.minor_version = static_cast<std::uint16_t>(version & 0xffffU);
  while (reader.ok()) {
    const auto name = reader.c_string();
    if (name.empty()) break;
    const auto value = reader.c_string();
    if (reader.ok()) take_parameter(message, name, value);
  }
  if (!reader.at_end())
    return fail(sqlstate::protocol_violation, "invalid startup packet layout: expected terminator as last byte");
  if (message.user.empty())
    return fail(sqlstate::invalid_authorization_specification, "no PostgreSQL user name specified in startup packet");
  if (message.database.empty()) message.database = message.user;
  return StartupPacket(std::move(message));
}

}  // namespace

std::optional<Replication> replication_of(std::string_view value) {
  if (value.empty()) return Replication::no;
  if (value == "database") return Replication::database;
  std::string lower(value);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  // Any beginning of a word that only one of them has.
  const auto begins = [&](std::string_view word, std::size_t at_least) {
    return lower.size() >= at_least && word.starts_with(lower);
  };
  if (begins("true", 1) || begins("yes", 1) || begins("on", 2) || lower == "1") return Replication::physical;
  if (begins("false", 1) || begins("no", 1) || begins("off", 2) || lower == "0") return Replication::no;
  return std::nullopt;
}

base::Result<StartupPacket> decode_startup(std::string_view body, std::uint16_t newest_minor) {
  BodyReader reader(body);
  const std::uint32_t code = reader.uint32();
  if (!reader.ok()) return fail(sqlstate::protocol_violation, "invalid length of startup packet");
  if (code == kSslRequestCode || code == kGssEncRequestCode) {
    if (!reader.at_end()) return fail(sqlstate::protocol_violation, "invalid length of startup packet");
    return code == kSslRequestCode ? StartupPacket(SslRequest{}) : StartupPacket(GssEncRequest{});
  }
  if (code == kCancelRequestCode) return decode_cancel(reader);
  if ((code >> 16U) != 3)
    return fail(sqlstate::feature_not_supported, "unsupported frontend protocol " + std::to_string(code >> 16U) + "." +
                                                     std::to_string(code & 0xffffU) + ": server supports 3.0 to 3." +
                                                     std::to_string(newest_minor));
  return decode_startup_message(reader, code);
}

void encode_ssl_request(base::ByteQueue& out) { FrameWriter(out, 0).uint32(kSslRequestCode); }

void encode_startup(base::ByteQueue& out, std::string_view user, std::string_view database,
                    const std::vector<std::pair<std::string, std::string>>& parameters) {
  FrameWriter frame(out, 0);
  frame.uint32(kProtocol30);
  frame.c_string("user").c_string(user).c_string("database").c_string(database);
  for (const auto& [name, value] : parameters) frame.c_string(name).c_string(value);
  frame.byte('\0');
}

void encode_cancel_request(base::ByteQueue& out, std::uint32_t process_id, std::string_view secret) {
  FrameWriter(out, 0).uint32(kCancelRequestCode).uint32(process_id).bytes(secret);
}

}  // namespace pgweir::wire
