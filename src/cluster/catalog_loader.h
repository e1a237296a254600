// Reads a database's catalog for the router, in the background, never in a client's session: on first use, again each
// `routing.catalog_refresh`, and at once when a statement that changes the catalog has passed through pgweir.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cluster/pq_session.h"
#include "config/password_file.h"
#include "config/settings.h"
#include "net/timer.h"
#include "routing/catalog.h"
#include "routing/topology.h"

namespace pgweir::net {
class Loop;
}

namespace pgweir::cluster {

/// Where standbys have only some of the tables (topology: logical) they are asked first which, one after the other, and
/// then the primary for the rest; who does not answer has what it had before.
///
/// Control thread. Building a catalog parses view texts: the thread needs the parser's stack.
class CatalogLoader {
 public:
  /// `verified`: the catalog was the database's own at this moment or later.
  using OnCatalog = std::function<void(const std::string& database, routing::CatalogPtr, base::Time verified)>;

  CatalogLoader(net::Loop& loop, const config::Settings& settings, const config::PasswordFile& passwords,
                OnCatalog on_catalog);
  ~CatalogLoader();

  /// Reads it as soon as possible, unless it has been read since `not_before`; requests that come together are one.
  void want(const std::string& database, base::Time not_before);
  void set_nodes(const std::vector<config::NodeSettings>& nodes);
  void set_topology(routing::TopologyPtr topology);
  void set_refresh(base::Duration interval);

 private:
  struct Database;
  void start(Database& database);
  void ask_replicas(Database& database, std::size_t from);
  void ask_replica(Database& database, base::NodeId node);
  void ask_primary(Database& database);
  void take_published(Database& database, Rows published);
  void run(Database& database, std::string_view sql, void (CatalogLoader::*next)(Database&, Rows));
  void compare(Database& database, Rows fingerprint);
  void begin_queries(Database& database, Rows);
  void next_query(Database& database, Rows rows);
  void publish(Database& database);
  void finish(Database& database, base::Result<bool> result);
  void refresh_all();
  void tidy();

  net::Loop& loop_;
  std::vector<config::NodeSettings> nodes_;
  config::Monitor monitor_;
  const config::PasswordFile& passwords_;
  OnCatalog on_catalog_;
  routing::TopologyPtr topology_;
  std::map<std::string, std::unique_ptr<Database>> databases_;
  net::Timer refresh_;
  net::Timer tidy_pause_;
  bool untidy_ = false;  ///< something was loaded since memory was given back
  std::uint64_t versions_ = 0;
};

}  // namespace pgweir::cluster
