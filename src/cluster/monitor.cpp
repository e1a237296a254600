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
                 FailoverState state, SharedFreshness& freshness, OnTopology on_topology)
    : loop_(loop),
      login_(settings.monitor),
      passwords_(passwords),
      on_topology_(std::move(on_topology)),
      freshness_(freshness),
      nodes_(settings.nodes),
      state_(std::move(state)),
      state_file_(settings.failover.state_file),
      machine_(rules_of(settings), failover_nodes_of(settings.nodes), state_.memory),
      actions_(loop, settings, passwords, *this),
      tick_(loop,
            [this] {
              apply(Tick{});
              publish();
            }),
      is_logical_(settings.topology == config::TopologyKind::logical),
      topology_(std::make_shared<routing::Topology>()) {
  while (probes_.size() < nodes_.size()) add_node();
}

/// The next one that has no probe yet.
void Monitor::add_node() {
  const std::size_t i = probes_.size();
  state_.upstreams.resize(std::max(state_.upstreams.size(), i + 1));
  observations_.emplace_back();
  replayed_.push_back(0);
  subscriptions_.emplace_back();
  speakers_.emplace_back();
  doubted_.emplace_back();
  probes_.push_back(std::make_unique<NodeProbe>(
      loop_, i, monitor_login(nodes_[i], login_, login_.database, passwords_, login_.timeout), times_of(login_),
      is_logical_ ? PositionsOf::replicas : PositionsOf::node, static_cast<NodeProbe::Listener&>(*this)));
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
  const std::vector<config::NodeSettings> before = std::exchange(nodes_, settings.nodes);
  login_ = settings.monitor;
  actions_.set_nodes(nodes_);
  for (auto& probe : probes_) probe->set_times(times_of(settings.monitor));
  for (const FailoverNode& node :
       failover_nodes_of({nodes_.begin() + static_cast<std::ptrdiff_t>(before.size()), nodes_.end()})) {
    machine_.add(node);
    add_node();
    probes_.back()->start();
  }
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (!before[i].removed || nodes_[i].removed) continue;
    apply(Enable{base::NodeId{static_cast<std::uint16_t>(i)}});
    probes_[i]->start();
  }
  take_out_removed();
  publish();
}

/// A node that has gone from the configuration, unless it is the primary: then once it is not.
void Monitor::take_out_removed() {
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const base::NodeId id{static_cast<std::uint16_t>(i)};
    if (!nodes_[i].removed || machine_.nodes()[i].disabled || machine_.primary() == id ||
        machine_.phase() != Phase::following)
      continue;
    apply(Disable{id});
    if (machine_.nodes()[i].disabled) probes_[i]->stop();
  }
}

bool Monitor::complete() const {
  return std::all_of(observations_.begin(), observations_.end(),
                     [](const Observation& one) { return one.facts || !one.failure.empty(); });
}

void Monitor::on_observation(std::size_t node, base::Time started, Observation observation) {
  apply(probed_from(node, observation, started));
  take_out_removed();
  if (observation.facts)
    observation.facts->subscriptions = subscriptions_[node];
  else
    doubted_[node] = speakers_[node];
  // That a node has no place for one more connection changes nothing of what it has said.
  const bool is_full = !observation.facts && observation.failure_kind == FailureKind::full;
  if (!is_full || !observations_[node].facts) observations_[node] = std::move(observation);
  publish();
  // One silence is not enough: the next question comes at once.
  if (machine_.nodes()[node].health == Health::trouble) probes_[node]->probe_now();
}

std::optional<base::NodeId> Monitor::node_at(std::string_view host, std::string_view port) const {
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const config::NodeSettings& node = nodes_[i];
    if (node.removed) continue;
    const bool is_it =
        (node.host == host && std::to_string(node.port) == port) ||
        (config::replication_host(node) == host && std::to_string(config::replication_port(node)) == port);
    if (is_it) return base::NodeId{static_cast<std::uint16_t>(i)};
  }
  return {};
}

void Monitor::on_action_ended(std::uint64_t id, Outcome outcome) {
  apply(ActionEnded{id, outcome});
  publish();
}

bool Monitor::remember_upstream(base::NodeId node, const Upstream& upstream) {
  state_.upstreams[node.value] = upstream;
  return keep_state();
}

void Monitor::apply(const Event& event) {
  const auto before = machine_.memory_view().primary;
  const std::vector<Action> actions = machine_.apply(event, {base::Clock::now(), std::chrono::system_clock::now()});
  const auto after = machine_.memory_view().primary;
  if (before && after != before) state_.before_primary = before;
  tell_history();
  carry_out(actions);
  tick_.start(machine_.tick_after());
}

