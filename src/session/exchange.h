// The client's messages from the first after a Sync to the next Sync (or one Query, or one FunctionCall), while it is
// being decided where they run, and afterwards while they may have to run again elsewhere. Owns copies of the messages.
#pragma once
#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/byte_queue.h"
#include "session/effects.h"
#include "session/prepared_statements.h"
#include "wire/messages/execution.h"
#include "wire/messages/frontend.h"

namespace pgweir::session {

/// A message that is larger is not gathered but passed on as it comes, so its exchange cannot be repeated elsewhere.
inline constexpr std::size_t kLargestGathered = 32 * 1024;

/// A name in a text, and the statement that had it when the message was read; null: none.
struct NamedStatement {
  std::string name;
  StatementPtr statement;
  bool runs = true;  ///< false: PREPARE and DEALLOCATE, which only ask whether there is one
};

/// One message as it stands in the exchange.
struct GatheredMessage {
  char type = 0;
  std::size_t offset = 0;             ///< in Exchange::bytes()
  std::size_t size = 0;               ///< header and what there is of the body
  StatementPtr statement;             ///< Parse, Bind, Describe 'S', Execute: which one; null if unknown to the session
  StatementPtr taken_by;              ///< Parse: which one has the name
  std::vector<NamedStatement> named;  ///< which ones its text speaks of
  DeallocatedPtr deallocated;         ///< Execute: the statements that it takes away, of DEALLOCATE and DISCARD ALL
  std::string name;              ///< Parse, Bind (the statement), Describe 'S', Close 'S'; Query: what EXECUTE names
  std::string portal;            ///< Bind, Execute, Describe 'P', Close 'P'
  EffectsPtr effects;            ///< Query, Execute
  sql::CachedFactsPtr query;     ///< Query, Execute: what runs; null if unknown
  char what = 0;                 ///< Describe, Close: 'S' or 'P'
  bool lists = false;            ///< its text shows the names of all, and `named` has the client's
  bool local = false;            ///< answered by pgweir
  bool behind_execute = false;   ///< Query, FunctionCall: with no Sync in between
  bool refused = false;          ///< a server is to fail at it, and pgweir says why
  bool unknown_effects = false;  ///< what it does to the session cannot be known from it
  bool ordinary = false;         ///< Sync; else its statement is: see `is_ordinary`, with what the catalog says
  std::string synthesised;       ///< the answer, when local; the error, when refused
};

/// All messages of an exchange that is one execution of an ordinary statement (wire/messages/execution.h).
struct GatheredExecution {
  StatementPtr statement;
  bool parses = false, describes = false;
};

/// An exchange that is one execution stays in one piece until somebody asks for its messages.
class Exchange {
 public:
  void add(GatheredMessage&& message, std::string_view bytes) {
    message.offset = bytes_.size();
    message.size = bytes.size();
    ordinary_ = ordinary_ && message.ordinary;
    bytes_.append(bytes);
    messages_.push_back(std::move(message));
  }
  /// All that there is.
  void set(GatheredExecution&& execution, std::string_view bytes) {
    clear();
    bytes_.append(bytes);
    execution_ = std::move(execution);
  }
  void clear() {
    messages_.clear();
    bytes_.clear();
    execution_ = {};
    ordinary_ = true;
  }
  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  /// All of its messages are.
  [[nodiscard]] bool is_ordinary() const { return ordinary_; }
  /// Null when it is something else, or when it was taken apart.
  [[nodiscard]] const GatheredExecution* execution() const { return execution_.statement ? &execution_ : nullptr; }
  [[nodiscard]] std::size_t size() const { return bytes_.size(); }
  /// The memory of its bytes.
  [[nodiscard]] std::size_t capacity() const { return bytes_.capacity(); }
  [[nodiscard]] std::string_view bytes() const { return bytes_.view(); }
  [[nodiscard]] const std::vector<GatheredMessage>& messages() const {
    if (execution_.statement) take_apart();
    return messages_;
  }
  [[nodiscard]] std::string_view bytes_of(const GatheredMessage& message) const {
    return bytes_.view().substr(message.offset, message.size);
  }

