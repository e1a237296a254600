// Messages of servers: what is encoded decodes to the same, and no truncation of a body is taken for a whole one.
#include "wire/messages/backend.h"

#include <functional>
#include <memory>
#include <string>

#include "doctest/doctest.h"
#include "unit/messages.h"

namespace {

using namespace pgweir;
using namespace pgweir::wire;
using test::big_endian;
using test::c_string;
using test::Message;
using test::message;

void check_truncations(const std::string& body, const std::function<bool(std::string_view)>& decodes,
                       std::size_t needed) {
  for (std::size_t size = 0; size <= body.size(); ++size) {
    const auto exact = std::make_unique<char[]>(size);
    body.copy(exact.get(), size);
    CAPTURE(size);
    CHECK(decodes({exact.get(), size}) == (size >= needed));
  }
}

}  // namespace

TEST_CASE("Authentication") {
  const auto encoded = message([](auto& out) { encode_authentication(out, AuthenticationCode::md5_password, "salt"); });
  CHECK(encoded.type == 'R');
  const auto decoded = decode_authentication(encoded.body);
  REQUIRE(decoded.has_value());
  CHECK(decoded->code == AuthenticationCode::md5_password);
  CHECK(decoded->data == "salt");
  check_truncations(
      encoded.body, [](std::string_view body) { return decode_authentication(body).has_value(); }, 4);
}

TEST_CASE("the list of SASL mechanisms") {
  CHECK(sasl_mechanisms(c_string("A") + c_string("B") + c_string("")) == std::vector<std::string_view>{"A", "B"});
  CHECK(sasl_mechanisms(c_string("A") + "B") == std::vector<std::string_view>{"A"});
  CHECK(sasl_mechanisms("").empty());
  CHECK(sasl_mechanisms("A").empty());
}

TEST_CASE("ParameterStatus") {
  const auto encoded = message([](auto& out) { encode_parameter_status(out, "TimeZone", "UTC"); });
  CHECK(encoded.type == 'S');
  CHECK(decode_parameter_status(encoded.body)->name == "TimeZone");
  CHECK(decode_parameter_status(encoded.body)->value == "UTC");
  const auto decodes = [](std::string_view body) { return decode_parameter_status(body).has_value(); };
  check_truncations(encoded.body, decodes, encoded.body.size());
  CHECK_FALSE(decodes(encoded.body + "x"));
}

TEST_CASE("a hint is added to an error that has none") {
  const auto with = [](const base::Error& error, std::string_view hint) {
    base::ByteQueue out;
    encode_error(out, Severity::error, error);
    const std::string bytes(out.view());
    Frame frame;
    REQUIRE(read_frame(bytes, frame) == FrameStatus::ok);
    return with_hint(frame, hint);
  };
  const base::Error plain{base::sqlstate::query_canceled, "m", "d"};
  const std::string hinted = with(plain, "why");
  Frame frame;
  REQUIRE(read_frame(hinted, frame) == FrameStatus::ok);
  CHECK(frame.complete());
  CHECK(frame.bytes_here() == hinted.size());
  const auto fields = decode_error(frame.body);
  REQUIRE(fields.has_value());
  CHECK(fields->sqlstate == "57014");
  CHECK(fields->detail == "d");
  CHECK(fields->hint == "why");
  CHECK(with(plain, "") == with({base::sqlstate::query_canceled, "m", "d"}, ""));
  CHECK(with({base::sqlstate::query_canceled, "m", "", "its own"}, "why").find("why") == std::string::npos);
}

TEST_CASE("BackendKeyData, with the secrets of 3.0 and 3.2") {
  const auto encoded = message([](auto& out) { encode_backend_key_data(out, 4711, "abcd"); });
  CHECK(encoded.type == 'K');
  CHECK(decode_backend_key_data(encoded.body)->process_id == 4711);
  CHECK(decode_backend_key_data(encoded.body)->secret == "abcd");
  const auto decodes = [](std::string_view body) { return decode_backend_key_data(body).has_value(); };
  check_truncations(encoded.body, decodes, 8);
  CHECK(decodes(std::string(4 + 256, 'k')));
  CHECK_FALSE(decodes(std::string(4 + 257, 'k')));
}

TEST_CASE("ReadyForQuery") {
  for (const auto status : {TransactionStatus::idle, TransactionStatus::in_transaction, TransactionStatus::failed}) {
    const auto encoded = message([&](auto& out) { encode_ready_for_query(out, status); });
    CHECK(encoded.type == 'Z');
    CHECK(*decode_ready_for_query(encoded.body) == status);
  }
  for (const char* body : {"", "X", "II", "i"}) CHECK_FALSE(decode_ready_for_query(body).has_value());
}

