// Runs on a thread with the parser's stack, like everything that parses SQL in pgweir.
#include <benchmark/benchmark.h>
#include <pthread.h>

#include "sql/classifier.h"

namespace pgweir::bench {
void register_classify();
}  // namespace pgweir::bench

int main(int count, char** words) {
  benchmark::Initialize(&count, words);
  if (benchmark::ReportUnrecognizedArguments(count, words)) return 1;
  pgweir::bench::register_classify();
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, pgweir::sql::Classifier::kParserStackBytes);
  pthread_t thread{};
  const auto body = [](void*) -> void* {
    benchmark::RunSpecifiedBenchmarks();
    return nullptr;
  };
  if (pthread_create(&thread, &attributes, body, nullptr) != 0) return 1;
  pthread_join(thread, nullptr);
  benchmark::Shutdown();
  return 0;
}
