// The prepared statements that the session's client believes to exist, on whichever server they really are. Pure.
// What they are called on a server, and how they get there, is in flows/prepare.cpp.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/local_ptr.h"
#include "pool/carried_on_server.h"
#include "routing/route.h"
#include "sql/classifier.h"

namespace pgweir::session {

struct PreparedStatement : base::LocalCounted {
  PreparedStatement() = default;
  enum class Origin : std::uint8_t {
    protocol,  ///< Parse: `text` and `types` are those of the message
    sql,       ///< PREPARE: `text` is the whole PREPARE statement
    local,     ///< Parse of a statement that pgweir answers itself
  };
  std::uint64_t id = 0;  ///< unique within the session, never 0
  Origin origin = Origin::protocol;
  std::string name;  ///< the client's
  std::string text;
  std::string types;
  sql::Classified query;   ///< of what is prepared, not of the PREPARE around it
  bool lists = false;      ///< it shows the names of all statements, its own too: a server knows it by that
  pool::StatementKey key;  ///< of origin, text and types
  // Set when its Parse is sent, or its PREPARE has succeeded:
  std::uint64_t meaning = 0;     ///< `CarriedState::Meaning::texts` then
  pool::SettingsPtr settings{};  ///< those under which it was parsed
  bool settled = true;           ///< they were known
  // While its Parse is under way:
  bool confirmed = false;  ///< a server has taken it
  bool withdrawn = false;  ///< it was refused, or skipped after an error
};
using StatementPtr = base::LocalPtr<PreparedStatement>;
using DeallocatedPtr = std::shared_ptr<const std::vector<StatementPtr>>;

/// Unnamed statements that nobody has any more, for the next ones: drivers parse one for each execution. One thread.
class StatementStock {
 public:
  /// One whose texts keep their memory; all else is as new.
  [[nodiscard]] StatementPtr take();
  /// Does nothing when somebody else has it too.
  void put_back(StatementPtr&& statement);

 private:
  std::vector<StatementPtr> spare_;
};

class PreparedStatements final : public routing::PreparedLookup {
 public:
  explicit PreparedStatements(StatementStock& stock) : stock_(stock) {}
  /// Null when there is none of that name. The unnamed statement has the empty name.
  [[nodiscard]] StatementPtr get(std::string_view name) const;
  /// What a client's statement consists of.
  struct Parts {
    PreparedStatement::Origin origin = PreparedStatement::Origin::protocol;
    std::string_view name, text, types;
    sql::Classified query;
  };
  /// What a statement would become; not yet defined. `seed`: the process's, for its key.
  [[nodiscard]] StatementPtr make(Parts parts, std::uint64_t seed);
  /// An existing named statement stays: PostgreSQL refuses the second one (42P05). The unnamed one is replaced.
  void define(const StatementPtr& statement);
  /// Its Parse failed: gone, unless another one has taken the name since.
  void withdraw(PreparedStatement& statement);
  void erase(std::string_view name);
  /// DEALLOCATE is under way: takes away the one of that name, empty: all that have names; what was taken.
  [[nodiscard]] std::vector<StatementPtr> take(std::string_view name);
  /// It has succeeded. What was defined behind it stays: no server has taken that yet.
  void deallocated(std::string_view name);
  /// One has been parsed, and its settings were known.
  void note_meaning(std::uint64_t texts);
  /// One may have been parsed under settings that mean something else than those of `texts`.
  [[nodiscard]] bool may_mean_another(std::uint64_t texts) const { return mixed_ || (meaning_ && *meaning_ != texts); }
  [[nodiscard]] std::size_t size() const { return by_name_.size(); }
  /// About what they cost in memory.
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  [[nodiscard]] const std::map<std::string, StatementPtr, std::less<>>& all() const { return by_name_; }

  [[nodiscard]] sql::CachedFactsPtr find(std::string_view name) const override;

 private:
  void forget_meaning();

  StatementStock& stock_;
  std::map<std::string, StatementPtr, std::less<>> by_name_;
  std::uint64_t last_id_ = 0;
  std::size_t bytes_ = 0;
  std::optional<std::uint64_t> meaning_;  ///< of the first one
  bool mixed_ = false;                    ///< there was another one
};

/// Whether pg_prepared_statements, or the function behind that view, is asked: it shows the names on the server.
[[nodiscard]] bool lists_statements(const sql::QueryFacts& facts);

/// The key under other settings that change what the text means (`CarriedState::meaning`).
[[nodiscard]] pool::StatementKey with_meaning(pool::StatementKey key, std::uint64_t meaning);

/// What a statement of some key is called on a server that many sessions share: a prefix and 32 hexadecimal digits.
class SharedName {
 public:
  static constexpr std::string_view kPrefix = "pgweir_";
  static constexpr std::size_t kSize = kPrefix.size() + 32;

  explicit SharedName(pool::StatementKey key);
  [[nodiscard]] std::string_view view() const { return {text_.data(), text_.size()}; }

 private:
  std::array<char, kSize> text_;
};

/// What a statement is called on a server, and whether it is there.
struct Place {
  pool::StatementKey key;
  std::string_view own;                ///< the client's name for it, which must outlive this; empty: unnamed
  std::optional<SharedName> shared{};  ///< instead of that
  bool there = false;

  [[nodiscard]] std::string_view name() const { return shared ? shared->view() : own; }
};

}  // namespace pgweir::session
