// Messages that clients send within a session, as far as pgweir reads or writes them.
// Decoders look only at what routing and the reply queue need; the server checks the rest. All take a complete body.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/byte_queue.h"
#include "base/result.h"

namespace pgweir::wire {

namespace frontend {
inline constexpr char kQuery = 'Q';
inline constexpr char kParse = 'P';
inline constexpr char kBind = 'B';
inline constexpr char kDescribe = 'D';
inline constexpr char kExecute = 'E';
inline constexpr char kClose = 'C';
inline constexpr char kFlush = 'H';
inline constexpr char kSync = 'S';
inline constexpr char kFunctionCall = 'F';
inline constexpr char kCopyData = 'd';
inline constexpr char kCopyDone = 'c';
inline constexpr char kCopyFail = 'f';
inline constexpr char kPassword = 'p';  ///< PasswordMessage, SASLInitialResponse, SASLResponse
inline constexpr char kTerminate = 'X';
/// Whether PostgreSQL knows such a message from a client that has logged in (tcop/postgres.c, SocketBackend).
[[nodiscard]] bool known(char type) noexcept;
/// The longest body of such a message: PostgreSQL's PQ_LARGE_MESSAGE_LIMIT or PQ_SMALL_MESSAGE_LIMIT (libpq/libpq.h).
[[nodiscard]] std::size_t largest_body(char type) noexcept;
}  // namespace frontend

struct Query {
  std::string_view text;
};
struct Parse {
  std::string_view name, text, types;
};  ///< types: the raw rest, a count and the OIDs
struct Bind {
  std::string_view portal, statement, rest;
};
struct Execute {
  std::string_view portal;
  std::uint32_t row_limit = 0;
};
/// Describe and Close: `what` is 'S' (prepared statement) or 'P' (portal).
struct Target {
  char what = 0;
  std::string_view name;
};
struct SaslInitialResponse {
  std::string_view mechanism, data;
};

/// All fail with 08P01 and PostgreSQL's words ("invalid message format").
[[nodiscard]] base::Result<Query> decode_query(std::string_view body);
[[nodiscard]] base::Result<Parse> decode_parse(std::string_view body);
[[nodiscard]] base::Result<Bind> decode_bind(std::string_view body);
[[nodiscard]] base::Result<Execute> decode_execute(std::string_view body);
[[nodiscard]] base::Result<Target> decode_target(std::string_view body);
[[nodiscard]] base::Result<std::string_view> decode_password(std::string_view body);
[[nodiscard]] base::Result<SaslInitialResponse> decode_sasl_initial_response(std::string_view body);

void encode_query(base::ByteQueue& out, std::string_view text);
void encode_parse(base::ByteQueue& out, std::string_view name, std::string_view text, std::string_view types);
/// Without parameters, all results in text form.
void encode_bind(base::ByteQueue& out, std::string_view portal, std::string_view statement);
/// Without a row limit.
void encode_execute(base::ByteQueue& out, std::string_view portal);
void encode_close(base::ByteQueue& out, char what, std::string_view name);
/// Sync, Flush, Terminate, CopyDone: messages without a body.
void encode_bare(base::ByteQueue& out, char type);
void encode_password(base::ByteQueue& out, std::string_view password);
void encode_sasl_initial_response(base::ByteQueue& out, std::string_view mechanism, std::string_view data);
void encode_sasl_response(base::ByteQueue& out, std::string_view data);

}  // namespace pgweir::wire
