// Start-up parameters in a form that can be compared; see startup_class.h.
#include "pool/startup_class.h"

#include <map>
#include <string_view>

#include "wire/messages/startup.h"

namespace pgweir::pool {

bool asks_for_replication(const std::string& value) { return wire::replication_of(value) != wire::Replication::no; }

StartupClass::StartupClass(std::vector<std::pair<std::string, std::string>> parameters, const std::string& replication)
    : replication_(asks_for_replication(replication)) {
  std::map<std::string, std::string> sorted;
  for (auto& [name, value] : parameters) sorted[name] = std::move(value);
  if (!replication.empty()) sorted["replication"] = replication;
  parameters_.assign(sorted.begin(), sorted.end());
  for (const auto& [name, value] : parameters_) {
    key_.append(name).push_back('\0');
    key_.append(value).push_back('\0');
  }
}

}  // namespace pgweir::pool
