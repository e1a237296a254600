// The worker's pure part; its thread, its sessions and its pools are driven by the integration tests.
#include "session/worker.h"

#include "doctest/doctest.h"

using pgweir::session::is_unsafe_encoding;

TEST_CASE("settings under which a text could be read differently from how the server reads it") {
  CHECK_FALSE(is_unsafe_encoding({}));
  CHECK_FALSE(is_unsafe_encoding({{"client_encoding", "UTF8"}, {"standard_conforming_strings", "on"}}));
  CHECK_FALSE(is_unsafe_encoding({{"server_encoding", "SJIS"}}));
  CHECK(is_unsafe_encoding({{"client_encoding", "UTF8"}, {"standard_conforming_strings", "off"}}));
  for (const char* encoding : {"SJIS", "BIG5", "GBK", "UHC", "GB18030", "JOHAB", "SHIFT_JIS_2004"})
    CHECK(is_unsafe_encoding({{"standard_conforming_strings", "on"}, {"client_encoding", encoding}}));
}
