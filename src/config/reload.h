// What a reload changes, and which part of it a running process may take over.
#pragma once
#include <string>
#include <vector>

#include "config/settings.h"

namespace pgweir::config {

struct Change {
  std::string key;  ///< "pool.size", "nodes.pg1.weight"; "nodes" when some were added, removed or put in
                    ///< another order, and so for the other lists
  std::string old_value;
  std::string new_value;
  bool reloadable = false;  ///< false: takes effect at the next start
  friend bool operator==(const Change&, const Change&) = default;
};

/// Every key whose value differs, in the order of the option table; elements of lists are told apart by name.
[[nodiscard]] std::vector<Change> difference(const Settings& old_settings, const Settings& new_settings);

/// `running` with every reloadable value taken from `loaded`: what to work with after a reload.
[[nodiscard]] Settings take_reloadable(const Settings& running, const Settings& loaded);

}  // namespace pgweir::config
