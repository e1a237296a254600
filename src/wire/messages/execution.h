// What most drivers send to run one statement, seen as a whole: [Parse] Bind [Describe] Execute Sync. And the answer to
// it, or to a simple query. Source: PostgreSQL documentation, "Message Flow", Simple Query and Extended Query.
#pragma once
#include <cstddef>
#include <optional>
#include <string_view>

#include "wire/frame.h"
#include "wire/messages/frontend.h"

namespace pgweir::wire {

/// Of the unnamed portal, without a row limit. Refers to the bytes it was read from.
struct Execution {
  std::optional<Parse> parse;  ///< of the unnamed statement
  std::string_view statement;  ///< that Bind names; empty with `parse`
  bool describes = false;      ///< the portal
  std::size_t size = 0;        ///< of all messages
};

/// Nothing when the bytes do not begin with one that is complete and no longer than `longest`.
[[nodiscard]] std::optional<Execution> read_execution(std::string_view bytes, std::size_t longest);

/// What the answer to one statement begins with.
struct AnswerShape {
  bool parse = false;  ///< ParseComplete
  bool bind = false;   ///< BindComplete
  bool describe =
      false;  ///< RowDescription or NoData. Without `bind` (a simple query): RowDescription if there are rows
};

/// The whole answer of a server to one statement that it has carried out. Nothing when the bytes do not begin with
/// that: a part is missing, there is an error, or a message that answers nothing. `ready`: the ReadyForQuery; returns
/// where that begins.
[[nodiscard]] std::optional<std::size_t> read_whole_answer(std::string_view bytes, AnswerShape shape, Frame& ready);

}  // namespace pgweir::wire
