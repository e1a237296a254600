// How fresh each standby is: written by the monitor many times a second, read by the workers at each routing decision.
#pragma once
#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "routing/topology.h"

namespace pgweir::cluster {

/// Fixed size; each cell has one writer (the control thread) and any number of readers.
class SharedFreshness {
 public:
  explicit SharedFreshness(std::size_t nodes) : cells_(nodes) {}

  void write(base::NodeId node, const routing::NodeFreshness& value) {
    Cell& cell = cells_[node.value];
    cell.fresh_until.store(value.fresh_until.time_since_epoch().count(), std::memory_order_relaxed);
    cell.lag_bytes.store(value.lag_bytes, std::memory_order_relaxed);
  }
  [[nodiscard]] routing::NodeFreshness read(base::NodeId node) const {
    const Cell& cell = cells_[node.value];
    return {base::Time(base::Duration(cell.fresh_until.load(std::memory_order_relaxed))),
            cell.lag_bytes.load(std::memory_order_relaxed)};
  }
  /// Fills `out`, one element per node.
  void read_all(std::span<routing::NodeFreshness> out) const {
    for (std::size_t i = 0; i < out.size() && i < cells_.size(); ++i)
      out[i] = read(base::NodeId{static_cast<std::uint16_t>(i)});
  }
  [[nodiscard]] std::size_t size() const { return cells_.size(); }

 private:
  struct Cell {
    std::atomic<base::Duration::rep> fresh_until{0};
    std::atomic<std::uint64_t> lag_bytes{0};
  };
  std::vector<Cell> cells_;
};

}  // namespace pgweir::cluster
