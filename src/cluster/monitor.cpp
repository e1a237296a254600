// From answers to a published Topology; see monitor.h.
#include "cluster/monitor.h"

#include <algorithm>
#include <string_view>

#include "base/log.h"

namespace pgweir::cluster {

namespace log = base::log;

namespace {

ProbeTimes times_of(const config::Monitor& monitor) {
  return {monitor.interval, monitor.timeout, monitor.lag_interval};
}

std::vector<FailoverNode> names_of(const std::vector<config::NodeSettings>& nodes) {
  std::vector<FailoverNode> names;
  for (const auto& node : nodes) names.push_back({node.name, 0});
  return names;
}

void log_changes(const routing::Topology& before, const routing::Topology& after) {
  for (const routing::Node& node : after.nodes) {
    const bool known = node.id.value < before.nodes.size();
    const auto old_status = known ? before.node(node.id).status : routing::NodeStatus::unknown;
    const auto old_role = known ? before.node(node.id).role : routing::Role::unknown;
    if (known && old_status == node.status && old_role == node.role && before.node(node.id).reason == node.reason)
      continue;
    if (node.status == routing::NodeStatus::unknown) continue;
    const bool good = node.status == routing::NodeStatus::up;
    log::write(good ? log::Level::info : log::Level::warning, "node_state",
               {{"node", node.name},
                {"host", node.host},
                {"port", node.port},
                {"old_state", routing::name_of(old_status)},
                {"new_state", routing::name_of(node.status)},
                {"old_role", routing::name_of(old_role)},
                {"role", routing::name_of(node.role)},
                {"timeline", node.timeline},
                {"reason", node.reason.empty() ? std::string_view("it answers") : std::string_view(node.reason)}});
  }
}

/// As the pools connect (pool/server_tls.h). Files of the operating system's user are never looked at: what is not
/// named is looked for where nothing can be.
void add_tls(const config::NodeSettings& node, std::vector<std::pair<std::string, std::string>>& login) {
  const config::ServerTls& tls = node.server_tls;
  const auto or_none = [](const std::string& file) { return file.empty() ? std::string("/dev/null/none") : file; };
  if (!node.tls.server_name.empty()) login.emplace_back("hostaddr", node.host);
  login.emplace_back("sslmode", std::string(config::name_of(tls.mode)));
  if (tls.mode == config::TlsMode::disable) return;
  // With a root certificate at hand libpq's `require` would be `verify-ca`.
  const bool verifies = tls.mode >= config::TlsMode::verify_ca;
  login.emplace_back("sslrootcert", or_none(verifies ? tls.ca_file : std::string()));
  login.emplace_back("sslcrl", or_none(verifies ? tls.crl_file : std::string()));
  login.emplace_back("sslcert", or_none(tls.cert_file));
  login.emplace_back("sslkey", or_none(tls.key_file));
  login.emplace_back("ssl_min_protocol_version", tls.min_version == config::TlsVersion::v1_3 ? "TLSv1.3" : "TLSv1.2");
}

}  // namespace

std::vector<std::pair<std::string, std::string>> monitor_login(const config::NodeSettings& node,
                                                               const config::Monitor& monitor,
                                                               const std::string& database,
                                                               const config::PasswordFile& passwords,
                                                               base::Duration timeout) {
  const auto seconds = std::max<long long>(2, std::chrono::ceil<std::chrono::seconds>(timeout).count());
  std::vector<std::pair<std::string, std::string>> login{
      {"host", node.tls.server_name.empty() ? node.host : node.tls.server_name},
      {"port", std::to_string(node.port)},
      {"user", monitor.user},
      {"dbname", database},
      {"application_name", "pgweir_monitor"},
      {"client_encoding", "UTF8"},
      {"connect_timeout", std::to_string(seconds)},
      // Passwords come from pgweir's own file, never from one of the operating system's user: this path cannot exist.
      {"passfile", "/dev/null/none"},
      {"gssencmode", "disable"},
      // The probes must not be shaped by what the role or the database sets.
      {"options",
       "-c search_path=pg_catalog -c statement_timeout=0 -c default_transaction_isolation=read\\ committed"}};
  add_tls(node, login);
  if (const auto password = passwords.find(node.host, node.port, database, monitor.user))
    login.emplace_back("password", std::string(*password));
  return login;
}

Monitor::Monitor(net::Loop& loop, const config::Settings& settings, const config::PasswordFile& passwords,
                 SharedFreshness& freshness, OnTopology on_topology)
    : on_topology_(std::move(on_topology)),
      freshness_(freshness),
      nodes_(settings.nodes),
      machine_(following_rules(settings.topology), names_of(settings.nodes)),
      observations_(settings.nodes.size()),
      replayed_(settings.nodes.size()),
      topology_(std::make_shared<routing::Topology>()) {
  for (std::size_t i = 0; i < nodes_.size(); ++i)
    probes_.push_back(std::make_unique<NodeProbe>(
        loop, i,
        monitor_login(nodes_[i], settings.monitor, settings.monitor.database, passwords, settings.monitor.timeout),
        times_of(settings.monitor), static_cast<NodeProbe::Listener&>(*this)));
}

void Monitor::start() {
  publish();
  for (auto& probe : probes_) probe->start();
}

void Monitor::suspect(base::NodeId node) { probes_[node.value]->probe_now(); }

void Monitor::request(const Event& event) {
  apply(event);
  publish();
}

void Monitor::reconfigure(const config::Settings& settings) {
  nodes_ = settings.nodes;
  for (auto& probe : probes_) probe->set_times(times_of(settings.monitor));
  publish();
}

bool Monitor::complete() const {
  return std::all_of(observations_.begin(), observations_.end(),
                     [](const Observation& one) { return one.facts || !one.failure.empty(); });
}

void Monitor::on_observation(std::size_t node, Observation observation) {
  apply(probed_from(node, observation, base::Clock::now()));
  // That a node has no place for one more connection changes nothing of what it has said.
  const bool is_full = !observation.facts && observation.failure_kind == FailureKind::full;
  if (!is_full || !observations_[node].facts) observations_[node] = std::move(observation);
  publish();
}

/// It follows only: there is nothing to do but to publish.
void Monitor::apply(const Event& event) {
  machine_.apply(event, {base::Clock::now(), std::chrono::system_clock::now()});
}

void Monitor::publish() {
  auto next = std::make_shared<routing::Topology>(
      topology_of(machine_, nodes_, observations_, *topology_, std::chrono::system_clock::now()));
  if (!topology_->nodes.empty() && !differs(*topology_, *next)) return;
  if (next->primary) follow_primary(next->node(*next->primary));
  ++next->epoch;
  log_changes(*topology_, *next);
  topology_ = next;
  on_topology_(topology_);
}

/// What the positions of one primary prove holds while it is away, but not for another primary.
void Monitor::follow_primary(const routing::Node& primary) {
  const std::pair now{primary.id, primary.timeline};
  if (last_primary_ == now) return;
  last_primary_ = now;
  history_.clear();
  flushed_history_.clear();
  primary_position_ = 0;
  for (const auto& node : nodes_) freshness_.write(base::NodeId{static_cast<std::uint16_t>(&node - nodes_.data())}, {});
}

void Monitor::on_position(std::size_t node, base::Time started, const PositionFacts& facts) {
  auto& known = observations_[node].facts;
  if (!known) return;
  if (known->in_recovery != facts.in_recovery) {
    // A promotion or a restart as a standby: the full probe tells the rest.
    probes_[node]->probe_now();
    return;
  }
  known->position = facts.position;
  const bool is_primary = topology_->primary && topology_->primary->value == node;
  if (is_primary) {
    primary_position_ = facts.position;
    history_.add(started, facts.position);
    // What was acknowledged that long ago is on disk by now, whatever else the insert position stands for.
    flushed_history_.add(started - facts.flush_delay, facts.flushed);
  } else if (facts.in_recovery) {
    replayed_[node] = facts.position;
    update_freshness(node);
  }
}

void Monitor::update_freshness(std::size_t node) {
  const base::NodeId id{static_cast<std::uint16_t>(node)};
  routing::NodeFreshness value = history_.freshness(replayed_[node]);
  value.fresh_until = std::max(value.fresh_until, flushed_history_.freshness(replayed_[node]).fresh_until);
  value.lag_bytes = primary_position_ > replayed_[node] ? primary_position_ - replayed_[node] : 0;
  freshness_.write(id, value);
}

}  // namespace pgweir::cluster
