// The steps of loading a catalog, in order; see catalog_loader.h.
#include "cluster/catalog_loader.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/memory.h"
#include "cluster/monitor.h"
#include "net/loop.h"
#include "routing/catalog_queries.h"

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
}  // namespace

struct CatalogLoader::Database {
  explicit Database(net::Loop& loop, std::string database_name, std::function<void()> on_pause_over)
      : name(std::move(database_name)), pause(loop, std::move(on_pause_over)) {}
  std::string name;
  std::unique_ptr<PqSession> session;  ///< while a load is under way
  base::Time started{};
  base::Time wanted{};      ///< a load that started before this does not count
  std::string fingerprint;  ///< of `catalog`
  std::string new_fingerprint;
  std::vector<routing::TextRows> results;
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
  const bool first = !topology_->primary && topology->primary;
  topology_ = std::move(topology);
  if (first) refresh_all();
}

void CatalogLoader::want(const std::string& name, base::Time not_before) {
  auto& entry = databases_[name];
  if (!entry)
    entry = std::make_unique<Database>(loop_, name, [this, name] {
      Database& database = *databases_.at(name);
      if (!database.session) start(database);
    });
  Database& database = *entry;
  if (database.catalog && database.started >= not_before) {
    // Another worker's first use of it.
    if (not_before == base::Time{}) on_catalog_(name, database.catalog, database.started);
    return;
  }
  database.wanted = std::max(database.wanted, not_before);
  if (!database.session && !database.pause.active()) start(database);
}

void CatalogLoader::refresh_all() {
  for (auto& [name, database] : databases_) {
    database->wanted = base::Clock::now();
    if (!database->session && !database->pause.active()) start(*database);
  }
}

void CatalogLoader::start(Database& database) {
  const routing::Node* source = nullptr;
  for (const auto& node : topology_->nodes)
    if (node.status == routing::NodeStatus::up && (!source || topology_->primary == node.id)) source = &node;
  if (!source) return;  // the next topology starts it
  database.started = base::Clock::now();
  database.results.clear();
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
  run(database, routing::catalog_fingerprint_query(), &CatalogLoader::compare);
}

void CatalogLoader::compare(Database& database, Rows rows) {
  database.new_fingerprint = rows.size() == 1 && rows[0].size() == 1 ? rows[0][0].value_or("") : "";
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
  publish(database);
}

void CatalogLoader::publish(Database& database) {
  auto rows = routing::rows_from(database.results);
  if (!rows) return finish(database, base::Failure(rows.error()));
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
