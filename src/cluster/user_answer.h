// What a node's answers about a user mean. Pure: rows in, facts out.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "cluster/pq_session.h"
#include "config/secret.h"

namespace pgweir::cluster {

/// By auth.auth_query.
struct KnownUser {
  std::optional<config::Secret> secret;                ///< nothing: no such user, or one without a password
  base::WallTime valid_until = base::WallTime::max();  ///< its password is refused from then on
};

/// At most one row of two or three columns: name, secret, until when it is valid (a timestamptz in ISO form, or
/// nothing). The error says what is wrong with auth.auth_query, without the secret.
[[nodiscard]] base::Result<KnownUser> user_from(const Rows& rows, std::string_view user);

/// "2026-11-28 23:20:46.5+00", "infinity", "-infinity", "... BC", as PostgreSQL writes them with DateStyle ISO; nothing
/// for other texts. Fractions of seconds are cut off.
[[nodiscard]] std::optional<base::WallTime> parse_timestamp(std::string_view text);

}  // namespace pgweir::cluster
