// What reading a statement costs: its tokens, its shape, a hit in the cache, and a miss, which parses.
#include <benchmark/benchmark.h>
#include <malloc.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include "micro/statements.h"
#include "sql/classifier.h"
#include "sql/shape.h"
#include "sql/tokenizer.h"

namespace pgweir::bench {
namespace {

void count_bytes(benchmark::State& state, const std::string& text) {
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(text.size()));
}

void tokenize(benchmark::State& state, const std::string& text) {
  for (auto _ : state) {
    sql::Tokenizer tokenizer(text);
    while (tokenizer.next().kind != sql::TokenKind::end) {
    }
    benchmark::DoNotOptimize(tokenizer.position());
  }
  count_bytes(state, text);
}

void shape(benchmark::State& state, const std::string& text) {
  for (auto _ : state) benchmark::DoNotOptimize(sql::shape_of(text, 17));
  count_bytes(state, text);
}

void hit(benchmark::State& state, const std::string& text) {
  sql::Classifier classifier{sql::ClassifierLimits{}};
  benchmark::DoNotOptimize(classifier.classify(1, text));
  for (auto _ : state) benchmark::DoNotOptimize(classifier.classify(1, text));
  if (classifier.stats().misses != 1) state.SkipWithError("not only hits");
  count_bytes(state, text);
}

/// The steady state of a full cache that never has what is asked for: each classification parses and evicts.
void miss(benchmark::State& state, const std::string& text) {
  sql::Classifier classifier{sql::ClassifierLimits{}};
  std::uint32_t database = 0;  // part of the key: the same text in another database is another shape
  for (auto _ : state) benchmark::DoNotOptimize(classifier.classify(++database, text));
  if (classifier.stats().hits != 0) state.SkipWithError("not only misses");
  count_bytes(state, text);
}

/// Hits in a cache with many other shapes: its memory is cold, as in a server with many applications.
void hit_among(benchmark::State& state) {
  sql::Classifier classifier{sql::ClassifierLimits{}};
  const auto shapes = static_cast<std::uint32_t>(state.range(0));
  const std::string& text = statements()[1].text;
  for (std::uint32_t i = 0; i < shapes; ++i) benchmark::DoNotOptimize(classifier.classify(i, text));
  if (classifier.stats().evictions != 0) state.SkipWithError("they do not all fit");
  std::uint32_t next = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(classifier.classify(next, text));
    next = (next + 7919) % shapes;  // a prime: every one comes, and the next is never the neighbour
  }
  state.counters["bytes per shape"] = static_cast<double>(classifier.stats().bytes) / shapes;
}

/// A million shapes, one after the other, as an attacker would send them or an application that writes names into its
/// texts; every tenth statement is one that comes again and again. The cache has its default size.
void many_shapes(benchmark::State& state) {
  const auto heap = [] { return mallinfo2().uordblks + mallinfo2().hblkhd; };
  const auto shapes = static_cast<std::uint32_t>(state.range(0));
  const std::string& used = statements()[1].text;
  std::size_t most_bytes = 0, most_heap = 0;
  for (auto _ : state) {
    const std::size_t before = heap();
    sql::Classifier classifier{sql::ClassifierLimits{}};
    for (std::uint32_t i = 0; i < shapes; ++i) {
      const std::string text = "SELECT column_" + std::to_string(i) + " FROM a_table WHERE id = 17";
      benchmark::DoNotOptimize(classifier.classify(1, text));
      if (i % 10 == 0) benchmark::DoNotOptimize(classifier.classify(1, used));
      most_bytes = std::max(most_bytes, classifier.stats().bytes);
      if (i % 1000 == 999) most_heap = std::max(most_heap, heap() - before);
    }
    const sql::ClassifierStats& stats = classifier.stats();
    if (stats.misses != shapes + 1) state.SkipWithError("what is used has left the cache, or a shape was not new");
    state.counters["entries"] = static_cast<double>(stats.entries);
    state.counters["bytes per entry"] = static_cast<double>(stats.bytes) / static_cast<double>(stats.entries);
  }
  state.counters["most bytes"] = static_cast<double>(most_bytes);
  state.counters["most heap"] = static_cast<double>(most_heap);
  state.counters["misses"] =
      benchmark::Counter(static_cast<double>(shapes), benchmark::Counter::kIsIterationInvariantRate);
}

}  // namespace

void register_classify() {
  const struct {
    const char* name;
    void (*run)(benchmark::State&, const std::string&);
  } kinds[] = {{"tokenize", tokenize}, {"shape_of", shape}, {"classify_hit", hit}, {"classify_miss", miss}};
  for (const auto& kind : kinds) {
    for (const NamedText& one : statements()) {
      benchmark::RegisterBenchmark((std::string(kind.name) + "/" + one.name).c_str(),
                                   [&one, run = kind.run](benchmark::State& state) { run(state, one.text); });
    }
  }
  benchmark::RegisterBenchmark("classify_hit_among", hit_among)->Arg(100)->Arg(1'000)->Arg(5'000);
  benchmark::RegisterBenchmark("classify_many_shapes", many_shapes)
      ->Arg(1'000'000)
      ->Iterations(1)
      ->Unit(benchmark::kSecond);
}

}  // namespace pgweir::bench
