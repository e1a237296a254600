// What is wrong with a file that the operator wrote: where, which key, what was found and what is allowed.
#pragma once
#include <string>
#include <vector>

#include "tl/expected.hpp"

namespace pgweir::config {

struct Problem {
  std::string file;
  int line = 0;         ///< from 1; 0: the file as a whole
  std::string key;      ///< full path, "nodes[0].port"; empty when no key is meant
  std::string message;  ///< names what was found and what is allowed; never a secret
  /// "pgweir.yaml:12: listen.port: found \"70000\", allowed is ..."
  [[nodiscard]] std::string text() const;
  friend bool operator==(const Problem&, const Problem&) = default;
};

/// All that was found, in the order of the lines; never empty when it stands for a failure.
using Problems = std::vector<Problem>;

template <class T>
using Checked = tl::expected<T, Problems>;

}  // namespace pgweir::config
