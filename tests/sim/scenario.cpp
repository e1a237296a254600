// Making schedules from seeds, writing them down, and making failing ones shorter; see scenario.h.
#include "scenario.h"

#include <algorithm>
#include <array>
#include <random>

namespace pgweir::sim {

namespace {

constexpr std::array kFaultNames{"kill",
                                 "start",
                                 "quick_restart",
                                 "power_off",
                                 "power_on",
                                 "freeze",
                                 "thaw",
                                 "cut_link",
                                 "heal_link",
                                 "isolate_node",
                                 "isolate_pgweir",
                                 "heal_all",
                                 "promote_by_hand",
                                 "switchover",
                                 "disable",
                                 "enable",
                                 "restart_pgweir",
                                 "full"};
constexpr std::array kLieNames{"none",         "no_sync_names", "replayed_as_received", "cut_at_once", "one_timeline",
                               "nobody_hears", "no_clock"};

// How often each fault is drawn, in the order of FaultKind.
constexpr std::array kWeights{10, 8, 4, 5, 5, 5, 6, 8, 6, 5, 4, 4, 1, 4, 2, 3, 3, 2};

}  // namespace

const char* name_of(Lie lie) { return kLieNames[static_cast<std::size_t>(lie)]; }

Scenario make_scenario(std::uint64_t seed) {
  std::mt19937 dice(static_cast<std::mt19937::result_type>(seed * 2654435761U + 12345));
  const auto roll = [&] { return static_cast<unsigned>(dice()); };
  const auto one_in = [&](unsigned n) { return roll() % n == 0; };
  Scenario made;
  made.seed = seed;
  made.nodes = std::array{2U, 3U, 3U, 3U, 4U, 5U}[roll() % 6];
  const unsigned mode = roll() % 12;
  if (mode == 0) made.mode = cluster::FailoverMode::observe;
  if (mode == 1) made.mode = cluster::FailoverMode::command;
  made.rejoin = !one_in(3);
  made.sync = std::array{SyncKind::off, SyncKind::any, SyncKind::first}[roll() % 3];
  made.sync_count = made.nodes > 3 ? 1 + roll() % 2 : 1;
  made.star = one_in(3);
  made.others_write = one_in(2);
  made.bad_answers = one_in(2);
  const bool by_hand = made.mode == cluster::FailoverMode::observe || one_in(10);
  base::Time at = kBeginning + 3s;
  const unsigned count = 1 + roll() % 10;
  std::discrete_distribution<int> kinds(kWeights.begin(), kWeights.end());
  for (unsigned i = 0; i < count; ++i) {
    at += std::chrono::milliseconds(one_in(2) ? roll() % 400 : roll() % 4000);
    const auto kind = static_cast<FaultKind>(kinds(dice));
    if (kind == FaultKind::promote_by_hand && !by_hand) continue;
    // Most disasters are about the first primary.
    const std::size_t a = one_in(3) ? 0 : roll() % made.nodes;
    made.faults.push_back({at, kind, a, roll() % (made.nodes + 1)});
  }
  return made;
}

Scenario shrink(Scenario scenario, Lie lie, const std::string& broken) {
  for (std::size_t i = 0; i < scenario.faults.size();) {
    Scenario shorter = scenario;
    shorter.faults.erase(shorter.faults.begin() + static_cast<std::ptrdiff_t>(i));
    if (run(shorter, lie, false).broken == broken)
      scenario = std::move(shorter);
    else
      ++i;
  }
  return scenario;
}

std::string text_of(const Scenario& scenario) {
  std::string out = "seed " + std::to_string(scenario.seed) + ": " + std::to_string(scenario.nodes) + " nodes, mode " +
                    std::array{"observe", "promote", "command"}[static_cast<std::size_t>(scenario.mode)] + ", " +
                    std::array{"async", "ANY", "FIRST"}[static_cast<std::size_t>(scenario.sync)] + " " +
                    std::to_string(scenario.sync_count) + (scenario.star ? " (*)" : "") +
                    (scenario.rejoin ? ", rejoin" : "") + (scenario.others_write ? ", others write" : "") +
                    (scenario.bad_answers ? ", bad answers" : "") + "\n";
  for (const Fault& fault : scenario.faults) {
    const auto at = std::chrono::duration_cast<std::chrono::milliseconds>(fault.at - kBeginning).count();
    out += "  " + std::to_string(at) + " ms " + kFaultNames[static_cast<std::size_t>(fault.kind)] + " " +
           std::to_string(fault.a) + " " + std::to_string(fault.b) + "\n";
  }
  return out;
}

}  // namespace pgweir::sim
