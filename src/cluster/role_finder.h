// Asks a node which roles users are members of, for the lines of an HBA file or an ident map that want to know. Each
// question is asked anew: like PostgreSQL, and unlike a cache, it takes a revoked membership at its word.
//
// Happy path: a connection is opened for the first question; all that come while a query is under way make the next
// one; after a while without any the connection is closed. What can fail: there is no node, or it does not answer in
// time; then those who have asked are told so.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "auth/hba.h"
#include "cluster/pq_session.h"
#include "config/password_file.h"
#include "config/settings.h"
#include "net/timer.h"
#include "routing/topology.h"

namespace pgweir::net {
class Loop;
}

namespace pgweir::cluster {

/// Plain SQL for PostgreSQL 12 and later, with names as hexadecimal digits: nothing in them can be SQL. Rows: user,
/// role.
[[nodiscard]] std::string memberships_query(const std::vector<std::string>& users);

/// Control thread.
class RoleFinder {
 public:
  using OnFound = std::function<void(base::Result<auth::Memberships>)>;

  RoleFinder(net::Loop& loop, const config::Settings& settings, const config::PasswordFile& passwords);
  ~RoleFinder();

  void set_nodes(const std::vector<config::NodeSettings>& nodes) { nodes_ = nodes; }
  void set_topology(routing::TopologyPtr topology) { topology_ = std::move(topology); }
  /// `then` is called once, later or at once.
  void find(const std::string& user, OnFound then);

 private:
  using Waiting = std::multimap<std::string, OnFound>;
  void start();
  void ask();
  void answer(base::Result<Rows> rows);
  static void fail(Waiting waiting, const base::Error& error);

  net::Loop& loop_;
  std::vector<config::NodeSettings> nodes_;
  config::Monitor monitor_;
  const config::PasswordFile& passwords_;
  routing::TopologyPtr topology_;
  std::unique_ptr<PqSession> session_;
  base::NodeId node_{};  ///< of the session
  Waiting waiting_;      ///< for the next query
  Waiting asked_;        ///< by the one under way
  net::Timer idle_;
};

}  // namespace pgweir::cluster
