// The text that tells a standby from whom to receive (primary_conninfo): pgweir changes the address in it and nothing
// else. Pure.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace pgweir::cluster {

/// `conninfo`, in either of libpq's forms, with another host and port. User, password, TLS, application_name and the
/// rest stay. Fails for what libpq cannot read, and for an empty one.
[[nodiscard]] base::Result<std::string> with_address(const std::string& conninfo, const std::string& host,
                                                     std::uint16_t port);

/// The same in another spelling: a server that is told so takes it for a new one, and connects again.
[[nodiscard]] std::string respelled(const std::string& conninfo);

/// A text as a constant in SQL, with standard_conforming_strings = on.
[[nodiscard]] std::string sql_constant(std::string_view text);

}  // namespace pgweir::cluster
