// Asks one node how it is, again and again. Knows nothing of the other nodes; the monitor puts the answers together.
//
// Happy path: one connection stays open; a probe each interval, a position probe in between. What can fail: no
// connection, an error, or silence for `timeout`: the node's observation becomes that failure, and each interval a new
// connection is tried. A connection that was closed says nothing of the node: only whether it takes a new one does.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "cluster/observation.h"
#include "cluster/pq_session.h"
#include "cluster/probe_queries.h"
#include "net/timer.h"

namespace pgweir::cluster {

struct ProbeTimes {
  base::Duration interval{};
  base::Duration timeout{};
  base::Duration position_interval{};
};

/// What a position probe asks for: the node's own, or that and what tells how far replicas are.
enum class PositionsOf : std::uint8_t { node, replicas };

/// Control thread.
class NodeProbe {
 public:
  class Listener {
   public:
    /// A probe that started at `started` has ended, one way or the other.
    virtual void on_observation(std::size_t node, base::Time started, Observation observation) = 0;
    /// A position probe that started at `started` has been answered.
    virtual void on_position(std::size_t node, base::Time started, const PositionFacts& facts) = 0;
    /// The node with this address, as a receiver names its sender.
    [[nodiscard]] virtual std::optional<base::NodeId> node_at(std::string_view host, std::string_view port) const = 0;

   protected:
    ~Listener() = default;
  };

  NodeProbe(net::Loop& loop, std::size_t node, std::vector<std::pair<std::string, std::string>> parameters,
            ProbeTimes times, PositionsOf positions, Listener& listener);

  void start();
  /// Until `start`. What is under way is dropped.
  void stop();
  /// Probes now; if a probe is under way, once more when that has ended.
  void probe_now();
  void set_times(ProbeTimes times);

 private:
  void connect();
  void probe();
  void position_probe();
  void report(const base::Result<Rows>& rows);
  void failed(const base::Error& error);

  net::Loop& loop_;
  const std::size_t node_;
  const std::vector<std::pair<std::string, std::string>> parameters_;
  ProbeTimes times_;
  const PositionsOf positions_;
  Listener& listener_;
  std::unique_ptr<PqSession> session_;
  base::Time started_{};  ///< of the probe that is under way
  unsigned ended_ = 0;    ///< connections that were ended since the last answer
  bool is_connected_ = false;
  bool is_probing_ = false;  ///< a probe is under way, not a position probe
  net::Timer probe_timer_;
  net::Timer position_timer_;
  bool is_stopped_ = true;
  bool probe_wanted_ = false;  ///< a probe is due as soon as the session is free
};

}  // namespace pgweir::cluster
