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
#include "wire/messages/frontend.h"

namespace pgweir::session {

/// One message as it stands in the exchange.
struct GatheredMessage {
  char type = 0;
  std::size_t offset = 0;        ///< in Exchange::bytes()
  std::size_t size = 0;          ///< header and what there is of the body
  StatementPtr statement;        ///< Parse, Bind, Describe 'S', Execute: which one; null if unknown to the session
  std::string name;              ///< Parse, Bind (the statement), Describe 'S', Close 'S'; Query: what EXECUTE names
  std::string portal;            ///< Bind, Execute, Describe 'P', Close 'P'
  EffectsPtr effects;            ///< Query, Execute
  sql::CachedFactsPtr query;     ///< Query, Execute: what runs; null if unknown
  char what = 0;                 ///< Describe, Close: 'S' or 'P'
  bool local = false;            ///< answered by pgweir
  bool behind_execute = false;   ///< Query, FunctionCall: with no Sync in between
  bool refused = false;          ///< a server is to fail at it, and pgweir says why
  bool unknown_effects = false;  ///< what it does to the session cannot be known from it
  std::string synthesised;       ///< the answer, when local; the error, when refused
};

class Exchange {
 public:
  void add(GatheredMessage message, std::string_view bytes) {
    message.offset = bytes_.size();
    message.size = bytes.size();
    bytes_.append(bytes);
    messages_.push_back(std::move(message));
  }
  void clear() {
    messages_.clear();
    bytes_.clear();
  }
  [[nodiscard]] bool empty() const { return messages_.empty(); }
  [[nodiscard]] std::size_t size() const { return bytes_.size(); }
  /// The memory of its bytes.
  [[nodiscard]] std::size_t capacity() const { return bytes_.capacity(); }
  [[nodiscard]] const std::vector<GatheredMessage>& messages() const { return messages_; }
  [[nodiscard]] std::string_view bytes_of(const GatheredMessage& message) const {
    return bytes_.view().substr(message.offset, message.size);
  }

 private:
  std::vector<GatheredMessage> messages_;
  base::ByteQueue bytes_;
};

/// A Sync ends it. A query or function call alone is one by itself; behind messages of the extended protocol that have
/// no Sync yet it is part of theirs, because their error would make the server skip it.
[[nodiscard]] inline bool is_closed(const Exchange& exchange) {
  if (exchange.empty()) return false;
  const char last = exchange.messages().back().type;
  if (last == wire::frontend::kSync) return true;
  return exchange.messages().size() == 1 && (last == wire::frontend::kQuery || last == wire::frontend::kFunctionCall);
}

/// So far nothing but statements to be prepared under names.
[[nodiscard]] inline bool only_parses(const Exchange& exchange) {
  const auto& messages = exchange.messages();
  return std::all_of(messages.begin(), messages.end(), [](const GatheredMessage& message) {
    return message.type == wire::frontend::kParse && !message.name.empty();
  });
}

/// Something in it depends on a Parse of an earlier exchange that no server has answered yet, and that may fail.
[[nodiscard]] inline bool depends_on_unconfirmed(const Exchange& exchange) {
  const auto& messages = exchange.messages();
  return std::any_of(messages.begin(), messages.end(), [&](const GatheredMessage& message) {
    const StatementPtr& statement = message.statement;
    if (!statement || statement->confirmed || statement->origin == PreparedStatement::Origin::local) return false;
    return std::none_of(messages.begin(), messages.end(), [&](const GatheredMessage& other) {
      return other.type == wire::frontend::kParse && other.statement == statement;
    });
  });
}

/// Something runs that was prepared in an earlier exchange.
[[nodiscard]] inline bool runs_prepared(const Exchange& exchange) {
  const auto& messages = exchange.messages();
  return std::any_of(messages.begin(), messages.end(), [](const GatheredMessage& message) {
    if (message.type == wire::frontend::kQuery)
      return message.query && message.query->facts.statements.front().kind == sql::StatementKind::execute;
    return message.type == wire::frontend::kBind && !message.name.empty();
  });
}

}  // namespace pgweir::session
