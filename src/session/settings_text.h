// Settings as statements: what must be said to a server connection that has been told one thing so that it has been
// told another, and which of a client's start-up parameters can be said that way. Pure.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pool/carried_on_server.h"

namespace pgweir::session {

/// A string constant that means the same whatever standard_conforming_strings says.
[[nodiscard]] std::string to_literal(std::string_view text);
/// As an identifier, quoted.
[[nodiscard]] std::string to_identifier(std::string_view name);
/// `SELECT pg_catalog.set_config(...)`: takes a value in the form in which SHOW gives it, lists too.
[[nodiscard]] std::string set_config_text(std::string_view name, std::string_view value);
/// RESET of it.
[[nodiscard]] std::string reset_text(std::string_view name);
/// A setting that PostgreSQL makes when somebody sets it, unless a library has defined it: its name has a dot.
[[nodiscard]] bool is_custom(std::string_view name);
[[nodiscard]] bool is_ascii(std::string_view text);
[[nodiscard]] bool is_utf8(std::string_view text);
/// Whether a text means the same under every client_encoding and string syntax: ASCII without backslashes.
[[nodiscard]] bool is_portable(std::string_view text);

/// `settings`, but search_path, role and session authorization as in `names`.
[[nodiscard]] pool::SettingsPtr with_names_of(const pool::SettingsPtr& settings, const pool::SettingsPtr& names);

/// Appends what looks like the name of a setting with a dot in it (a.b, "a" . "b"), in lower case, to `names` unless it
/// is there; false when some were left out because there would be more than `most`. Looks at the bytes alone: texts,
/// and the parameters in a message. Names that are not ASCII must be UTF-8.
bool add_custom_names(std::string_view bytes, std::size_t most, std::vector<std::string>& names);
/// How many are asked for at most.
inline constexpr std::size_t kMostCustomNames = 4096;

/// Who makes the settings: who logged in, before the role is taken, or the role.
enum class MadeBy : std::uint8_t { login, role };

/// One query string that brings a connection from `from` to `to`; empty when there is nothing to do. All of it happens
/// or none, because a query string is one transaction.
[[nodiscard]] std::string statements_between(const pool::SettingsPtr& from, const pool::SettingsPtr& to,
                                             MadeBy made_by = MadeBy::login);
/// Whether a statement_timeout of less than a second is among them, or one of unknown length.
[[nodiscard]] bool has_short_timeout(const pool::SettingsPtr& settings);
/// The others.
[[nodiscard]] pool::SettingsPtr without_timeout(const pool::SettingsPtr& settings);
/// Whether a transaction under them may have to wait until it can be deferred.
[[nodiscard]] bool is_deferrable(const pool::SettingsPtr& settings);
/// Whether role or session authorization is among them.
[[nodiscard]] bool has_identity(const pool::SettingsPtr& settings);

using Parameters = std::vector<std::pair<std::string, std::string>>;

/// A client's start-up parameters, in two parts.
struct StartupParts {
  Parameters of_connection;                 ///< only a connection's own start-up packet can say them
  std::vector<pool::SettingText> settings;  ///< can be set later; sorted by key
};

/// `parameters`: of a StartupMessage without user, database and replication. The switches in "options" are taken apart
/// as PostgreSQL does (utils/init/postinit.c, process_startup_options; tcop/postgres.c, process_postgres_switches).
[[nodiscard]] StartupParts split_startup(const Parameters& parameters);
/// What start-up parameters say of one setting, given in lower case.
[[nodiscard]] std::optional<std::string> startup_value(const Parameters& parameters, std::string_view key);

}  // namespace pgweir::session
