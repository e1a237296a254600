// Refusals in words; see refusal.h.
#include "auth/refusal.h"

#include "fmt/format.h"

namespace pgweir::auth {

namespace sqlstate = base::sqlstate;

base::Error refused(const Asking& asking, const HbaLine* line) {
  const std::string host = asking.from.text();
  const std::string_view encryption = asking.tls ? "SSL encryption" : "no encryption";
  const bool physical = asking.replication == wire::Replication::physical;
  std::string message;
  if (line && physical)
    message = fmt::format("pg_hba.conf rejects replication connection for host \"{}\", user \"{}\", {}", host,
                          asking.user, encryption);
  else if (line)
    message = fmt::format("pg_hba.conf rejects connection for host \"{}\", user \"{}\", database \"{}\", {}", host,
                          asking.user, asking.database, encryption);
  else if (physical)
    message = fmt::format("no pg_hba.conf entry for replication connection from host \"{}\", user \"{}\", {}", host,
                          asking.user, encryption);
  else
    message = fmt::format("no pg_hba.conf entry for host \"{}\", user \"{}\", database \"{}\", {}", host, asking.user,
                          asking.database, encryption);
  return {sqlstate::invalid_authorization_specification, std::move(message)};
}

base::Error failed(Method method, std::string_view user) {
  const auto by = [&](std::string_view what, base::Sqlstate code = sqlstate::invalid_authorization_specification) {
    return base::Error{code, fmt::format("{} authentication failed for user \"{}\"", what, user)};
  };
  switch (method) {
    case Method::trust: return by("\"trust\"");
    case Method::password:
    case Method::md5:
    case Method::scram_sha_256: return by("password", sqlstate::invalid_password);
    case Method::peer: return by("Peer");
    case Method::cert: return by("certificate");
    case Method::ldap: return by("LDAP");
    case Method::pam: return by("PAM");
    case Method::reject: break;
  }
  return {sqlstate::invalid_authorization_specification,
          fmt::format("authentication failed for user \"{}\": host rejected", user)};
}

}  // namespace pgweir::auth
