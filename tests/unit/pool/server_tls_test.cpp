// What the one byte that answers SSLRequest leads to. The handshakes behind it: tests/integration/test_tls.py.
#include "pool/server_tls.h"

#include "doctest/doctest.h"

using namespace pgweir;
using pool::ServerTls;
using pool::SslAnswer;

TEST_CASE("yes is yes, no is an error where TLS must be, and anything else always") {
  for (const auto wish : {ServerTls::Wish::if_offered, ServerTls::Wish::always}) {
    const ServerTls tls{wish, nullptr, {}};
    CHECK(*pool::take_ssl_answer('S', tls) == SslAnswer::yes);
    for (const char other : {'E', 'R', '\0', '\x16', '\xff', 's', 'n'})
      CHECK(pool::take_ssl_answer(other, tls).error().sqlstate == base::sqlstate::protocol_violation);
  }
  CHECK(*pool::take_ssl_answer('N', {ServerTls::Wish::if_offered, nullptr, {}}) == SslAnswer::no);
  CHECK(pool::take_ssl_answer('N', {ServerTls::Wish::always, nullptr, {}}).error().message ==
        "server does not support SSL, but SSL was required");
}
