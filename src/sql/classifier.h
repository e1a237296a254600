// Text of a query in, facts out. One per worker thread; holds the cache from statement shape to facts.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/local_ptr.h"
#include "base/node_set.h"
#include "sql/statement_facts.h"

namespace pgweir::sql {

struct ClassifierLimits {
  bool reads = true;                         ///< false: texts are not looked at; all are something that may write
  std::size_t max_parse_bytes = 256 * 1024;  ///< longer texts are not parsed
  std::size_t max_parse_tokens = 8'000;      ///< texts of more tokens are not parsed (libpg_query recurses per term)
  std::size_t cache_bytes = 16 * 1024 * 1024;
};

/// Where a shape is kept. `Verdict` slots let the router remember what it found in the catalog for this shape.
/// Never leaves its thread (base/local_ptr.h).
struct CachedFacts : base::LocalCounted {
  CachedFacts() = default;
  explicit CachedFacts(QueryFacts query_facts) : facts(std::move(query_facts)) {}

  QueryFacts facts;  ///< not changed after construction

  /// Set when a standby refused a statement of this shape: it is a write from now on, whatever it looks like.
  bool learned_write = false;
  /// The router's own memory of this shape: a catalog version (0: none yet) and what it concluded with it.
  std::uint64_t verdict_version = 0;
  std::uint8_t verdict = 0;
  base::NodeSet verdict_nodes = base::NodeSet::all();  ///< with it: the nodes that have what it reads
  std::string_view verdict_subject;                    ///< the decisive name; points into `facts`
  std::uint64_t effects_version = 0;                   ///< the same for `routing::effects_of`
  std::uint8_t effects = 0;
  /// The session's: `session::is_ordinary`.
  enum class Answer : std::uint8_t { not_asked, no, yes };
  Answer ordinary = Answer::not_asked;
};
using CachedFactsPtr = base::LocalPtr<CachedFacts>;

struct Classified {
  CachedFactsPtr entry;  ///< never null; stays valid when the cache evicts it
  Hint hint;
};

struct ClassifierStats {
  std::uint64_t hits = 0, misses = 0, unparsable = 0, evictions = 0;
  std::size_t entries = 0, bytes = 0;
};

/// Not thread-safe: one per thread. Parsing recurses: call it only on threads with at least kParserStackBytes of stack.
class Classifier {
 public:
  static constexpr std::size_t kParserStackBytes = 64 * 1024 * 1024;

  explicit Classifier(ClassifierLimits limits);
  ~Classifier();
  Classifier(Classifier&&) noexcept;
  Classifier& operator=(Classifier&&) noexcept;

  /// `database` separates the verdicts of databases that have the same texts; it is part of the key.
  [[nodiscard]] Classified classify(std::uint32_t database, std::string_view text);
  [[nodiscard]] const ClassifierStats& stats() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The hint in the comments before the first token, if any. Cheap when the text does not begin with a comment or space.
[[nodiscard]] Hint hint_of(std::string_view text);

/// The facts of a text, without a cache. Same stack requirement.
[[nodiscard]] QueryFacts facts_of(std::string_view text, const ClassifierLimits& limits);

}  // namespace pgweir::sql