/// What a new process would have to know of them is on disk before they are begun.
void Monitor::carry_out(const std::vector<Action>& actions) {
  const bool kept = keep_state();
  const auto& memory = machine_.memory_view();
  for (const Action& action : actions) {
    const bool promotes = action.kind == ActionKind::promote;
    if (action.kind == ActionKind::probe)
      probes_[action.node.value]->probe_now();
    else if (!kept)
      actions_.refuse(action, "the state file cannot be written");
    else
      actions_.carry_out(action, promotes ? memory.primary : state_.before_primary);
  }
}

bool Monitor::keep_state() {
  if (state_file_.empty()) return true;
  state_.memory = machine_.memory();
  std::string text = text_of(state_, machine_.names());
  if (text == kept_) return true;
  if (auto written = write_durably(state_file_, text); !written) {
    log::error("failover_state_not_written", {{"error", written.error().message}});
    return false;
  }
  kept_ = std::move(text);
  return true;
}

/// The states of nodes have lines of their own (log_changes).
void Monitor::tell_history() {
  const EventHistory& history = machine_.history();
  const auto& entries = history.entries();
  const std::uint64_t fresh =
      std::min<std::uint64_t>(history.added() - std::exchange(told_, history.added()), entries.size());
  for (auto entry = entries.end() - static_cast<std::ptrdiff_t>(fresh); entry != entries.end(); ++entry) {
    if (entry->what == HistoryEntry::What::node) continue;
    log::info("failover", {{"what", name_of(entry->what)},
                           {"node", entry->node ? std::string_view(nodes_[entry->node->value].name) : ""},
                           {"old", entry->before},
                           {"new", entry->after},
                           {"reason", text_of(entry->why, machine_.names())}});
  }
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
  proofs_.clear();
  primary_position_ = 0;
  if (is_logical_) std::fill(replayed_.begin(), replayed_.end(), 0);
  for (const auto& node : nodes_) freshness_.write(base::NodeId{static_cast<std::uint16_t>(&node - nodes_.data())}, {});
}

void Monitor::on_position(std::size_t node, base::Time started, const PositionFacts& facts) {
  auto& known = observations_[node].facts;
  if (!known) return;
  if (known->answer.in_recovery != facts.in_recovery) {
    // A promotion or a restart as a standby: the full probe tells the rest.
    probes_[node]->probe_now();
    return;
  }
  known->position = facts.position;
  if (is_logical_) return on_logical_position(node, started, facts);
  const bool is_primary = topology_->primary && topology_->primary->value == node;
  if (is_primary) {
    primary_position_ = facts.position;
    proofs_.add({started, base::Clock::now(), facts.position, facts.flushed, facts.flush_delay});
  } else if (facts.in_recovery) {
    replayed_[node] = facts.position;
    update_freshness(node);
  }
}

void Monitor::update_freshness(std::size_t node) {
  const base::NodeId id{static_cast<std::uint16_t>(node)};
  routing::NodeFreshness value = proofs_.freshness(replayed_[node]);
  value.lag_bytes = primary_position_ > replayed_[node] ? primary_position_ - replayed_[node] : 0;
  freshness_.write(id, value);
}

/// Only the origin knows how far the others are; they know by which names it does.
void Monitor::on_logical_position(std::size_t node, base::Time started, const PositionFacts& facts) {
  subscriptions_[node] = facts.subscriptions;
  if (!topology_->primary || topology_->primary->value != node) return;
  primary_position_ = facts.position;
  proofs_.add({started, base::Clock::now(), facts.position, facts.flushed, facts.flush_delay});
  for (std::size_t i = 0; i < nodes_.size(); ++i)
    if (i != node) update_applied(i, facts.walsenders);
}

void Monitor::update_applied(std::size_t node, std::span<const Walsender> walsenders) {
  const base::NodeId id{static_cast<std::uint16_t>(node)};
  auto applied = applied_by(id, nodes_[node].subscription, subscriptions_, walsenders);
  if (applied) speakers_[node] = applied->pids;
  const auto is_doubted = [&](std::int64_t pid) {
    return std::find(doubted_[node].begin(), doubted_[node].end(), pid) != doubted_[node].end();
  };
  if (applied && std::any_of(applied->pids.begin(), applied->pids.end(), is_doubted)) applied.reset();
  if (applied) {
    replayed_[node] = applied->position;
    return update_freshness(node);
  }
  // It proves nothing any more, but it lags at least as much as when it was last heard of.
  routing::NodeFreshness value;
  if (replayed_[node] != 0 && primary_position_ > replayed_[node])
    value.lag_bytes = primary_position_ - replayed_[node];
  freshness_.write(id, value);
}

}  // namespace pgweir::cluster
