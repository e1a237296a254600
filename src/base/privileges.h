// Giving up root, and keeping memory out of core files. Each of these is a few system calls at start-up.
#pragma once
#include <cstdint>
#include <string>

#include <sys/types.h>

#include "base/result.h"

namespace pgweir::base {

/// Who a process runs as: a row of passwd(5).
struct SystemUser {
  std::string name;
  uid_t uid = 0;
  gid_t gid = 0;
};

/// Fails with F0000 when there is no such user, or the system cannot say.
[[nodiscard]] Result<SystemUser> find_system_user(const std::string& name);

[[nodiscard]] bool runs_as_root();
[[nodiscard]] bool runs_as(const SystemUser& user);

/// The whole process, all of its threads, becomes this user with the groups that are his, for good: real, effective and
/// saved ids, and it is tried whether root can be had back. For root only. After an error nothing is sure: end then.
[[nodiscard]] Result<bool> become(const SystemUser& user);

enum class Memory : std::uint8_t { hidden, open };
/// Hidden: no core file is written from now on, and nobody but root may trace the process or look into its memory
/// (prctl(2), PR_SET_DUMPABLE). To be said again after `become`.
void set_memory(Memory memory);

}  // namespace pgweir::base
