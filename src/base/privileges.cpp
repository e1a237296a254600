// See privileges.h; setgroups(2), setresuid(2): the order matters, groups first while it is still allowed.
#include "base/privileges.h"

#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/sqlstate.h"

namespace pgweir::base {

namespace {

Failure failure(const std::string& what, int error) {
  return fail(sqlstate::config_file_error, what + ": " + std::strerror(error));
}

bool is_only(uid_t uid, gid_t gid) {
  uid_t real = 0, effective = 0, saved = 0;
  gid_t real_group = 0, effective_group = 0, saved_group = 0;
  return ::getresuid(&real, &effective, &saved) == 0 && real == uid && effective == uid && saved == uid &&
         ::getresgid(&real_group, &effective_group, &saved_group) == 0 && real_group == gid && effective_group == gid &&
         saved_group == gid;
}

}  // namespace

Result<SystemUser> find_system_user(const std::string& name) {
  passwd row{};
  passwd* found = nullptr;
  std::array<char, 16384> room;
  const int error = ::getpwnam_r(name.c_str(), &row, room.data(), room.size(), &found);
  if (error != 0) return failure("the system user \"" + name + "\" could not be looked up", error);
  if (!found) return fail(sqlstate::config_file_error, "there is no system user \"" + name + "\"");
  return SystemUser{name, row.pw_uid, row.pw_gid};
}

bool runs_as_root() { return ::geteuid() == 0; }

bool runs_as(const SystemUser& user) { return ::geteuid() == user.uid; }

Result<bool> become(const SystemUser& user) {
  const std::string what = "could not become user \"" + user.name + "\"";
  if (::initgroups(user.name.c_str(), user.gid) != 0) return failure(what, errno);
  if (::setresgid(user.gid, user.gid, user.gid) != 0) return failure(what, errno);
  if (::setresuid(user.uid, user.uid, user.uid) != 0) return failure(what, errno);
  const bool can_go_back = user.uid != 0 && (::setuid(0) == 0 || ::seteuid(0) == 0);
  if (can_go_back || !is_only(user.uid, user.gid)) return fail(sqlstate::config_file_error, what + " for good");
  return true;
}

void set_memory(Memory memory) {
#if defined(__SANITIZE_ADDRESS__)
  memory = Memory::open;  // the leak checker traces its own process
#endif
  ::prctl(PR_SET_DUMPABLE, memory == Memory::open ? 1 : 0);
}

}  // namespace pgweir::base
