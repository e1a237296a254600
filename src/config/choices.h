// The words that a choice may have in the configuration file, one table per enum. Everything that prints or reads a
// choice uses these tables.
#pragma once
#include <array>
#include <string_view>

#include "config/settings.h"

namespace pgweir::config {

template <class E>
struct Choice {
  E value;
  std::string_view name;
};
template <class E>
Choice(E, std::string_view) -> Choice<E>;

template <class E>
inline constexpr std::array<Choice<E>, 0> kChoices{};

template <>
inline constexpr std::array kChoices<TopologyKind>{Choice{TopologyKind::streaming, "streaming"},
                                                   Choice{TopologyKind::single, "single"},
                                                   Choice{TopologyKind::logical, "logical"}};
template <>
inline constexpr std::array kChoices<NodeRole>{Choice{NodeRole::origin, "origin"},
                                               Choice{NodeRole::replica, "replica"}};
template <>
inline constexpr std::array kChoices<AuthMethod>{Choice{AuthMethod::trust, "trust"},
                                                 Choice{AuthMethod::scram_sha_256, "scram-sha-256"}};
template <>
inline constexpr std::array kChoices<PoolMode>{Choice{PoolMode::transaction, "transaction"},
                                               Choice{PoolMode::session, "session"},
                                               Choice{PoolMode::statement, "statement"}};
template <>
inline constexpr std::array kChoices<ListenMode>{Choice{ListenMode::pin, "pin"}, Choice{ListenMode::shared, "shared"}};
template <>
inline constexpr std::array kChoices<Reads>{Choice{Reads::standbys, "standbys"}, Choice{Reads::primary, "primary"}};
template <>
inline constexpr std::array kChoices<Balance>{Choice{Balance::statement, "statement"},
                                              Choice{Balance::session, "session"}};
template <>
inline constexpr std::array kChoices<Consistency>{Choice{Consistency::eventual, "eventual"},
                                                  Choice{Consistency::session, "session"},
                                                  Choice{Consistency::strict, "strict"}};
template <>
inline constexpr std::array kChoices<FailoverMode>{Choice{FailoverMode::observe, "observe"},
                                                   Choice{FailoverMode::promote, "promote"},
                                                   Choice{FailoverMode::command, "command"}};
template <>
inline constexpr std::array kChoices<TlsMode>{
    Choice{TlsMode::disable, "disable"},     Choice{TlsMode::allow, "allow"},
    Choice{TlsMode::prefer, "prefer"},       Choice{TlsMode::require, "require"},
    Choice{TlsMode::verify_ca, "verify-ca"}, Choice{TlsMode::verify_full, "verify-full"}};
template <>
inline constexpr std::array kChoices<TlsVersion>{Choice{TlsVersion::v1_2, "1.2"}, Choice{TlsVersion::v1_3, "1.3"}};
template <>
inline constexpr std::array kChoices<base::log::Level>{
    Choice{base::log::Level::debug, "debug"}, Choice{base::log::Level::info, "info"},
    Choice{base::log::Level::warning, "warning"}, Choice{base::log::Level::error, "error"}};

/// The word for `value`; empty for a value outside the enum.
template <class E>
[[nodiscard]] constexpr std::string_view choice_name(E value) {
  for (const Choice<E>& choice : kChoices<E>)
    if (choice.value == value) return choice.name;
  return {};
}

}  // namespace pgweir::config
