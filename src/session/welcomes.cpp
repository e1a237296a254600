// Which clients are told the same at login; see welcomes.h.
#include "session/welcomes.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/byte_queue.h"
#include "pool/server_connection.h"
#include "pool/startup_class.h"
#include "wire/messages/backend.h"

namespace pgweir::session {

namespace {

/// The value that a server reports for an application_name it was told; absent when it would change it
/// (utils/misc/guc.c, check_application_name; it is a name, so it may be cut).
bool is_reported_as_given(std::string_view name) {
  constexpr std::size_t kLongestName = 63;
  return name.size() <= kLongestName &&
         std::all_of(name.begin(), name.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

const std::string* own_application_name(const Parameters& parameters) {
  const std::string* found = nullptr;
  for (const auto& [name, value] : parameters)
    if (name == "application_name") found = &value;
  return found && is_reported_as_given(*found) ? found : nullptr;
}

}  // namespace

bool is_unsafe_encoding(const Parameters& parameters) {
  // Encodings that exist on the client side only (mb/pg_wchar.h): a character's later bytes may be ASCII.
  static constexpr std::array<std::string_view, 8> kUnsafe{"SJIS",  "BIG5",           "GBK",          "UHC", "GB18030",
                                                           "JOHAB", "SHIFT_JIS_2004", "MULE_INTERNAL"};
  for (const auto& [name, value] : parameters) {
    if (name == "standard_conforming_strings" && value != "on") return true;
    if (name == "client_encoding" && std::find(kUnsafe.begin(), kUnsafe.end(), value) != kUnsafe.end()) return true;
  }
  return false;
}

Welcome::Welcome(ParametersPtr told)
    : parameters(std::move(told)), hash(pool::hash_of(*parameters)), unsafe_encoding(is_unsafe_encoding(*parameters)) {
  base::ByteQueue out;
  for (const auto& [name, value] : *parameters) wire::encode_parameter_status(out, name, value);
  messages = out.view();
}

std::string Welcomes::key(std::string_view database, std::string_view user, const Parameters& parameters,
                          const std::string& replication) {
  Parameters others = parameters;
  if (own_application_name(parameters))
    for (auto& [name, value] : others)
      if (name == "application_name") value.clear();
  std::string key(database);
  key.append(1, '\0').append(user).append(1, '\0');
  return key + pool::StartupClass(std::move(others), replication).key();
}

WelcomePtr Welcomes::find(std::string_view key, const Parameters& parameters) const {
  const auto found = known_.find(key);
  if (found == known_.end()) return nullptr;
  const std::string* name = own_application_name(parameters);
  if (!name) return found->second;
  const auto is_name = [](const auto& one) { return one.first == "application_name"; };
  const Parameters& told = *found->second->parameters;
  const auto known = std::find_if(told.begin(), told.end(), is_name);
  if (known == told.end() || known->second == *name) return found->second;
  auto own = std::make_shared<Parameters>(told);
  std::find_if(own->begin(), own->end(), is_name)->second = *name;
  return std::make_shared<const Welcome>(std::move(own));
}

void Welcomes::remember(const std::string& key, WelcomePtr welcome) {
  // Start-up parameters come from clients: the memory for them is bounded by forgetting all and asking again.
  constexpr std::size_t kMost = 1000;
  if (known_.size() >= kMost) known_.clear();
  known_.insert_or_assign(key, std::move(welcome));
}

}  // namespace pgweir::session
