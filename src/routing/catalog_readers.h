// Which standbys may serve what a read uses, where they have only some of the tables (topology: logical): worked out
// once for each catalog, for every object in it. Unknown means none of them.
#pragma once
#include <cstddef>
#include <span>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "routing/catalog.h"
#include "routing/function_code.h"

namespace pgweir::routing {

/// An object of a catalog, and what its texts use.
struct CatalogDependent {
  Catalog::Kind kind;
  std::size_t position;  ///< among those of its kind
  sql::StatementFacts uses;
  bool is_view = false;  ///< what is written to it may be written to the relations that it uses
};

/// Every object begins with the nodes that its own row allows; what an object uses takes nodes away from it, until
/// nothing changes.
class CatalogReaders {
 public:
  /// All objects are in the catalog and sorted.
  CatalogReaders(Catalog& catalog, std::span<const CatalogDependent> dependents)
      : catalog_(catalog), dependents_(dependents) {}

  void run(const CatalogRows& rows, const ReplicationRows& replication);

 private:
  using Kind = Catalog::Kind;
  struct Code {
    std::size_t position;  ///< of the function
    CodeFacts facts;
  };
  /// A table with partitions or children.
  struct Family {
    std::size_t parent;
    std::vector<std::size_t> children;
    base::NodeSet own;         ///< those that have the table itself
    bool partitioned = false;  ///< it has no rows but those of its partitions
  };

  base::NodeSet& readers_of(Kind kind, std::size_t position);
  template <class Visit>
  void for_each_of(Kind kind, const sql::QualifiedName& name, Visit&& visit) const;
  void begin_relations(const CatalogRows& rows, const ReplicationRows& replication);
  void begin_functions(const CatalogRows& rows, const ReplicationRows& replication);
  void begin_operators(const CatalogRows& rows, const ReplicationRows& replication);
  void settle(const ReplicationRows& replication);
  [[nodiscard]] base::NodeSet of_code(const CodeFacts& facts) const;
  [[nodiscard]] base::NodeSet of_family(const Family& family) const;
  bool restrict(base::NodeSet& readers, base::NodeSet to);

  Catalog& catalog_;
  std::span<const CatalogDependent> dependents_;
  std::vector<Code> codes_;
  std::vector<Family> families_;
  std::vector<std::pair<std::size_t, sql::QualifiedName>> operators_;  ///< position, and the function
};

}  // namespace pgweir::routing
