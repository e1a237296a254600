// Asking PAM whether a password is right, as PostgreSQL's method pam does. Blocks: see BlockingCalls.
// Source: PostgreSQL documentation, "PAM Authentication"; backend/libpq/auth.c, CheckPAMAuth.
#pragma once
#include <string>

#include "base/result.h"
#include "base/secret_text.h"

namespace pgweir::net {

struct PamRequest {
  std::string service = "postgresql";
  std::string user;
  base::SecretText password;
  std::string remote_host;    ///< what PAM_RHOST becomes; empty: a local client
  std::string directory{};    ///< of the services' files; empty: the system's (/etc/pam.d)
  bool resolve_host = false;  ///< its name instead of its address, if it has one
};

/// False: PAM says no. An error: it could not be asked; its message is for the log. Any thread, one at a time. Takes as
/// long as the service's modules take.
[[nodiscard]] base::Result<bool> pam_login(const PamRequest& request);
/// Whether this program was built with libpam.
[[nodiscard]] bool has_pam();

}  // namespace pgweir::net
