// Runs a fuzz target without libFuzzer: every file of a corpus as it is, then mutations of them with a fixed seed, each
// in memory of exactly its size so that the address sanitizer sees a read too far.
//   <target> <corpus folder> [mutations]
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "fuzz/target.h"

namespace {

constexpr std::uint32_t kSeed = 20252025;

void run(const std::string& input) {
  const auto exact = std::make_unique<std::uint8_t[]>(input.size());
  std::copy(input.begin(), input.end(), exact.get());
  LLVMFuzzerTestOneInput(exact.get(), input.size());
}

class Mutator {
 public:
  explicit Mutator(std::vector<std::string> corpus) : corpus_(std::move(corpus)) {}

  std::string next() {
    std::string input = any();
    for (std::size_t i = 0, count = 1 + pick(4); i < count; ++i) change(input);
    return input;
  }

 private:
  std::size_t pick(std::size_t count) { return std::uniform_int_distribution<std::size_t>(0, count - 1)(random_); }
  const std::string& any() { return corpus_[pick(corpus_.size())]; }

  void change(std::string& input) {
    static const std::string kInteresting("\0\1\4\5\x7f\x80\xff',=-;/*$\"\n", 18);
    const std::size_t at = pick(input.size() + 1);
    switch (pick(6)) {
      case 0: input.resize(at); break;
      case 1: input.insert(at, 1, kInteresting[pick(kInteresting.size())]); break;
      case 2: input.insert(at, any().substr(0, pick(40))); break;
      case 3: input.erase(at, 1 + pick(8)); break;
      case 4:
        if (at < input.size()) input[at] = static_cast<char>(pick(256));
        break;
      default:
        if (at < input.size()) input[at] = kInteresting[pick(kInteresting.size())];
        break;
    }
  }

  std::vector<std::string> corpus_;
  std::mt19937 random_{kSeed};
};

}  // namespace

int main(int count, char** arguments) {
  if (count < 2) {
    std::fprintf(stderr, "usage: %s <corpus folder> [mutations]\n", arguments[0]);
    return 2;
  }
  const unsigned long mutations = count > 2 ? std::strtoul(arguments[2], nullptr, 10) : 10'000;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(arguments[1])) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::vector<std::string> corpus;
  for (const auto& path : files) {
    std::ifstream in(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  if (corpus.empty()) {
    std::fprintf(stderr, "%s: no corpus\n", arguments[1]);
    return 1;
  }
  std::printf("%zu files, %lu mutations, seed %u\n", corpus.size(), mutations, kSeed);
  std::fflush(stdout);
  run({});
  for (const std::string& input : corpus) run(input);
  Mutator mutator(corpus);
  for (unsigned long i = 0; i < mutations; ++i) run(mutator.next());
  return 0;
}