 private:
  void take_apart() const;

  mutable std::vector<GatheredMessage> messages_;
  base::ByteQueue bytes_;
  mutable GatheredExecution execution_;
  bool ordinary_ = true;
};

/// A Sync ends it. A query or function call alone is one by itself; behind messages of the extended protocol that have
/// no Sync yet it is part of theirs, because their error would make the server skip it.
[[nodiscard]] inline bool is_closed(const Exchange& exchange) {
  if (exchange.empty()) return false;
  if (exchange.execution()) return true;
  const char last = exchange.messages().back().type;
  if (last == wire::frontend::kSync) return true;
  return exchange.messages().size() == 1 && (last == wire::frontend::kQuery || last == wire::frontend::kFunctionCall);
}

/// Its last message is answered by ReadyForQuery, unless what is in front of it fails.
[[nodiscard]] inline bool ends_in_ready(const Exchange& exchange) {
  if (exchange.empty() || exchange.execution()) return !exchange.empty();
  const char last = exchange.messages().back().type;
  return last == wire::frontend::kSync || last == wire::frontend::kQuery || last == wire::frontend::kFunctionCall;
}

/// So far nothing but statements to be prepared under names.
[[nodiscard]] inline bool only_parses(const Exchange& exchange) {
  const auto& messages = exchange.messages();
  return std::all_of(messages.begin(), messages.end(), [](const GatheredMessage& message) {
    return message.type == wire::frontend::kParse && !message.name.empty();
  });
}

/// EXECUTE, PREPARE or DEALLOCATE of one.
[[nodiscard]] inline bool names_statement(const sql::StatementFacts& statement) {
  using sql::StatementKind;
  return statement.kind == StatementKind::execute || statement.kind == StatementKind::prepare ||
         (statement.kind == StatementKind::deallocate && !statement.name.empty());
}

/// What a message runs or describes; null when that is nothing new.
[[nodiscard]] inline const sql::QueryFacts* facts_of(const GatheredMessage& message) {
  if (message.query) return &message.query->facts;
  return message.statement ? &message.statement->query.entry->facts : nullptr;
}

/// Its Parse is part of the exchange.
[[nodiscard]] inline bool is_parsed_in(const Exchange& exchange, const PreparedStatement& statement) {
  const auto& messages = exchange.messages();
  return std::any_of(messages.begin(), messages.end(), [&](const GatheredMessage& message) {
    return message.type == wire::frontend::kParse && message.statement.get() == &statement;
  });
}

/// Something in it depends on a Parse of an earlier exchange that no server has answered yet, and that may fail.
[[nodiscard]] inline bool depends_on_unconfirmed(const Exchange& exchange) {
  const auto& messages = exchange.messages();
  const auto is_unconfirmed = [&](const StatementPtr& statement) {
    return statement && !statement->confirmed && statement->origin != PreparedStatement::Origin::local &&
           !is_parsed_in(exchange, *statement);
  };
  return std::any_of(messages.begin(), messages.end(), [&](const GatheredMessage& message) {
    return is_unconfirmed(message.statement) || is_unconfirmed(message.taken_by);
  });
}

/// Something runs that was prepared in an earlier exchange.
[[nodiscard]] inline bool runs_prepared(const Exchange& exchange) {
  if (const auto* execution = exchange.execution()) return !execution->parses && !execution->statement->name.empty();
  const auto& messages = exchange.messages();
  return std::any_of(messages.begin(), messages.end(), [](const GatheredMessage& message) {
    if (message.type == wire::frontend::kQuery)
      return message.query && message.query->facts.statements.front().kind == sql::StatementKind::execute;
    return message.type == wire::frontend::kBind && !message.name.empty();
  });
}

}  // namespace pgweir::session
