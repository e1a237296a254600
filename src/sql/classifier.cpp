// Looks a text up by its shape, and parses it when its facts are not in the cache.
//
// A text that cannot be parsed, or is too long to be, is never kept under its shape, only under its exact text: else
// one such text could spoil the facts of a good one of the same shape.
#include "sql/classifier.h"

#include <random>

#include "sql/shape.h"
#include "sql/shape_cache.h"
#include "sql/tokenizer.h"

namespace pgweir::sql {
namespace {

/// A block on the heap with what the allocator adds to it, which rounds up to 16.
std::size_t block(std::size_t bytes) { return bytes == 0 ? 0 : bytes + 16; }

std::size_t bytes_of(const std::string& text) { return text.capacity() > 15 ? block(text.capacity() + 1) : 0; }

std::size_t bytes_of(const std::vector<QualifiedName>& names) {
  std::size_t bytes = block(names.capacity() * sizeof(QualifiedName));
  for (const QualifiedName& name : names) bytes += bytes_of(name.schema) + bytes_of(name.name);
  return bytes;
}

std::size_t bytes_of(const QueryFacts& facts) {
  std::size_t bytes = block(facts.statements.capacity() * sizeof(StatementFacts)) + bytes_of(facts.problem);
  for (const StatementFacts& statement : facts.statements) {
    bytes += bytes_of(statement.name) + bytes_of(statement.executes) + bytes_of(statement.functions) +
             bytes_of(statement.relations) + bytes_of(statement.types) + bytes_of(statement.operators) +
             block(statement.attributes.capacity() * sizeof(std::string));
    for (const std::string& attribute : statement.attributes) bytes += bytes_of(attribute);
  }
  return bytes;
}

}  // namespace

struct Classifier::Impl {
  explicit Impl(ClassifierLimits given) : limits(given), cache(given.cache_bytes) {
    std::random_device device;
    seed = (static_cast<std::uint64_t>(device()) << 32) ^ device();
  }

  CachedFactsPtr keep(const ShapeKey& key, QueryFacts facts) {
    auto entry = base::make_local<CachedFacts>(std::move(facts));
    stats.evictions += cache.add(key, entry, block(sizeof(CachedFacts)) + bytes_of(entry->facts));
    stats.entries = cache.entries();
    stats.bytes = cache.bytes();
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

  /// Of every text, when none is read. Who asks for that keeps each session on its connection.
  static CachedFactsPtr make_unread() {
    QueryFacts facts;
    facts.statements.emplace_back().kind = StatementKind::maintenance;
    auto entry = base::make_local<CachedFacts>(std::move(facts));
    entry->ordinary = CachedFacts::Answer::yes;
    return entry;
  }

  ClassifierLimits limits;
  const CachedFactsPtr unread = make_unread();
  std::uint64_t seed = 0;
  ShapeCache cache;
  ClassifierStats stats;
};

Classifier::Classifier(ClassifierLimits limits) : impl_(std::make_unique<Impl>(limits)) {}
Classifier::~Classifier() = default;
Classifier::Classifier(Classifier&&) noexcept = default;
Classifier& Classifier::operator=(Classifier&&) noexcept = default;

Classified Classifier::classify(std::uint32_t database, std::string_view text) {
  Impl& impl = *impl_;
  if (!impl.limits.reads) return {impl.unread, {}};
  // An odd multiplier spreads the database's number over the seed.
  const std::uint64_t salt = impl.seed ^ ((database + std::uint64_t{1}) * 0x9e3779b97f4a7c15ULL);
  const Shape shape = shape_of(text, salt);
  const CachedFactsPtr* found = impl.cache.find(shape.key);
  if (found == nullptr && !shape.exact) found = impl.cache.find(exact_key(text, salt));
  // Hints are in comments in front: mostly there are none.
  const Hint hint = !text.empty() && is(text[0], ByteClass::ident_start) ? Hint{} : hint_of(text);
  if (found == nullptr) return {impl.miss(shape, text, salt), hint};
  ++impl.stats.hits;
  return {*found, hint};
}

const ClassifierStats& Classifier::stats() const noexcept { return impl_->stats; }

}  // namespace pgweir::sql
