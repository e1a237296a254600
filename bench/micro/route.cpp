// The decision table for statements whose facts are at hand, with a catalog, and the effects on the session.
#include <benchmark/benchmark.h>

#include <string>

#include "routing/route.h"
#include "sql/classifier.h"
#include "unit/routing/small_catalog.h"

namespace pgweir::bench {
namespace {

class NothingPrepared : public routing::PreparedLookup {
 public:
  [[nodiscard]] sql::CachedFactsPtr find(std::string_view) const override { return nullptr; }
};

struct World {
  routing::CatalogPtr catalog = test::small_catalog();
  routing::SessionFacts session;
  NothingPrepared prepared;
  sql::Classifier classifier{sql::ClassifierLimits{}};
};

/// The verdict is remembered with the facts, so this is what a hit costs.
void decide(benchmark::State& state, const std::string& text, routing::ReadsMode reads) {
  World world;
  world.session.reads = reads;
  const sql::Classified query = world.classifier.classify(1, text);
  for (auto _ : state) {
    benchmark::DoNotOptimize(routing::decide(query, world.session, world.prepared, world.catalog.get()));
  }
}
BENCHMARK_CAPTURE(decide, read, "SELECT count(*) FROM t WHERE a = 1", routing::ReadsMode::standbys);
BENCHMARK_CAPTURE(decide, read_on_primary, "SELECT count(*) FROM t WHERE a = 1", routing::ReadsMode::primary);
BENCHMARK_CAPTURE(decide, write, "UPDATE t SET a = 1 WHERE a = 2", routing::ReadsMode::standbys);
BENCHMARK_CAPTURE(decide, begin, "BEGIN", routing::ReadsMode::standbys);

/// With a new version of the catalog each time: everything is looked up again.
void decide_anew(benchmark::State& state) {
  World world;
  const routing::CatalogPtr other = test::small_catalog(2);
  const sql::Classified query = world.classifier.classify(1, "SELECT count(*) FROM t WHERE a = 1");
  bool first = true;
  for (auto _ : state) {
    const routing::Catalog* catalog = first ? world.catalog.get() : other.get();
    first = !first;
    benchmark::DoNotOptimize(routing::decide(query, world.session, world.prepared, catalog));
  }
}
BENCHMARK(decide_anew);

void effects(benchmark::State& state) {
  World world;
  const sql::Classified query = world.classifier.classify(1, "UPDATE t SET a = 1 WHERE a = 2");
  for (auto _ : state) benchmark::DoNotOptimize(routing::effects_of(*query.entry, world.catalog.get()));
}
BENCHMARK(effects);

}  // namespace
}  // namespace pgweir::bench
