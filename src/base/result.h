// Errors as values. `Result<T>` is either a T or an Error; it has the interface of std::expected.
#pragma once
#include <string>
#include <utility>

#include "base/sqlstate.h"
#include "tl/expected.hpp"

namespace pgweir::base {

/// What a client, a log line or `--check` shows. `message` is one sentence without a full stop, as in PostgreSQL.
struct Error {
  Sqlstate sqlstate = sqlstate::internal_error;
  std::string message;
  std::string detail{};
  std::string hint{};
};

template <class T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
  using tl::expected<T, Error>::expected;
};

using Failure = tl::unexpected<Error>;

/// `return fail(sqlstate::protocol_violation, "...")` from any function that returns a Result.
inline Failure fail(Sqlstate sqlstate, std::string message, std::string detail = {}, std::string hint = {}) {
  return Failure(Error{sqlstate, std::move(message), std::move(detail), std::move(hint)});
}

}  // namespace pgweir::base
