// The texts of the statement corpus, for tests that want many real statements.
#pragma once
#include <string>
#include <vector>

#include "yaml-cpp/yaml.h"

namespace pgweir::test {

inline std::vector<std::string> corpus_texts() {
  std::vector<std::string> texts;
  const YAML::Node corpus = YAML::LoadFile(PGWEIR_SOURCE_ROOT "/tests/corpus/statements.yaml");
  for (const YAML::Node& entry : corpus["statements"]) texts.push_back(entry["sql"].as<std::string>());
  return texts;
}

}  // namespace pgweir::test
