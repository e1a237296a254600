// Real commands, run by a real shell.
#include "net/passphrase.h"

#include "doctest/doctest.h"

using pgweir::net::run_passphrase_command;
using namespace std::chrono_literals;

TEST_CASE("the first line that the command says is the passphrase") {
  CHECK(*run_passphrase_command("echo secret; echo more", "", 20s) == "secret");
  CHECK(*run_passphrase_command("printf 'no newline'", "", 20s) == "no newline");
  CHECK(*run_passphrase_command("echo '%p' '100%%' '%x'", "who?", 20s) == "who? 100% %x");
}

TEST_CASE("a command that fails, says nothing, too much, or hangs is an error that names it") {
  const auto message = [](const std::string& command, std::chrono::milliseconds patience = 20s) {
    const auto result = run_passphrase_command(command, "", patience);
    REQUIRE_FALSE(result.has_value());
    CHECK(result.error().message.find("the command \"" + command + "\"") == 0);
    return result.error().message;
  };
  CHECK(message("exit 3").ends_with("failed with exit status 3"));
  CHECK(message("echo half; kill -9 $$").ends_with("was ended by signal 9"));
  CHECK(message("true").ends_with("said nothing"));
  CHECK(message("head -c 5000 /dev/zero | tr '\\0' x").find("said too much") != std::string::npos);
  CHECK(message("sleep 1000", 50ms).ends_with("did not end within 50 ms"));
  CHECK(message("echo x; exec >&-; sleep 1000", 50ms).ends_with("did not end within 50 ms"));
}