TEST_CASE("ErrorResponse and NoticeResponse") {
  const base::Error error{base::sqlstate::too_many_connections, "no", "because", "wait"};
  const auto encoded = message([&](auto& out) { encode_error(out, Severity::fatal, error); });
  CHECK(encoded.type == 'E');
  const auto fields = decode_error(encoded.body);
  REQUIRE(fields.has_value());
  CHECK(fields->severity == "FATAL");
  CHECK(fields->sqlstate == "53300");
  CHECK(fields->message == "no");
  CHECK(fields->detail == "because");
  CHECK(fields->hint == "wait");
  check_truncations(
      encoded.body, [](std::string_view body) { return decode_error(body).has_value(); }, encoded.body.size());

  CHECK(message([&](auto& out) { encode_error(out, Severity::warning, error); }).type == 'N');
  const auto plain = message([](auto& out) {
    encode_error(out, Severity::error, {base::sqlstate::syntax_error, "m"});
  });
  CHECK(plain.body == c_string("SERROR") + c_string("VERROR") + c_string("C42601") + c_string("Mm") + c_string(""));
}

TEST_CASE("the untranslated severity wins over the translated one, in either order") {
  for (const std::string& body : {c_string("SFATALE") + c_string("VFATAL") + c_string(""),
                                  c_string("VFATAL") + c_string("SFATALE") + c_string("")})
    CHECK(decode_error(body)->severity == "FATAL");
  CHECK(decode_error(c_string("SFATALE") + c_string(""))->severity == "FATALE");  // before 9.6
}

TEST_CASE("NegotiateProtocolVersion") {
  const std::vector<std::string> options{"_pq_.a", "_pq_.b"};
  CHECK(message([&](auto& out) { encode_negotiate_protocol_version(out, 196608, options); }) ==
        Message{'v', big_endian(196608) + big_endian(2) + c_string("_pq_.a") + c_string("_pq_.b")});
}

TEST_CASE("the messages of a result made by pgweir") {
  const std::vector<std::string_view> names{"a", "bc"};
  const auto column = [](std::string_view name, char format) {
    return c_string(name) + big_endian(0) + std::string(2, '\0') + big_endian(25) + "\xff\xff" +
           big_endian(0xffffffffU) + std::string{'\0', format};
  };
  const std::string two("\0\2", 2);
  CHECK(message([&](auto& out) { encode_text_row_description(out, names); }) ==
        Message{'T', two + column("a", 0) + column("bc", 0)});
  const std::vector<std::uint16_t> each{1, 0};
  CHECK(message([&](auto& out) { encode_text_row_description(out, names, each); }) ==
        Message{'T', two + column("a", 1) + column("bc", 0)});
  const std::vector<std::uint16_t> one{1};
  CHECK(message([&](auto& out) { encode_text_row_description(out, names, one); }) ==
        Message{'T', two + column("a", 1) + column("bc", 1)});
  const std::vector<std::string> values{"x", ""};
  CHECK(message([&](auto& out) { encode_text_row(out, values); }) ==
        Message{'D', two + big_endian(1) + "x" + big_endian(0)});
  const std::vector<std::uint32_t> types{25, 23};
  CHECK(message([&](auto& out) { encode_parameter_description(out, types); }) ==
        Message{'t', two + big_endian(25) + big_endian(23)});
  CHECK(message([](auto& out) { encode_command_complete(out, "SELECT 2"); }) == Message{'C', c_string("SELECT 2")});
  CHECK(message([](auto& out) { encode_bare_reply(out, backend::kNoData); }) == Message{'n', ""});
}

namespace {

Message replaced(std::string_view body, std::string_view from, std::string_view to) {
  const Frame frame{backend::kErrorResponse, body.size(), body};
  const auto all = test::messages_in(with_text_replaced(frame, from, to));
  REQUIRE(all.size() == 1);
  return all.front();
}

}  // namespace

TEST_CASE("a name in a message is replaced everywhere, and its length is that of the new body") {
  const std::string_view from = "pgweir_0123";
  const std::string body =
      c_string("SERROR") + c_string("Mno \"pgweir_0123\"") + c_string("Dpgweir_0123") + c_string("");
  for (const std::string_view to : {"p", "", "pgweir_01234", "pgweir_0123pgweir_0123", "0123456789a"}) {
    CAPTURE(to);
    const std::string name(to);
    CHECK(replaced(body, from, to) ==
          Message{'E', c_string("SERROR") + c_string("Mno \"" + name + "\"") + c_string("D" + name) + c_string("")});
  }
  CHECK(replaced(body, "pgweir_9", "p") == Message{'E', body});
  CHECK(replaced(body, "", "p") == Message{'E', body});
  CHECK(replaced("", from, "p") == Message{'E', ""});
  CHECK(replaced("aaa", "aa", "b") == Message{'E', "ba"});
}
