// A set of nodes, as bits: as many as a configuration may have (config::kMaxNodes).
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "base/ids.h"

namespace pgweir::base {

class NodeSet {
 public:
  static constexpr std::size_t kMost = 128;

  /// None.
  constexpr NodeSet() = default;
  [[nodiscard]] static constexpr NodeSet all() {
    NodeSet set;
    for (std::uint64_t& word : set.words_) word = ~std::uint64_t{0};
    return set;
  }

  constexpr void add(NodeId node) { words_[word_of(node)] |= bit_of(node); }
  constexpr void remove(NodeId node) { words_[word_of(node)] &= ~bit_of(node); }
  [[nodiscard]] constexpr bool has(NodeId node) const { return (words_[word_of(node)] & bit_of(node)) != 0; }
  [[nodiscard]] constexpr bool none() const { return words_[0] == 0 && words_[1] == 0; }

  friend constexpr NodeSet operator&(NodeSet a, NodeSet b) {
    for (std::size_t i = 0; i < kWords; ++i) a.words_[i] &= b.words_[i];
    return a;
  }
  friend constexpr NodeSet operator|(NodeSet a, NodeSet b) {
    for (std::size_t i = 0; i < kWords; ++i) a.words_[i] |= b.words_[i];
    return a;
  }
  friend constexpr bool operator==(const NodeSet&, const NodeSet&) = default;

 private:
  static constexpr std::size_t kBits = 64;
  static constexpr std::size_t kWords = kMost / kBits;
  static constexpr std::size_t word_of(NodeId node) { return node.value / kBits % kWords; }
  static constexpr std::uint64_t bit_of(NodeId node) { return std::uint64_t{1} << (node.value % kBits); }

  std::array<std::uint64_t, kWords> words_{};
};

}  // namespace pgweir::base
