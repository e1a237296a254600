// What the real control thread does for the machine, in simulated time: probes with their time limits, actions with
// lost and late answers.
#pragma once
#include <deque>
#include <optional>
#include <vector>

#include "cluster/failover_machine.h"
#include "scenario.h"
#include "world.h"

namespace pgweir::sim {

class Shell {
 public:
  Shell(const Scenario& scenario, World& world, Lie lie, std::mt19937& dice);

  /// Starts what is due and hands the machine what has arrived.
  void step(base::Time now, cluster::FailoverMachine& machine);
  void apply(const cluster::Event& event, base::Time now, cluster::FailoverMachine& machine);
  /// The process of pgweir has ended: nobody waits for answers any more; what was sent still takes effect.
  void forget();
  void stop_bad_answers() { bad_answers_ = false; }
  [[nodiscard]] bool is_full(std::size_t node, base::Time now) const { return now < full_until_[node]; }
  void set_full(std::size_t node, base::Time until) { full_until_[node] = until; }

  std::vector<cluster::Action> promotions;  ///< asked for in this step
  /// Since when pgweir has tried to cut this node off, in vain.
  std::vector<std::optional<base::Time>> cutting_since;

 private:
  struct Probe {
    base::Time started, due;
    bool snapshot_first = false;
    std::optional<cluster::ProbeAnswer> snapshot;
  };
  struct Job {
    cluster::Action action;
    base::Time asked, effect_at, answer_at;
    bool has_effect = false, answer_is_lost = false, is_forgotten = false;
    cluster::Outcome outcome = cluster::Outcome::unknown;
  };

  void start_probe(std::size_t node, base::Time now);
  [[nodiscard]] cluster::ProbeAnswer look(std::size_t node, base::Time now) const;
  [[nodiscard]] bool reaches(std::size_t node) const { return world_.talks(world_.pgweir(), node); }
  void finish_probes(base::Time now, cluster::FailoverMachine& machine);
  void run_jobs(base::Time now, cluster::FailoverMachine& machine);
  [[nodiscard]] cluster::Outcome carry_out(const cluster::Action& action, base::Time now);

  const Scenario& scenario_;
  World& world_;
  Lie lie_;
  std::mt19937& dice_;
  bool bad_answers_;
  const std::string sync_names_;
  std::vector<std::optional<Probe>> probes_;
  std::vector<base::Time> next_probe_;
  std::vector<base::Time> full_until_;
  std::deque<Job> jobs_;
};

[[nodiscard]] inline cluster::Moment moment(base::Time now) {
  return {now, base::WallTime(std::chrono::duration_cast<base::WallTime::duration>(now.time_since_epoch()))};
}

}  // namespace pgweir::sim
