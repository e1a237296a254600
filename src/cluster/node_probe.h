// Asks one node how it is, again and again. Knows nothing of the other nodes; the monitor puts the answers together.
//
// Happy path: one connection stays open; a full probe each interval, a position probe in between. What can fail: no
// connection, an error, or silence for `timeout`: the node's observation becomes that failure, and each interval a new
// connection is tried.
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

/// Control thread.
class NodeProbe {
 public:
  class Listener {
   public:
    /// A full probe has ended, one way or the other.
    virtual void on_observation(std::size_t node, Observation observation) = 0;
    /// A position probe that started at `started` has been answered.
    virtual void on_position(std::size_t node, base::Time started, const PositionFacts& facts) = 0;

   protected:
    ~Listener() = default;
  };

  NodeProbe(net::Loop& loop, std::size_t node, std::vector<std::pair<std::string, std::string>> parameters,
            ProbeTimes times, Listener& listener);

  void start();
  /// Does a full probe now, unless one is under way.
  void probe_now();
  void set_times(ProbeTimes times);

 private:
  void connect();
  void full_probe();
  void position_probe();
  void failed(const base::Error& error);

  net::Loop& loop_;
  const std::size_t node_;
  const std::vector<std::pair<std::string, std::string>> parameters_;
  ProbeTimes times_;
  Listener& listener_;
  std::unique_ptr<PqSession> session_;
  net::Timer full_timer_;
  net::Timer position_timer_;
  bool probe_wanted_ = false;  ///< a full probe is due as soon as the session is free
};

}  // namespace pgweir::cluster
