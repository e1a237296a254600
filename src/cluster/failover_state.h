// What must outlive the process in the middle of a failover, as a small YAML file with the nodes by name: the machine's
// memory, and from where a standby received before it was cut off.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cluster/failover_machine.h"

namespace pgweir::cluster {

/// primary_conninfo and primary_slot_name of a standby. The first may have a password in it.
struct Upstream {
  std::string conninfo;
  std::string slot;
  friend bool operator==(const Upstream&, const Upstream&) = default;
};

struct FailoverState {
  FailoverMemory memory;
  std::vector<Upstream> upstreams;             ///< by node; what pgweir has taken away and has to give back
  std::optional<base::NodeId> before_primary;  ///< the primary before the last one
};

/// Everything that is remembered, in a form that is the same for the same state.
[[nodiscard]] std::string text_of(const FailoverState& state, const std::vector<FailoverNode>& nodes);
/// Nodes that are not configured any more are left out; new ones are as if never seen.
[[nodiscard]] base::Result<FailoverState> failover_state_from(const std::string& text,
                                                              const std::vector<FailoverNode>& nodes);

/// No file: a state that remembers nothing. A bad one is an error, never taken for an empty one.
[[nodiscard]] base::Result<FailoverState> load_failover_state(const std::string& path,
                                                              const std::vector<FailoverNode>& nodes);
/// On disk when it returns, with access for the owner only: the old file, whole, or the new one. Blocks.
[[nodiscard]] base::Result<bool> write_durably(const std::string& path, const std::string& text);

}  // namespace pgweir::cluster
