// What a client hears that is not let in: PostgreSQL's words for its case, which say nothing about whether the user
// exists. Source: backend/libpq/auth.c, auth_failed and ClientAuthentication.
#pragma once
#include <string>
#include <string_view>

#include "auth/hba.h"
#include "base/result.h"

namespace pgweir::auth {

/// No line matches, or (`line` given) the one that does says reject.
[[nodiscard]] base::Error refused(const Asking& asking, const HbaLine* line);
/// The method has found that the client is not who it says it is.
[[nodiscard]] base::Error failed(Method method, std::string_view user);

}  // namespace pgweir::auth
