// A configuration file of any content: problems with a place, or settings that say of themselves what they are.
#include <string>

#include "config/load.h"
#include "config/render.h"
#include "fuzz/target.h"

using namespace pgweir;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto loaded = config::load_text(fuzz::text(data, size), "fuzz.yaml");
  if (loaded) {
    FUZZ_CHECK(!loaded->nodes.empty());
    FUZZ_CHECK(!config::explain(*loaded).empty());
    return 0;
  }
  FUZZ_CHECK(!loaded.error().empty());
  for (const auto& problem : loaded.error()) FUZZ_CHECK(problem.text().starts_with("fuzz.yaml"));
  return 0;
}
