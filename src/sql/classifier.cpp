// The cache from shape to facts: least recently used entries leave when the bytes are used up. A hit touches a hash
// table and a list link, and allocates nothing.
//
// A text that cannot be parsed, or is too long to be, is never kept under its shape, only under its exact text: else
// one such text could spoil the facts of a good one of the same shape.
#include "sql/classifier.h"

#include <list>
#include <random>
#include <unordered_map>

#include "sql/shape.h"

namespace pgweir::sql {
namespace {

std::size_t bytes_of(const std::string& text) { return text.capacity() > 15 ? text.capacity() + 1 : 0; }

std::size_t bytes_of(const std::vector<QualifiedName>& names) {
  std::size_t bytes = names.capacity() * sizeof(QualifiedName);
  for (const QualifiedName& name : names) bytes += bytes_of(name.schema) + bytes_of(name.name);
  return bytes;
}

std::size_t bytes_of(const QueryFacts& facts) {
  std::size_t bytes = facts.statements.capacity() * sizeof(StatementFacts) + bytes_of(facts.problem);
  for (const StatementFacts& statement : facts.statements) {
    bytes += bytes_of(statement.name) + bytes_of(statement.functions) + bytes_of(statement.relations) +
             bytes_of(statement.types) + bytes_of(statement.operators) +
             statement.attributes.capacity() * sizeof(std::string);
    for (const std::string& attribute : statement.attributes) bytes += bytes_of(attribute);
  }
  return bytes;
}

}  // namespace

struct Classifier::Impl {
  struct Slot {
    ShapeKey key;
    CachedFactsPtr entry;
    std::size_t bytes = 0;
  };
  using Slots = std::list<Slot>;
  /// List node, hash node, bucket, and the allocator's own, per entry.
  static constexpr std::size_t kEntryOverhead = sizeof(Slot) + sizeof(CachedFacts) + 128;

  explicit Impl(ClassifierLimits given) : limits(given) {
    std::random_device device;
    seed = (static_cast<std::uint64_t>(device()) << 32) ^ device();
  }

  CachedFactsPtr find(const ShapeKey& key) {
    const auto found = index.find(key);
    if (found == index.end()) return nullptr;
    slots.splice(slots.begin(), slots, found->second);
    return found->second->entry;
  }

  CachedFactsPtr keep(const ShapeKey& key, QueryFacts facts) {
    auto entry = base::make_local<CachedFacts>(std::move(facts));
    const std::size_t bytes = kEntryOverhead + bytes_of(entry->facts);
    slots.push_front({key, entry, bytes});
    index[key] = slots.begin();
    stats.bytes += bytes;
    while (stats.bytes > limits.cache_bytes && slots.size() > 1) {
      stats.bytes -= slots.back().bytes;
      index.erase(slots.back().key);
      slots.pop_back();
      ++stats.evictions;
    }
    stats.entries = slots.size();
    return entry;
  }

  CachedFactsPtr miss(const Shape& shape, std::string_view text, std::uint64_t salt) {
    ++stats.misses;
    QueryFacts facts = facts_of(text, limits);
    facts.exact = shape.exact;
    const bool good = facts.problem.empty();
    if (good || shape.exact) {
      if (!good) ++stats.unparsable;
      return keep(shape.key, std::move(facts));
    }
    ++stats.unparsable;
    facts.exact = true;
    return keep(exact_key(text, salt), std::move(facts));
  }

  ClassifierLimits limits;
  std::uint64_t seed = 0;
  Slots slots;  ///< most recently used first
  std::unordered_map<ShapeKey, Slots::iterator> index;
  ClassifierStats stats;
};

Classifier::Classifier(ClassifierLimits limits) : impl_(std::make_unique<Impl>(limits)) {}
Classifier::~Classifier() = default;
Classifier::Classifier(Classifier&&) noexcept = default;
Classifier& Classifier::operator=(Classifier&&) noexcept = default;

Classified Classifier::classify(std::uint32_t database, std::string_view text) {
  Impl& impl = *impl_;
  // An odd multiplier spreads the database's number over the seed.
  const std::uint64_t salt = impl.seed ^ ((database + std::uint64_t{1}) * 0x9e3779b97f4a7c15ULL);
  const Shape shape = shape_of(text, salt);
  CachedFactsPtr entry = impl.find(shape.key);
  if (!entry && !shape.exact) entry = impl.find(exact_key(text, salt));
  if (entry)
    ++impl.stats.hits;
  else
    entry = impl.miss(shape, text, salt);
  return {std::move(entry), hint_of(text)};
}

const ClassifierStats& Classifier::stats() const noexcept { return impl_->stats; }

}  // namespace pgweir::sql
