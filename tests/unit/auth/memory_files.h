// Files in memory, by path, as HBA files and ident maps are read.
#pragma once
#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "auth/config_lines.h"

namespace pgweir::test {

class MemoryFiles {
 public:
  explicit MemoryFiles(std::map<std::string, std::string> texts) : texts_(std::move(texts)) {}

  [[nodiscard]] auth::Files files() const {
    using base::fail;
    namespace sqlstate = base::sqlstate;
    return {[this](const std::string& path) -> base::Result<std::string> {
              const auto found = texts_.find(path);
              if (found == texts_.end()) return fail(sqlstate::config_file_error, "cannot be opened: not there");
              return found->second;
            },
            [this](const std::string& path) { return texts_.contains(path); },
            [this](const std::string& directory) -> base::Result<std::vector<std::string>> {
              std::vector<std::string> found;
              for (const auto& [path, text] : texts_)
                if (path.starts_with(directory + "/")) found.push_back(path);
              if (found.empty()) return fail(sqlstate::config_file_error, "cannot be read: not there");
              return found;
            }};
  }

 private:
  std::map<std::string, std::string> texts_;
};

}  // namespace pgweir::test
