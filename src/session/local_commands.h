// Statements that pgweir answers itself. The session does not know which there are: the admin floor does.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"

namespace pgweir::session {

struct LocalTable {
  std::vector<std::string_view> columns;  ///< names with static storage
  std::vector<std::vector<std::string>> rows;
  std::string tag = "SELECT";  ///< CommandComplete, whole
};

/// What a command may want to know about the session that asks.
struct LocalAsker {
  std::string_view user;
  std::optional<base::NodeId> last_read_node;
};

/// One statement of the admin database, read and allowed.
struct ConsoleStatement {
  /// Whose session this is makes no difference: BEGIN, SET and the like, which drivers send by themselves.
  enum class Kind : std::uint8_t { command, begin, end, nothing };
  Kind kind = Kind::command;
  std::string tag;          ///< CommandComplete, for what is no command
  std::size_t command = 0;  ///< which, for LocalCommands
  std::string argument;
  std::vector<std::string_view> columns;  ///< names with static storage
};
using ConsoleStatementPtr = std::shared_ptr<const ConsoleStatement>;

/// Any worker thread; must not block.
class LocalCommands {
 public:
  using Answer = std::function<void(base::Result<LocalTable>)>;

  virtual ~LocalCommands() = default;
  /// `name`: what follows SHOW, lower case. Error 42704 when there is no such command, 42501 when the asker may not
  /// give it.
  [[nodiscard]] virtual base::Result<LocalTable> show(std::string_view name, const LocalAsker& asker) const = 0;
  /// Its columns, without running it; error as above.
  [[nodiscard]] virtual base::Result<std::vector<std::string_view>> columns(std::string_view name) const = 0;

  // The admin database.
  [[nodiscard]] virtual bool is_console(std::string_view database) const = 0;
  /// Whether this user may come in (42501).
  [[nodiscard]] virtual base::Result<bool> may_enter(std::string_view user) const = 0;
  /// The statements of a text, one after the other; views into it.
  [[nodiscard]] virtual std::vector<std::string_view> split(std::string_view text) const = 0;
  /// 42601 for what is no command, 42501 for what the asker may not do.
  [[nodiscard]] virtual base::Result<ConsoleStatementPtr> read(std::string_view statement,
                                                               const LocalAsker& asker) const = 0;
  /// Only a `command`. Nothing: `answer` is called once, later, on any thread.
  [[nodiscard]] virtual std::optional<base::Result<LocalTable>> run(const ConsoleStatement& statement,
                                                                    const LocalAsker& asker, Answer answer) const = 0;
};

}  // namespace pgweir::session
