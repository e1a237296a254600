// Strong types for ids: a node's number cannot be passed where a session's is meant.
#pragma once
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace pgweir::base {

template <class Tag, class Rep>
struct Id {
  Rep value{};
  friend constexpr auto operator<=>(Id, Id) = default;
};

/// A node's position in the configuration, from 0: what `SHOW pool_nodes` prints as node_id.
using NodeId = Id<struct NodeTag, std::uint16_t>;
/// Unique for the life of the process; also the "backend pid" that a client is told.
using SessionId = Id<struct SessionTag, std::uint32_t>;
/// Position of a worker thread, from 0.
using WorkerId = Id<struct WorkerTag, std::uint16_t>;

}  // namespace pgweir::base

template <class Tag, class Rep>
struct std::hash<pgweir::base::Id<Tag, Rep>> {
  std::size_t operator()(pgweir::base::Id<Tag, Rep> id) const noexcept { return std::hash<Rep>{}(id.value); }
};
