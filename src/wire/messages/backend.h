// Messages that servers send, as far as pgweir reads them or says them itself.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_queue.h"
#include "base/result.h"
#include "wire/frame.h"

namespace pgweir::wire {

namespace backend {
inline constexpr char kAuthentication = 'R';
inline constexpr char kParameterStatus = 'S';
inline constexpr char kBackendKeyData = 'K';
inline constexpr char kReadyForQuery = 'Z';
inline constexpr char kErrorResponse = 'E';
inline constexpr char kNoticeResponse = 'N';
inline constexpr char kNotification = 'A';
inline constexpr char kNegotiateProtocolVersion = 'v';
inline constexpr char kParseComplete = '1';
inline constexpr char kBindComplete = '2';
inline constexpr char kCloseComplete = '3';
inline constexpr char kParameterDescription = 't';
inline constexpr char kRowDescription = 'T';
inline constexpr char kNoData = 'n';
inline constexpr char kDataRow = 'D';
inline constexpr char kCommandComplete = 'C';
inline constexpr char kEmptyQuery = 'I';
inline constexpr char kPortalSuspended = 's';
inline constexpr char kCopyIn = 'G';
inline constexpr char kCopyOut = 'H';
inline constexpr char kCopyBoth = 'W';
inline constexpr char kCopyData = 'd';
inline constexpr char kCopyDone = 'c';
inline constexpr char kFunctionCallResponse = 'V';
/// May come at any time and answers nothing.
[[nodiscard]] constexpr bool is_asynchronous(char type) noexcept {
  return type == kNoticeResponse || type == kParameterStatus || type == kNotification;
}
}  // namespace backend

enum class TransactionStatus : char { idle = 'I', in_transaction = 'T', failed = 'E' };

enum class AuthenticationCode : std::uint32_t {
  ok = 0,
  kerberos_v5 = 2,
  cleartext_password = 3,
  md5_password = 5,
  gss = 7,
  gss_continue = 8,
  sspi = 9,
  sasl = 10,
  sasl_continue = 11,
  sasl_final = 12,
};
struct Authentication {
  AuthenticationCode code = AuthenticationCode::ok;
  std::string_view data;
};
struct ParameterStatus {
  std::string_view name, value;
};
struct BackendKeyData {
  std::uint32_t process_id = 0;
  std::string_view secret;
};
/// The fields that pgweir looks at; others are skipped.
struct ErrorFields {
  std::string_view severity, sqlstate, message, detail, hint;
};

[[nodiscard]] base::Result<Authentication> decode_authentication(std::string_view body);
[[nodiscard]] base::Result<ParameterStatus> decode_parameter_status(std::string_view body);
[[nodiscard]] base::Result<BackendKeyData> decode_backend_key_data(std::string_view body);
[[nodiscard]] base::Result<TransactionStatus> decode_ready_for_query(std::string_view body);
[[nodiscard]] base::Result<ErrorFields> decode_error(std::string_view body);
/// Mechanisms of AuthenticationSASL: a list of strings that ends with an empty one.
[[nodiscard]] std::vector<std::string_view> sasl_mechanisms(std::string_view data);

/// ErrorResponse is 'E' with severity ERROR or FATAL; NoticeResponse is 'N' with WARNING, NOTICE...
enum class Severity : std::uint8_t { error, fatal, notice, warning };
void encode_error(base::ByteQueue& out, Severity severity, const base::Error& error);
/// The whole message again, with every `from` in its body replaced.
[[nodiscard]] std::string with_text_replaced(const Frame& message, std::string_view from, std::string_view to);
/// The whole ErrorResponse `error` again, with this hint unless it has one of its own.
[[nodiscard]] std::string with_hint(const Frame& error, std::string_view hint);
void encode_authentication(base::ByteQueue& out, AuthenticationCode code, std::string_view data);
void encode_parameter_status(base::ByteQueue& out, std::string_view name, std::string_view value);
void encode_backend_key_data(base::ByteQueue& out, std::uint32_t process_id, std::string_view secret);
void encode_ready_for_query(base::ByteQueue& out, TransactionStatus status);
void encode_negotiate_protocol_version(base::ByteQueue& out, std::uint32_t version,
                                       std::span<const std::string> unknown_options);
void encode_command_complete(base::ByteQueue& out, std::string_view tag);
/// A message of a type byte and nothing else: ParseComplete, BindComplete, NoData, EmptyQuery...
void encode_bare_reply(base::ByteQueue& out, char type);
/// All columns of type text, in the given formats (none: all text; text and binary are the same bytes for this type).
void encode_text_row_description(base::ByteQueue& out, std::span<const std::string_view> names,
                                 std::span<const std::uint16_t> formats = {});
void encode_parameter_description(base::ByteQueue& out, std::span<const std::uint32_t> types);
void encode_text_row(base::ByteQueue& out, std::span<const std::string> values);

}  // namespace pgweir::wire
