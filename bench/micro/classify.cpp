// What reading a statement costs: its tokens, its shape, a hit in the cache, and a miss, which parses.
#include <benchmark/benchmark.h>

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
}

}  // namespace pgweir::bench
