// The prepared statements that the session's client believes to exist, on whichever server they really are. Pure.
// A name means the same everywhere: each server connection remembers which of the session's statements it has under it.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "routing/route.h"
#include "sql/classifier.h"

namespace pgweir::session {

struct PreparedStatement {
  enum class Origin : std::uint8_t {
    protocol,  ///< Parse: `text` and `types` are those of the message
    sql,       ///< PREPARE: `text` is the whole PREPARE statement
    local,     ///< Parse of a statement that pgweir answers itself
  };
  std::uint64_t id = 0;  ///< unique within the session, never 0
  Origin origin = Origin::protocol;
  std::string name;
  std::string text;
  std::string types;
  sql::Classified query;  ///< of what is prepared, not of the PREPARE around it
};
using StatementPtr = std::shared_ptr<const PreparedStatement>;

class PreparedStatements final : public routing::PreparedLookup {
 public:
  /// Null when there is none of that name. The unnamed statement has the empty name.
  [[nodiscard]] StatementPtr get(std::string_view name) const;
  /// What a statement would become; not yet defined.
  [[nodiscard]] StatementPtr make(PreparedStatement statement);
  /// An existing named statement stays: PostgreSQL refuses the second one (42P05). The unnamed one is replaced.
  void define(const StatementPtr& statement);
  /// Its Parse failed: gone, unless another one has taken the name since.
  void withdraw(const PreparedStatement& statement);
  void erase(std::string_view name);
  void clear() { by_name_.clear(); }
  void clear_named() {
    std::erase_if(by_name_, [](const auto& one) { return !one.first.empty(); });
  }
  [[nodiscard]] std::size_t size() const { return by_name_.size(); }

  [[nodiscard]] sql::CachedFactsPtr find(std::string_view name) const override;

 private:
  std::map<std::string, StatementPtr, std::less<>> by_name_;
  std::uint64_t last_id_ = 0;
};

}  // namespace pgweir::session
