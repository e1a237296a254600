// What the texts of a configuration file may be: one rule per kind of text, and the two values that are written as text
// but kept as something else (the list of addresses, the mode of a socket).
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "config/codec.h"
#include "config/settings.h"

namespace pgweir::config::rules {

// A reason is empty when the text is fine. None of these allows control characters.
extern const TextRule kNodeName;         ///< 1 to 63 of a-z, 0-9, _ and -
extern const TextRule kNodeHost;         ///< a host name, an address, or an absolute path
extern const TextRule kMaybeNodeHost;    ///< the same, or nothing
extern const TextRule kIdentifier;       ///< a user or database of PostgreSQL: 1 to 63 bytes
extern const TextRule kMaybeIdentifier;  ///< the same, or nothing
extern const TextRule kQuery;            ///< one line of SQL with $1 in it
extern const TextRule kSystemUser;       ///< a user of the operating system, or nothing
extern const TextRule kPath;             ///< a path, or nothing
extern const TextRule kFile;             ///< a path
extern const TextRule kServerName;       ///< a host name, or nothing
extern const TextRule kCommand;          ///< for a shell, or nothing
extern const TextRule kSocketDirectory;  ///< an absolute path short enough for a Unix socket in it, or nothing

inline constexpr std::string_view kHostsAllowed = "host names or addresses separated by commas, or nothing";
[[nodiscard]] Parsed<std::vector<std::string>> parse_hosts(std::string_view text);
[[nodiscard]] std::string format_hosts(const std::vector<std::string>& hosts);

inline constexpr std::string_view kNamesAllowed = "names of 1 to 63 bytes separated by commas, or nothing";
[[nodiscard]] Parsed<std::vector<std::string>> parse_names(std::string_view text);

inline constexpr std::string_view kTablesAllowed = "names schema.table or schema.*, as a list or with commas between";
[[nodiscard]] Parsed<std::vector<TableName>> parse_tables(std::string_view text);
[[nodiscard]] std::string format_tables(const std::vector<TableName>& tables);

inline constexpr std::string_view kModeAllowed = "an octal number from 0 to 0777";
[[nodiscard]] Parsed<std::uint32_t> parse_mode(std::string_view text);
[[nodiscard]] std::string format_mode(std::uint32_t mode);

inline constexpr std::string_view kWorkersAllowed = "auto, or a whole number from 1 to 128";
[[nodiscard]] Parsed<std::uint16_t> parse_workers(std::string_view text);
[[nodiscard]] std::string format_workers(std::uint16_t workers);

}  // namespace pgweir::config::rules
