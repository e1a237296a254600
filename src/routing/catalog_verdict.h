// What the catalog says about the names that a read uses. Pure; remembers its answer in the cached facts.
#pragma once
#include "routing/route.h"

namespace pgweir::routing {

struct CatalogVerdict {
  Reason reason = Reason::read;                ///< `read`: everything is safe on a standby
  std::string_view subject;                    ///< the name that was decisive; points into the facts
  base::NodeSet nodes = base::NodeSet::all();  ///< of a read: those that have what it reads
};

/// Looked up once per entry and catalog version.
[[nodiscard]] CatalogVerdict catalog_verdict(sql::CachedFacts& entry, const Catalog* catalog);
/// Whether a function of these facts ties something to the session (advisory locks, large object descriptors, ...).
[[nodiscard]] bool binds_session(const sql::QueryFacts& facts);

}  // namespace pgweir::routing
