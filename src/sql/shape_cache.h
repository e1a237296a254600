// The table from shape to facts: when the bytes are used up, what was not used for the longest time leaves. A hit
// touches one bucket, the slots in it and two links, and allocates nothing. Knows nothing of texts.
#pragma once
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "sql/classifier.h"
#include "sql/shape.h"

namespace pgweir::sql {

class ShapeCache {
 public:
  explicit ShapeCache(std::size_t most_bytes) : most_bytes_(most_bytes), buckets_(kFirstBuckets) {}
  ShapeCache(const ShapeCache&) = delete;
  ShapeCache& operator=(const ShapeCache&) = delete;
  ~ShapeCache() {
    while (ends_.older != &ends_) remove_oldest();
  }

  /// Null when it is not there. What is found is the most recently used from now on.
  [[nodiscard]] const CachedFactsPtr* find(const ShapeKey& key) noexcept {
    for (Slot* slot = bucket(key); slot != nullptr; slot = slot->next_in_bucket) {
      if (slot->key != key) continue;
      if (ends_.older != slot) {
        unlink(*slot);
        link_as_newest(*slot);
      }
      return &slot->entry;
    }
    return nullptr;
  }

  /// `key` must not be there. `bytes` is what `entry` has on the heap, itself included. The newest entry stays, however
  /// large it is. Returns how many left.
  std::size_t add(const ShapeKey& key, CachedFactsPtr entry, std::size_t bytes) {
    if (entries_ == buckets_.size()) grow();
    bytes += kSlotBytes;
    Slot*& first = bucket(key);
    first = new Slot{{}, key, first, std::move(entry), bytes};
    link_as_newest(*first);
    ++entries_;
    bytes_ += bytes;
    std::size_t left = 0;
    for (; bytes_ > most_bytes_ && entries_ > 1; ++left) remove_oldest();
    return left;
  }

  [[nodiscard]] std::size_t entries() const noexcept { return entries_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

 private:
  /// A ring: the newest is the older neighbour of the `ends_`, the oldest their newer one.
  struct Links {
    Links* newer = this;
    Links* older = this;
  };
  struct Slot : Links {
    Slot(Links links, const ShapeKey& its_key, Slot* next, CachedFactsPtr its_entry, std::size_t its_bytes)
        : Links(links), key(its_key), next_in_bucket(next), entry(std::move(its_entry)), bytes(its_bytes) {}
    ShapeKey key;
    Slot* next_in_bucket;
    CachedFactsPtr entry;
    std::size_t bytes;
  };
  /// With the allocator's header, and two buckets: so many there are for each just after the table has grown.
  static constexpr std::size_t kSlotBytes = sizeof(Slot) + 16 + 2 * sizeof(void*);
  static constexpr std::size_t kFirstBuckets = 64;

  /// Keys are hashes, and the number of buckets is a power of two.
  [[nodiscard]] Slot*& bucket(const ShapeKey& key) noexcept { return buckets_[key.low & (buckets_.size() - 1)]; }

  static void unlink(Links& links) noexcept {
    links.newer->older = links.older;
    links.older->newer = links.newer;
  }
  void link_as_newest(Links& links) noexcept {
    links.newer = &ends_;
    links.older = ends_.older;
    links.older->newer = &links;
    ends_.older = &links;
  }
  void remove_oldest() noexcept {
    Slot* const oldest = static_cast<Slot*>(ends_.newer);
    Slot** place = &bucket(oldest->key);
    while (*place != oldest) place = &(*place)->next_in_bucket;
    *place = oldest->next_in_bucket;
    unlink(*oldest);
    bytes_ -= oldest->bytes;
    --entries_;
    delete oldest;
  }
  void grow() {
    std::vector<Slot*> old(buckets_.size() * 2);
    old.swap(buckets_);
    for (Slot* slot : old) {
      while (slot != nullptr) {
        Slot*& first = bucket(slot->key);
        Slot* const next = std::exchange(slot->next_in_bucket, first);
        first = slot;
        slot = next;
      }
    }
  }

  std::size_t most_bytes_;
  std::vector<Slot*> buckets_;
  Links ends_;
  std::size_t entries_ = 0, bytes_ = 0;
};

}  // namespace pgweir::sql
