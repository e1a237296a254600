// The steps of loading a catalog, in order; see catalog_loader.h.
#include "cluster/catalog_loader.h"

#include <algorithm>
#include <span>
#include <utility>

#include "base/log.h"
#include "base/memory.h"
#include "cluster/monitor.h"
#include "fmt/format.h"
#include "net/loop.h"
#include "routing/catalog_queries.h"
#include "routing/replication_queries.h"

namespace pgweir::cluster {

namespace log = base::log;

namespace {
/// A migration changes the catalog many times a second: it is read again at most this often.
constexpr std::chrono::milliseconds kPauseBetweenLoads{100};
constexpr std::chrono::milliseconds kPauseAfterFailure{100};
constexpr int kMostDoublings = 9;  ///< 51 s
constexpr std::chrono::seconds kQueryTimeout{30};
/// A catalog's rows are much larger than what becomes of them. But others wait while memory is given back.
constexpr std::chrono::seconds kPauseBetweenTidying{10};

std::string text_of(const std::vector<routing::ReplicationRows::Tables>& nodes) {
  std::string text;
  for (const auto& node : nodes)
    for (const auto& table : node.tables) text += fmt::format(" {} {}.{}", node.node.value, table.schema, table.name);
  return text;
}
}  // namespace

struct CatalogLoader::Database {
  explicit Database(net::Loop& loop, std::string database_name, std::function<void()> on_pause_over)
      : name(std::move(database_name)), pause(loop, std::move(on_pause_over)) {}
  std::string name;
  std::unique_ptr<PqSession> session;  ///< while a node is asked
  bool under_way = false;              ///< a load
  base::Time started{};
  base::Time wanted{};      ///< a load that started before this does not count
  std::string fingerprint;  ///< of `catalog`
  std::string new_fingerprint;
  std::vector<routing::TextRows> results;
  std::vector<routing::TextRows> subscribed;  ///< by node, as last heard
  std::vector<routing::ReplicationRows::Tables> tables;
  routing::CatalogPtr catalog;
  net::Timer pause;
  int failures = 0;  ///< in a row; the first is logged
};

CatalogLoader::CatalogLoader(net::Loop& loop, const config::Settings& settings, const config::PasswordFile& passwords,
                             OnCatalog on_catalog)
    : loop_(loop),
      nodes_(settings.nodes),
      monitor_(settings.monitor),
      passwords_(passwords),
      on_catalog_(std::move(on_catalog)),
      topology_(std::make_shared<routing::Topology>()),
      refresh_(loop, [this] { refresh_all(); }),
      tidy_pause_(loop, [this] {
        if (untidy_) tidy();
      }) {
  set_refresh(settings.routing.catalog_refresh);
}

CatalogLoader::~CatalogLoader() = default;

void CatalogLoader::set_refresh(base::Duration interval) { refresh_.start_repeating(interval); }

void CatalogLoader::set_topology(routing::TopologyPtr topology) {
  const auto before = std::exchange(topology_, std::move(topology));
  bool changed = !before->primary && topology_->primary;
  // Who comes back may have other tables, and another origin publishes others.
  if (topology_->independent_nodes) {
    changed = changed || before->primary != topology_->primary;
    for (const auto& node : topology_->nodes)
      changed = changed ||
                (node.status == routing::NodeStatus::up &&
                 (node.id.value >= before->nodes.size() || before->node(node.id).status != routing::NodeStatus::up));
  }
  if (changed) refresh_all();
}

void CatalogLoader::want(const std::string& name, base::Time not_before) {
  auto& entry = databases_[name];
  if (!entry)
    entry = std::make_unique<Database>(loop_, name, [this, name] {
      Database& database = *databases_.at(name);
      if (!database.under_way) start(database);
    });
  Database& database = *entry;
  if (database.catalog && database.started >= not_before) {
    // Another worker's first use of it.
    if (not_before == base::Time{}) on_catalog_(name, database.catalog, database.started);
    return;
  }
  database.wanted = std::max(database.wanted, not_before);
  if (!database.under_way && !database.pause.active()) start(database);
}

void CatalogLoader::refresh_all() {
  for (auto& [name, database] : databases_) {
    database->wanted = base::Clock::now();
    if (!database->under_way && !database->pause.active()) start(*database);
  }
}

void CatalogLoader::set_nodes(const std::vector<config::NodeSettings>& nodes) {
  nodes_ = nodes;
  if (topology_->independent_nodes) refresh_all();
}

void CatalogLoader::start(Database& database) {
  const bool any = std::any_of(topology_->nodes.begin(), topology_->nodes.end(),
                               [&](const auto& node) { return topology_->may_be_asked(node); });
  if (!any) return;  // the next topology starts it
  database.under_way = true;
  database.started = base::Clock::now();
  database.results.clear();
  if (!topology_->independent_nodes) return ask_primary(database);
  database.subscribed.resize(nodes_.size());
  ask_replicas(database, 0);
}

/// Those from there on that have something to say; then the primary.
void CatalogLoader::ask_replicas(Database& database, std::size_t from) {
  for (std::size_t i = from; i < topology_->nodes.size() && i < nodes_.size(); ++i) {
    const routing::Node& node = topology_->nodes[i];
    if (node.role != routing::Role::standby || node.status != routing::NodeStatus::up) continue;
    if (nodes_[i].replicated_tables.empty()) return ask_replica(database, node.id);
  }
  ask_primary(database);
}

void CatalogLoader::ask_replica(Database& database, base::NodeId node) {
  const config::NodeSettings& settings = nodes_[node.value];
  database.session = std::make_unique<PqSession>(
      loop_, monitor_login(settings, monitor_, database.name, passwords_, monitor_.timeout));
  const auto done = [this, &database, node](base::Result<Rows> rows) {
    std::shared_ptr<PqSession> doomed = std::move(database.session);
    loop_.after_pass([this, doomed, &database, node] { ask_replicas(database, node.value + 1U); });
    if (rows)
      database.subscribed[node.value] = std::move(*rows);
    else
      log::debug("replica_not_asked",
                 {{"database", database.name}, {"node", nodes_[node.value].name}, {"error", rows.error().message}});
  };
  database.session->connect(monitor_.timeout, [this, &database, node, done](base::Result<bool> connected) {
    if (!connected) return done(base::Failure(connected.error()));
    database.session->query(routing::subscribed_tables_query(nodes_[node.value].subscription), monitor_.timeout, done);
  });
}

void CatalogLoader::ask_primary(Database& database) {
  const routing::Node* source = nullptr;
  for (const auto& node : topology_->nodes)
    if (topology_->may_be_asked(node) && (!source || topology_->primary == node.id)) source = &node;
  if (!source) return finish(database, base::fail(base::sqlstate::cannot_connect_now, "no node is up to be asked"));
  auto login = monitor_login(nodes_[source->id.value], monitor_, database.name, passwords_, monitor_.timeout);
  database.session = std::make_unique<PqSession>(loop_, std::move(login));
  database.session->connect(kQueryTimeout, [this, &database](base::Result<bool> connected) {
    if (!connected) return finish(database, std::move(connected));
    run(database, routing::kCatalogBegin, &CatalogLoader::begin_queries);
  });
}

void CatalogLoader::run(Database& database, std::string_view sql, void (CatalogLoader::*next)(Database&, Rows)) {
  database.session->query(std::string(sql), kQueryTimeout, [this, &database, next](base::Result<Rows> rows) {
    if (!rows) return finish(database, base::Failure(rows.error()));
    (this->*next)(database, std::move(*rows));
  });
}

void CatalogLoader::begin_queries(Database& database, Rows) {
  database.tables.clear();
  if (topology_->independent_nodes)
    return run(database, routing::published_tables_query(), &CatalogLoader::take_published);
  run(database, routing::catalog_fingerprint_query(), &CatalogLoader::compare);
}

void CatalogLoader::take_published(Database& database, Rows published) {
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    routing::ReplicationRows::Tables tables{base::NodeId{static_cast<std::uint16_t>(i)}, {}};
    for (const config::TableName& one : nodes_[i].replicated_tables) tables.tables.push_back({one.schema, one.name});
    if (tables.tables.empty() && i < database.subscribed.size())
      tables.tables = routing::replicated_tables(database.subscribed[i], published);
    database.tables.push_back(std::move(tables));
  }
  run(database, routing::catalog_fingerprint_query(), &CatalogLoader::compare);
}

