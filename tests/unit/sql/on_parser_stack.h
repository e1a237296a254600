// Runs a function on a thread that has the stack which parsing needs.
#pragma once
#include <pthread.h>

#include <functional>

#include "doctest/doctest.h"
#include "sql/classifier.h"

namespace pgweir::test {

inline void on_parser_stack(std::function<void()> body) {
  pthread_attr_t attributes;
  REQUIRE(pthread_attr_init(&attributes) == 0);
  REQUIRE(pthread_attr_setstacksize(&attributes, sql::Classifier::kParserStackBytes) == 0);
  pthread_t thread{};
  const auto run = [](void* function) -> void* {
    (*static_cast<std::function<void()>*>(function))();
    return nullptr;
  };
  REQUIRE(pthread_create(&thread, &attributes, run, &body) == 0);
  REQUIRE(pthread_join(thread, nullptr) == 0);
  pthread_attr_destroy(&attributes);
}

}  // namespace pgweir::test
