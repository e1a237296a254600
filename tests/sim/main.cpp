// pgweir's failover machine against random disasters. Every schedule has a number; the same number is the same
// schedule, always. A failure prints it, the shortest version of it that still fails, and what happened.
//
//   failover_sim [FIRST [COUNT]]        schedules FIRST .. FIRST + COUNT - 1
//   failover_sim --lies [COUNT]         each lie must be found within COUNT schedules: the invariants can fail
//   failover_sim --tell NUMBER          one schedule, with everything that happens
#include <cstdio>
#include <cstdlib>
#include <string>

#include "scenario.h"

using namespace pgweir;
using sim::Lie;

namespace {

long long ms(base::Duration time) { return std::chrono::duration_cast<std::chrono::milliseconds>(time).count(); }

void print_failure(const sim::Scenario& scenario, Lie lie, const std::string& broken) {
  const sim::Scenario shortest = sim::shrink(scenario, lie, broken);
  std::printf("BROKEN: %s\n%sshortest that breaks so:\n%s", broken.c_str(), sim::text_of(scenario).c_str(),
              sim::text_of(shortest).c_str());
  std::printf("%s", sim::run(shortest, lie, true).story.c_str());
}

int run_many(std::uint64_t first, std::uint64_t count) {
  sim::Report sum;
  unsigned broken = 0;
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    const sim::Scenario scenario = sim::make_scenario(seed);
    const sim::Report report = sim::run(scenario, Lie::none, false);
    sum.promotions += report.promotions;
    sum.switchovers += report.switchovers;
    sum.settled_after = std::max(sum.settled_after, report.settled_after);
    if (report.broken.empty()) continue;
    if (++broken <= 3)
      print_failure(scenario, Lie::none, report.broken);
    else
      std::printf("BROKEN: seed %llu: %s\n", static_cast<unsigned long long>(seed), report.broken.c_str());
    if (broken >= 30) break;
  }
  std::printf(
      "%llu schedules from %llu: %u broken; %u promotions, %u switchovers begun, settled at the latest %lld ms "
      "after the last fault\n",
      static_cast<unsigned long long>(count), static_cast<unsigned long long>(first), broken, sum.promotions,
      sum.switchovers, ms(sum.settled_after));
  return broken == 0 ? 0 : 1;
}

int find_lies(std::uint64_t count) {
  int status = 0;
  for (const Lie lie : {Lie::no_sync_names, Lie::replayed_as_received, Lie::cut_at_once, Lie::one_timeline,
                        Lie::nobody_hears, Lie::no_clock}) {
    std::string found;
    std::uint64_t seed = 1;
    for (; seed <= count && found.empty(); ++seed) found = sim::run(sim::make_scenario(seed), lie, false).broken;
    std::printf("%-22s %s after %llu schedules\n", sim::name_of(lie), found.empty() ? "NOT FOUND" : found.c_str(),
                static_cast<unsigned long long>(seed - 1));
    if (found.empty()) status = 1;
  }
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string first = argc > 1 ? argv[1] : "1";
  const auto second = [&](std::uint64_t otherwise) {
    return argc > 2 ? std::strtoull(argv[2], nullptr, 10) : otherwise;
  };
  if (first == "--lies") return find_lies(second(5000));
  if (first == "--tell") {
    const sim::Scenario scenario = sim::make_scenario(second(1));
    const sim::Report report = sim::run(scenario, Lie::none, true);
    std::printf("%s%s", sim::text_of(scenario).c_str(), report.story.c_str());
    return report.broken.empty() ? 0 : 1;
  }
  return run_many(std::strtoull(first.c_str(), nullptr, 10), second(20000));
}
