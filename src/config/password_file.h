// The passwords with which pgweir logs in to the servers, in the format of libpq's password file (.pgpass):
// host:port:database:user:password, `*` matches anything, a backslash takes the next character literally, `#` begins a
// comment line; the first line that matches wins. Never prints a password.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/secret_text.h"
#include "config/problem.h"

namespace pgweir::config {

/// Immutable once loaded.
class PasswordFile {
 public:
  /// The password for this login; nothing when no line matches. A host that is the directory of a Unix socket matches
  /// itself and `localhost`. The view lives as long as this object.
  [[nodiscard]] std::optional<std::string_view> find(std::string_view host, std::uint16_t port,
                                                     std::string_view database, std::string_view user) const;
  [[nodiscard]] std::size_t size() const noexcept { return lines_.size(); }

  struct Line {
    std::optional<std::string> host, port, database, user;  ///< nothing: matches anything
    base::SecretText password;
  };
  explicit PasswordFile(std::vector<Line> lines = {}) : lines_(std::move(lines)) {}

 private:
  std::vector<Line> lines_;
};

/// Refuses a file that others than its owner and group may read.
[[nodiscard]] Checked<PasswordFile> load_password_file(const std::string& path);
[[nodiscard]] Checked<PasswordFile> parse_passwords(std::string_view text, const std::string& file_name);

}  // namespace pgweir::config
