// Statements that pgweir answers itself. The session does not know which there are: the admin floor does.
#pragma once
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
  std::string tag = "SELECT";  ///< first word of CommandComplete; the number of rows follows after SELECT
};

/// What a command may want to know about the session that asks.
struct LocalAsker {
  std::string_view user;
  std::optional<base::NodeId> last_read_node;
};

/// Any worker thread; must not block.
class LocalCommands {
 public:
  virtual ~LocalCommands() = default;
  /// `name`: what follows SHOW, lower case. Error 42704 when there is no such command, 42501 when the asker may not
  /// give it.
  [[nodiscard]] virtual base::Result<LocalTable> show(std::string_view name, const LocalAsker& asker) const = 0;
  /// Its columns, without running it; error as above.
  [[nodiscard]] virtual base::Result<std::vector<std::string_view>> columns(std::string_view name) const = 0;
};

}  // namespace pgweir::session
