// Looking users up; becoming one, for good, in a child: the process of the tests stays who it is.
#include "base/privileges.h"

#include <sys/wait.h>
#include <unistd.h>

#include "doctest/doctest.h"

using namespace pgweir::base;

namespace {

/// The exit status of `run` in a child.
template <class Run>
int in_child(Run run) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(run());
  int status = -1;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

TEST_CASE("users of the system are found by name") {
  const auto root = find_system_user("root");
  REQUIRE(root.has_value());
  CHECK(root->uid == 0);
  CHECK(runs_as(*root) == runs_as_root());
  const auto nobody = find_system_user("no such user");
  REQUIRE_FALSE(nobody.has_value());
  CHECK(nobody.error().message == "there is no system user \"no such user\"");
}

TEST_CASE("who is not root becomes nobody else, and root becomes somebody else for good") {
  const auto user = find_system_user("nobody");
  REQUIRE(user.has_value());
  if (!runs_as_root()) {
    CHECK_FALSE(become(*user).has_value());
    return;
  }
  CHECK(in_child([&] {
          if (!become(*user)) return 1;
          if (::geteuid() != user->uid || ::getegid() != user->gid) return 2;
          if (::seteuid(0) == 0 || ::setuid(0) == 0) return 3;
          return become(*find_system_user("root")).has_value() ? 4 : 0;
        }) == 0);
  CHECK(runs_as_root());
}