void CatalogLoader::compare(Database& database, Rows rows) {
  database.new_fingerprint = rows.size() == 1 && rows[0].size() == 1 ? rows[0][0].value_or("") : "";
  if (!database.new_fingerprint.empty()) database.new_fingerprint += text_of(database.tables);
  if (database.catalog && !database.new_fingerprint.empty() && database.new_fingerprint == database.fingerprint) {
    on_catalog_(database.name, database.catalog, database.started);
    return finish(database, true);
  }
  run(database, routing::catalog_queries()[0].sql, &CatalogLoader::next_query);
}

void CatalogLoader::next_query(Database& database, Rows rows) {
  database.results.push_back(std::move(rows));
  const auto queries = routing::catalog_queries();
  if (database.results.size() < queries.size())
    return run(database, queries[database.results.size()].sql, &CatalogLoader::next_query);
  const auto more = routing::replication_queries();
  const std::size_t done = database.results.size() - queries.size();
  if (topology_->independent_nodes && done < more.size())
    return run(database, more[done].sql, &CatalogLoader::next_query);
  publish(database);
}

void CatalogLoader::publish(Database& database) {
  const std::size_t usual = routing::catalog_queries().size();
  auto rows = routing::rows_from(std::span(database.results).first(usual));
  if (!rows) return finish(database, base::Failure(rows.error()));
  if (topology_->independent_nodes) {
    auto replication = routing::replication_rows_from(std::span(database.results).subspan(usual));
    if (!replication) return finish(database, base::Failure(replication.error()));
    replication->nodes = std::move(database.tables);
    rows->replication = std::move(*replication);
  }
  database.results.clear();
  database.catalog = routing::Catalog::build(++versions_, database.started, *rows);
  database.fingerprint = database.new_fingerprint;
  const std::size_t functions = rows->functions.size(), relations = rows->relations.size();
  *rows = {};
  untidy_ = true;
  if (!tidy_pause_.active()) tidy();
  log::info("catalog_loaded", {{"database", database.name}, {"functions", functions}, {"relations", relations}});
  on_catalog_(database.name, database.catalog, database.started);
  finish(database, true);
}

void CatalogLoader::tidy() {
  base::give_back_free_memory();
  untidy_ = false;
  tidy_pause_.start(kPauseBetweenTidying);
}

void CatalogLoader::finish(Database& database, base::Result<bool> result) {
  database.under_way = false;
  // The session is in one of its own callbacks: it goes when the pass is over.
  std::shared_ptr<PqSession> doomed = std::move(database.session);
  loop_.after_pass([doomed] {});
  database.results.clear();
  if (!result && database.failures == 0)
    log::warning("catalog_not_loaded", {{"database", database.name},
                                        {"error", result.error().message},
                                        {"effect", "reads of this database go to the primary"}});
  // An object that was dropped while it was read about is a reason to try again soon; a lasting one, less and less
  // often.
  database.failures = result ? 0 : std::min(database.failures + 1, kMostDoublings);
  if (!result)
    database.pause.start(kPauseAfterFailure * (1 << database.failures));
  else if (database.wanted > database.started)
    database.pause.start(kPauseBetweenLoads);
}

}  // namespace pgweir::cluster
