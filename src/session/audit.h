// Asking a server what a session has left on its connection: when a statement's text does not tell (functions, DO,
// CALL), and when what pinned the session may be gone. Asked outside of transactions only, so that what it says stays
// true. Pure: a query text out, rows in.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pool/carried_on_server.h"
#include "session/pins.h"

namespace pgweir::session {

/// In the order of how much is asked.
enum class Audit : std::uint8_t {
  none,
  pins,  ///< what cannot be carried
  all,   ///< that, the settings, and the prepared statements
};

/// Whether the names in the code of functions are among those given, or the server is to look for them.
enum class FunctionNames : std::uint8_t { known, looked_for };

/// One statement; its rows are for `AuditReader`. Safe under any search_path.
/// `asked`: names of settings (a.b) that may have been made, because no view lists those that no library has defined;
/// without a dot, such as the view may hide from a role (utils/misc/guc.c, GUC_SUPERUSER_ONLY).
[[nodiscard]] std::string audit_query(Audit audit, const std::vector<std::string>& asked, FunctionNames functions);

/// The names to ask for: all of the session's `own`, then those `of_functions`, in their order, as long as there are
/// not more than 1000; none twice.
[[nodiscard]] std::vector<std::string> names_to_ask_for(std::vector<std::string> own,
                                                        const std::vector<std::string>& of_functions);

/// SHA-256 of the names in the order of their bytes, with commas between them, in hexadecimal digits; as the server
/// makes it. Names beyond ASCII are left out, because client and server may write them in different encodings.
[[nodiscard]] std::string digest_of(std::vector<std::string> names);

class AuditReader {
 public:
  /// `user`: who logged in. `mentioned`: custom settings that the session's statements have named; `known`: the
  /// settings that it is known to have.
  AuditReader(Audit audit, std::string user, std::vector<std::string> mentioned, pool::SettingsPtr known)
      : audit_(audit), user_(std::move(user)), mentioned_(std::move(mentioned)), known_(std::move(known)) {}

  /// A DataRow's body.
  void take_row(std::string_view body);
  /// The server has refused, or said what was not expected.
  void fail() { failed_ = true; }

  [[nodiscard]] Audit audit() const { return audit_; }
  [[nodiscard]] bool failed() const { return failed_; }
  [[nodiscard]] Pins pins() const { return pins_; }
  /// What the session listens to, in the encoding of the database.
  [[nodiscard]] std::vector<std::string> take_channels();
  /// Of `Audit::all`: all settings that differ from a new connection's, sorted by key.
  [[nodiscard]] std::vector<pool::SettingText> take_settings();
  /// Of `Audit::all`: whether those are the prepared statements that have names there.
  [[nodiscard]] bool are_prepared(const std::vector<std::string>& names) const;

 private:
  [[nodiscard]] bool is_known(std::string_view key) const;

  Audit audit_;
  std::string user_;
  std::vector<std::string> mentioned_;
  pool::SettingsPtr known_;
  bool failed_ = false;
  Pins pins_;
  std::vector<std::string> channels_;
  std::vector<pool::SettingText> settings_;
  std::size_t prepared_ = 0;
  std::string prepared_digest_;  ///< of their names
};

}  // namespace pgweir::session
