// Messages of clients: what is encoded decodes to the same, and no truncation of a body is taken for a whole one.
#include "wire/messages/frontend.h"

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
using test::message;

// Calls `decodes` with every truncation of `body` (in memory of exactly that size): none may succeed from which
// something that the decoder reads is missing, that is, below `needed` bytes; nor one with a byte too many.
void check_truncations(const std::string& body, const std::function<bool(std::string_view)>& decodes,
                       std::size_t needed) {
  for (std::size_t size = 0; size <= body.size(); ++size) {
    const auto exact = std::make_unique<char[]>(size);
    body.copy(exact.get(), size);
    CAPTURE(size);
    CHECK(decodes({exact.get(), size}) == (size >= needed));
  }
}

void check_exact(const std::string& body, const std::function<bool(std::string_view)>& decodes) {
  check_truncations(body, decodes, body.size());
  CHECK_FALSE(decodes(body + "x"));
}

}  // namespace

TEST_CASE("Query") {
  const auto encoded = message([](auto& out) { encode_query(out, "SELECT 1"); });
  CHECK(encoded.type == frontend::kQuery);
  CHECK(decode_query(encoded.body)->text == "SELECT 1");
  check_exact(encoded.body, [](std::string_view body) { return decode_query(body).has_value(); });
}

TEST_CASE("Parse") {
  const std::string types = std::string("\0\2", 2) + big_endian(23) + big_endian(25);
  const auto encoded = message([&](auto& out) { encode_parse(out, "name", "SELECT $1", types); });
  CHECK(encoded.type == frontend::kParse);
  const auto decoded = decode_parse(encoded.body);
  REQUIRE(decoded.has_value());
  CHECK(decoded->name == "name");
  CHECK(decoded->text == "SELECT $1");
  CHECK(decoded->types == types);
  check_exact(encoded.body, [](std::string_view body) { return decode_parse(body).has_value(); });
  const std::string too_many = c_string("") + c_string("") + "\xff\xff" + big_endian(23);
  CHECK_FALSE(decode_parse(too_many).has_value());
}

TEST_CASE("Bind looks at the names only") {
  const auto encoded = message([](auto& out) { encode_bind(out, "portal", "statement"); });
  CHECK(encoded.type == frontend::kBind);
  const auto decoded = decode_bind(encoded.body);
  REQUIRE(decoded.has_value());
  CHECK(decoded->portal == "portal");
  CHECK(decoded->statement == "statement");
  CHECK(decoded->rest == std::string(6, '\0'));
  check_truncations(
      encoded.body, [](std::string_view body) { return decode_bind(body).has_value(); },
      std::string_view("portal statement ").size());
}

TEST_CASE("Execute") {
  const auto encoded = message([](auto& out) { encode_execute(out, "portal"); });
  CHECK(encoded.type == frontend::kExecute);
  CHECK(decode_execute(encoded.body)->portal == "portal");
  CHECK(decode_execute(encoded.body)->row_limit == 0);
  CHECK(decode_execute(c_string("") + big_endian(100))->row_limit == 100);
  check_exact(encoded.body, [](std::string_view body) { return decode_execute(body).has_value(); });
}

TEST_CASE("Describe and Close") {
  const auto encoded = message([](auto& out) { encode_close(out, 'S', "name"); });
  CHECK(encoded.type == frontend::kClose);
  CHECK(decode_target(encoded.body)->what == 'S');
  CHECK(decode_target(encoded.body)->name == "name");
  check_exact(encoded.body, [](std::string_view body) { return decode_target(body).has_value(); });
}

TEST_CASE("passwords and SASL") {
  const auto password = message([](auto& out) { encode_password(out, "secret"); });
  CHECK(password.type == frontend::kPassword);
  CHECK(*decode_password(password.body) == "secret");
  check_exact(password.body, [](std::string_view body) { return decode_password(body).has_value(); });

  const auto initial = message([](auto& out) { encode_sasl_initial_response(out, "SCRAM-SHA-256", "n,,n=,r=a"); });
  CHECK(initial.type == frontend::kPassword);
  const auto decoded = decode_sasl_initial_response(initial.body);
  REQUIRE(decoded.has_value());
  CHECK(decoded->mechanism == "SCRAM-SHA-256");
  CHECK(decoded->data == "n,,n=,r=a");
  check_exact(initial.body, [](std::string_view body) { return decode_sasl_initial_response(body).has_value(); });
  const auto without = decode_sasl_initial_response(c_string("M") + big_endian(0xffffffffU));
  REQUIRE(without.has_value());
  CHECK(without->data.empty());
  CHECK_FALSE(decode_sasl_initial_response(c_string("M") + big_endian(0x7fffffffU) + "x").has_value());

  const auto response = message([](auto& out) { encode_sasl_response(out, "c=biws"); });
  CHECK(response == test::Message{frontend::kPassword, "c=biws"});
}

TEST_CASE("messages without a body, and which types there are") {
  CHECK(message([](auto& out) { encode_bare(out, frontend::kSync); }) == test::Message{'S', ""});
  const std::string_view known = "QPBDECHSFdcfX";
  for (int type = 0; type < 256; ++type)
    CHECK(frontend::known(static_cast<char>(type)) ==
          (type != 0 && known.find(static_cast<char>(type)) != std::string_view::npos));
}
