// One schedule of disasters: made from a seed, run against the failover machine, judged by invariants.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "cluster/failover_facts.h"
#include "world.h"

namespace pgweir::sim {

/// What is told to the machine wrongly, to show that the invariants find a machine that decides so.
enum class Lie {
  none,
  no_sync_names,         ///< as a machine without the quorum rule
  replayed_as_received,  ///< as one that compares what has been replayed
  cut_at_once,           ///< as one that does not wait until standbys have been cut off
  one_timeline,          ///< as one that does not know timelines
  nobody_hears,          ///< as one that believes its own network only
  no_clock,              ///< as one without time limits
};
[[nodiscard]] const char* name_of(Lie lie);

enum class FaultKind {
  kill,
  start,
  quick_restart,
  power_off,
  power_on,
  freeze,
  thaw,
  cut_link,
  heal_link,
  isolate_node,
  isolate_pgweir,
  heal_all,
  promote_by_hand,
  switchover,
  disable,
  enable,
  restart_pgweir,
  full
};

struct Fault {
  base::Time at;
  FaultKind kind = FaultKind::kill;
  std::size_t a = 0;
  std::size_t b = 0;
};

struct Scenario {
  std::uint64_t seed = 0;
  std::size_t nodes = 3;
  cluster::FailoverMode mode = cluster::FailoverMode::promote;
  bool rejoin = false;
  SyncKind sync = SyncKind::off;
  unsigned sync_count = 1;
  bool star = false;
  bool others_write = false;  ///< clients that do not use pgweir write on any primary
  bool bad_answers = false;   ///< answers to actions are lost or late, probes slow
  std::vector<Fault> faults;
};

struct Report {
  std::string broken;  ///< the invariant; empty: all held
  unsigned promotions = 0, switchovers = 0, repairs = 0, held_back = 0;
  base::Duration longest_hold{};
  base::Duration settled_after{};  ///< since the last fault ended
  std::string story;               ///< what happened, if asked for
};

[[nodiscard]] Scenario make_scenario(std::uint64_t seed);
[[nodiscard]] Report run(const Scenario& scenario, Lie lie, bool tell);
/// Leaves out faults while the same invariant still breaks.
[[nodiscard]] Scenario shrink(Scenario scenario, Lie lie, const std::string& broken);
[[nodiscard]] std::string text_of(const Scenario& scenario);

}  // namespace pgweir::sim
