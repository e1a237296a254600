// The SQLSTATEs that pgweir itself sends or acts upon, in one table.
// Source: PostgreSQL documentation, appendix A "PostgreSQL Error Codes".
#pragma once
#include <array>
#include <compare>
#include <string_view>

namespace pgweir::base {

/// Five characters, always upper-case letters and digits.
struct Sqlstate {
  std::array<char, 5> code{'0', '0', '0', '0', '0'};

  constexpr Sqlstate() = default;
  /// `text` must have five characters; anything else becomes XX000 (internal_error).
  explicit constexpr Sqlstate(std::string_view text) {
    const std::string_view from = text.size() == 5 ? text : std::string_view{"XX000"};
    for (std::size_t i = 0; i < 5; ++i) code[i] = from[i];
  }
  [[nodiscard]] constexpr std::string_view view() const { return {code.data(), code.size()}; }
  /// The first two characters.
  [[nodiscard]] constexpr std::string_view error_class() const { return view().substr(0, 2); }
  friend constexpr auto operator<=>(const Sqlstate&, const Sqlstate&) = default;
};

namespace sqlstate {
inline constexpr Sqlstate successful_completion{"00000"};
inline constexpr Sqlstate connection_failure{"08006"};
inline constexpr Sqlstate transaction_resolution_unknown{"08007"};
inline constexpr Sqlstate protocol_violation{"08P01"};
inline constexpr Sqlstate feature_not_supported{"0A000"};
inline constexpr Sqlstate invalid_regular_expression{"2201B"};
inline constexpr Sqlstate invalid_parameter_value{"22023"};
inline constexpr Sqlstate active_sql_transaction{"25001"};
inline constexpr Sqlstate read_only_sql_transaction{"25006"};
inline constexpr Sqlstate in_failed_sql_transaction{"25P02"};
inline constexpr Sqlstate idle_in_transaction_session_timeout{"25P03"};
inline constexpr Sqlstate transaction_timeout{"25P04"};
inline constexpr Sqlstate invalid_sql_statement_name{"26000"};
inline constexpr Sqlstate invalid_authorization_specification{"28000"};
inline constexpr Sqlstate invalid_password{"28P01"};
inline constexpr Sqlstate invalid_cursor_name{"34000"};
inline constexpr Sqlstate invalid_catalog_name{"3D000"};
inline constexpr Sqlstate invalid_schema_name{"3F000"};
inline constexpr Sqlstate serialization_failure{"40001"};
inline constexpr Sqlstate insufficient_privilege{"42501"};
inline constexpr Sqlstate syntax_error{"42601"};
inline constexpr Sqlstate undefined_column{"42703"};
inline constexpr Sqlstate undefined_function{"42883"};
inline constexpr Sqlstate undefined_object{"42704"};
inline constexpr Sqlstate undefined_table{"42P01"};
inline constexpr Sqlstate duplicate_prepared_statement{"42P05"};
inline constexpr Sqlstate too_many_connections{"53300"};
inline constexpr Sqlstate configuration_limit_exceeded{"53400"};
inline constexpr Sqlstate program_limit_exceeded{"54000"};
inline constexpr Sqlstate object_not_in_prerequisite_state{"55000"};
inline constexpr Sqlstate query_canceled{"57014"};
inline constexpr Sqlstate admin_shutdown{"57P01"};
inline constexpr Sqlstate cannot_connect_now{"57P03"};
inline constexpr Sqlstate idle_session_timeout{"57P05"};
inline constexpr Sqlstate config_file_error{"F0000"};
inline constexpr Sqlstate internal_error{"XX000"};
}  // namespace sqlstate

}  // namespace pgweir::base
