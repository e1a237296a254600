// Runs one schedule and looks after each step whether everything that was promised still holds; see scenario.h.
#include <algorithm>
#include <utility>

#include "cluster/failover_machine.h"
#include "scenario.h"
#include "shell.h"
#include "world.h"

namespace pgweir::sim {

using cluster::FailoverMode;
using cluster::NodeState;
using cluster::Phase;

namespace {

constexpr base::Duration kLongEnough = 4s;   // until pgweir must know what can be known
constexpr base::Duration kMustSettle = 60s;  // after the last fault
constexpr base::Duration kLongestPause = 10s;

cluster::FailoverRules rules_of(const Scenario& scenario) {
  cluster::FailoverRules rules;
  rules.mode = scenario.mode;
  rules.rejoin = scenario.rejoin;
  rules.action_limit = 1s;
  rules.promote_limit = 3s;
  rules.rejoin_limit = 5s;
  rules.pause_limit = rules.catch_up_limit = 2s;
  rules.starting_patience = 5s;
  rules.quiet_limit = 4s;
  rules.longest_pause = 5s;
  return rules;
}

std::vector<cluster::FailoverNode> names_of(const Scenario& scenario) {
  std::vector<cluster::FailoverNode> nodes;
  for (std::size_t i = 0; i < scenario.nodes; ++i) nodes.push_back({name_of_server(i), static_cast<int>(i % 2)});
  return nodes;
}

class Run {
 public:
  Run(const Scenario& scenario, Lie lie, bool tell)
      : scenario_(scenario),
        dice_(static_cast<std::mt19937::result_type>(scenario.seed)),
        world_(scenario.nodes, scenario.sync, scenario.sync_count, scenario.star),
        shell_(scenario, world_, lie, dice_),
        machine_(rules_of(scenario), names_of(scenario)),
        seen_since_(scenario.nodes, kBeginning),
        reached_at_(scenario.nodes, kBeginning),
        tell_(tell) {
    // Some standbys replay slowly: what they have received and what they show are different things.
    for (Server& server : world_.servers) server.replay_step = dice_() % 3 == 0 ? 5 : 1000;
  }

  Report go() {
    const base::Time end = (scenario_.faults.empty() ? kBeginning : scenario_.faults.back().at) + 2s;
    for (now_ = kBeginning; report_.broken.empty(); now_ += kStep) {
      while (next_fault_ < scenario_.faults.size() && scenario_.faults[next_fault_].at <= now_)
        strike(scenario_.faults[next_fault_++]);
      if (now_ >= end && !std::exchange(faults_ended_, true)) end_all_faults();
      step();
      if (now_ < end + 1s) continue;
      if (!is_settled()) {
        settled_since_ = now_;
        if (now_ - end > kMustSettle) broken("does not settle: " + why_not_settled_);
      } else if (now_ - settled_since_ >= 2s) {
        report_.settled_after = settled_since_ - end;
        break;
      }
    }
    if (report_.broken.empty()) check_acknowledged(machine_.primary());
    return std::move(report_);
  }

 private:
  void broken(std::string what) {
    if (report_.broken.empty()) report_.broken = std::move(what);
    tell("BROKEN: " + report_.broken);
    for (std::size_t i = 0; i < world_.size() && tell_; ++i) tell(text_of_node(i));
  }
  void tell(const std::string& what) {
    if (!tell_) return;
    const auto at = std::chrono::duration_cast<std::chrono::milliseconds>(now_ - kBeginning).count();
    report_.story += std::to_string(at) + " ms " + what + "\n";
  }
  /// What is, and what pgweir believes.
  [[nodiscard]] std::string text_of_node(std::size_t node) const {
    const Server& server = world_.servers[node];
    const auto& record = machine_.nodes()[node];
    return "  " + name_of_server(node) + ": " + (server.recovery ? "standby" : "primary") + " on line " +
           std::to_string(server.line) + " (timeline " + std::to_string(world_.timeline_of(node)) + ") received " +
           std::to_string(server.received) + " replayed " + std::to_string(server.replayed) + " upstream " +
           std::to_string(server.upstream + 1) + (server.streaming ? " streaming" : "") +
           (server.demoted ? " demoted" : "") + "; pgweir: " + std::string(name_of(record.state)) +
           (record.pending ? " pending " + std::string(name_of(record.pending->kind)) : "") +
           (record.maybe_promoted ? " maybe promoted" : "") + (record.cut_off ? " cut off" : "") + ", last " +
           (record.last ? std::string(name_of(record.last->kind)) : "nothing");
  }
  void tell_history() {
    const auto& history = machine_.history();
    const auto& entries = history.entries();
    for (; told_ < history.added(); ++told_) {
      const auto& e = entries[entries.size() - static_cast<std::size_t>(history.added() - told_)];
      const std::string node = e.node ? " " + name_of_server(e.node->value) : "";
      tell("  pgweir:" + node + " " + std::string(e.before) + " -> " + std::string(e.after) + ": " +
           text_of(e.why, machine_.names()));
    }
  }

  void step() {
    world_.step(now_, dice_);
    shell_.step(now_, machine_);
    if (machine_.phase() == Phase::pausing && dice_() % 5 == 0) shell_.apply(cluster::WritesQuiet{}, now_, machine_);
    if (tell_) tell_history();
    for (std::size_t i = 0; i < world_.size(); ++i)
      if (world_.talks(world_.pgweir(), i)) reached_at_[i] = now_;
    for (std::size_t i = 0; i < world_.size(); ++i)
      if (!world_.talks(world_.pgweir(), i) || !world_.serves(i, now_) || machine_.nodes()[i].disabled ||
          shell_.is_full(i, now_))
        seen_since_[i] = now_;
    for (const cluster::Action& action : shell_.promotions) check_promotion(action.node.value);
    shell_.promotions.clear();
    if (machine_.primary() != published_) {
      published_ = machine_.primary();
      tell("primary: " + (published_ ? name_of_server(published_->value) : "none"));
      check_acknowledged(published_);
    }
    write();
    if (machine_.history().entries().size() > cluster::EventHistory::kMost) broken("the history grows");
    if (!machine_.writes_paused()) pause_began_ = now_;
    if (now_ - pause_began_ > kLongestPause) broken("writes are paused without end");
    alone_since_ = only_pgweir_is_cut_off() ? alone_since_ : now_;
    const Phase before = std::exchange(phase_, machine_.phase());
    if (before == Phase::asking && phase_ != Phase::asking && phase_ != Phase::following && !is_superseded() &&
        now_ - alone_since_ >= kLongEnough)
      broken("calls a primary lost that all but pgweir hear");
    if (before == Phase::asking && phase_ != Phase::asking && phase_ != Phase::following && !is_superseded())
      check_sight();
  }

  void write() {
    bool is_served = false;
    if (published_ && !machine_.writes_paused()) {
      const std::size_t node = published_->value;
      const Server& server = world_.servers[node];
      if (world_.talks(world_.pgweir(), node) && world_.write(node, now_)) {
        is_served = true;
        // All that pgweir writes is one history: never again on a primary whose successor it has written on.
        if (used_line_ && !world_.descends(server.line, *used_line_) && !is_tainted_) broken("writes on two primaries");
        used_line_ = server.line;
      }
    }
    if (is_served) served_at_ = now_;
    report_.longest_hold = std::max(report_.longest_hold, now_ - served_at_);
    for (std::size_t i = 0; i < world_.size() && scenario_.others_write; ++i)
      if (published_ != base::NodeId{static_cast<std::uint16_t>(i)} && dice_() % 4 == 0) world_.write(i, now_);
  }

  [[nodiscard]] bool is_known(std::size_t node) const { return now_ - seen_since_[node] >= kLongEnough; }

  /// pgweir has just decided to promote this node.
  void check_promotion(std::size_t node) {
    ++report_.promotions;
    if (is_tainted_ || scenario_.mode != FailoverMode::promote) return;
    for (std::size_t i = 0; i < world_.size(); ++i) {
      const Server& other = world_.servers[i];
      // What a node receives while every attempt to cut it off fails is not known in time.
      const auto& cutting = shell_.cutting_since[i];
      if (cutting && now_ - *cutting >= 1500ms) continue;
      if (i == node || !other.recovery || !is_known(i) || world_.timeline_of(i) != world_.timeline_of(node)) continue;
      if (!world_.contains(node, world_.line_at(i), other.received))
        broken("promotes a node that is behind another one in sight");
    }
  }

  /// pgweir decides only with a majority of the nodes that it may count on: it may be the one that is cut off.
  void check_sight() {
    std::size_t all = 0;
    std::size_t seen = 0;
    for (std::size_t i = 0; i < world_.size(); ++i) {
      if (machine_.nodes()[i].disabled) continue;
      ++all;
      if (now_ - reached_at_[i] <= kLongEnough) ++seen;
    }
    if (seen < std::min(all / 2 + 1, std::max<std::size_t>(all, 2) - 1)) broken("decides without a majority in sight");
  }

  void check_acknowledged(std::optional<base::NodeId> primary) {
    if (!primary || scenario_.sync == SyncKind::off || is_tainted_ || scenario_.mode != FailoverMode::promote) return;
    for (std::size_t line = 0; line < world_.lines.size(); ++line)
      if (!world_.contains(primary->value, static_cast<int>(line), world_.acknowledged[line]))
        broken("acknowledged commits are lost");
  }

  /// The primary is well, and so is its replication to all; only pgweir's way to it is cut.
  [[nodiscard]] bool only_pgweir_is_cut_off() const {
    const auto primary = machine_.memory_view().primary;
    if (!primary || world_.size() < 3) return false;
    const std::size_t node = primary->value;
    if (machine_.nodes()[node].disabled) return false;
    if (!world_.serves(node, now_) || world_.servers[node].recovery || world_.servers[node].demoted) return false;
    for (std::size_t i = 0; i < world_.size(); ++i)
      if (i != node && (!is_known(i) || !world_.talks(i, node) || !world_.servers[i].recovery ||
                        (world_.servers[i].upstream != static_cast<int>(node) && !machine_.nodes()[i].cut_off)))
        return false;
    return true;
  }

  [[nodiscard]] bool is_superseded() const {
    return std::any_of(machine_.nodes().begin(), machine_.nodes().end(),
                       [](const auto& n) { return n.maybe_promoted; });
  }

  bool is_settled() {
    why_not_settled_.clear();
    if (!machine_.primary()) why_not_settled_ = "no primary";
    if (machine_.phase() != Phase::following) why_not_settled_ = "phase " + std::string(name_of(machine_.phase()));
    for (const auto& node : machine_.nodes()) {
      const bool may_be_quarantined = !scenario_.rejoin || scenario_.mode == FailoverMode::observe;
      if (node.state != NodeState::up && !(may_be_quarantined && node.state == NodeState::quarantined))
        why_not_settled_ = "a node is " + std::string(name_of(node.state));
      if (node.demoted &&
          machine_.primary() == base::NodeId{static_cast<std::uint16_t>(&node - machine_.nodes().data())})
        why_not_settled_ = "the primary is demoted";
    }
    if (scenario_.rejoin && scenario_.mode != FailoverMode::observe && now_ - served_at_ > 500ms)
      why_not_settled_ = "clients are not served";
    return why_not_settled_.empty();
  }

  void kill(std::size_t node) {
    world_.servers[node].runs = false;
    world_.servers[node].streaming = false;
  }
  void start(std::size_t node, base::Duration takes) {
    Server& server = world_.servers[node];
    if (server.runs) return;
    server.runs = true;
    server.serves_from = now_ + takes;
  }

  void strike(const Fault& fault);
  void end_all_faults();

  const Scenario& scenario_;
  std::mt19937 dice_;
  World world_;
  Shell shell_;
  cluster::FailoverMachine machine_;
  std::vector<base::Time> seen_since_, reached_at_;
  bool tell_;
  Report report_;
  base::Time now_ = kBeginning;
  std::size_t next_fault_ = 0;
  std::optional<base::NodeId> published_;
  std::optional<int> used_line_;
  base::Time served_at_ = kBeginning, pause_began_ = kBeginning, settled_since_ = kBeginning, alone_since_ = kBeginning;
  bool faults_ended_ = false;
  bool is_tainted_ = false;  ///< somebody promoted by hand: what is lost then is not pgweir's
  Phase phase_ = Phase::following;
  std::uint64_t told_ = 0;
  std::string why_not_settled_;
};

void Run::strike(const Fault& fault) {
  const std::size_t a = fault.a;
  const std::size_t b = fault.b;
  Server& server = world_.servers[a];
  const base::NodeId id{static_cast<std::uint16_t>(a)};
  tell("fault " + std::to_string(static_cast<int>(fault.kind)) + " on " + name_of_server(a) + " " + std::to_string(b));
  switch (fault.kind) {
    case FaultKind::kill: return kill(a);
    case FaultKind::start: return start(a, 500ms);
    case FaultKind::quick_restart: kill(a); return start(a, 300ms);
    case FaultKind::power_off: server.dark = true; return kill(a);
    case FaultKind::power_on: server.dark = false; return start(a, 1s);
    case FaultKind::freeze: server.frozen = true; return;
    case FaultKind::thaw: server.frozen = false; return;
    case FaultKind::cut_link:
      if (a != b) world_.connect(a, b, false);
      return;
    case FaultKind::heal_link:
      if (a != b) world_.connect(a, b, true);
      return;
    case FaultKind::isolate_node:
      for (std::size_t i = 0; i <= world_.size(); ++i)
        if (i != a) world_.connect(a, i, false);
      return;
    case FaultKind::isolate_pgweir:
      for (std::size_t i = 0; i < world_.size(); ++i)
        if (i == a || i % 2 == b % 2) world_.connect(i, world_.pgweir(), false);
      return;
    case FaultKind::heal_all:
      for (char& link : world_.links) link = 1;
      return;
    case FaultKind::promote_by_hand:
      is_tainted_ = true;
      world_.promote(a, now_);
      return;
    case FaultKind::switchover: {
      const auto before = machine_.phase();
      shell_.apply(cluster::Switchover{b % 2 == 0 ? std::nullopt : std::optional(id)}, now_, machine_);
      if (before != machine_.phase()) ++report_.switchovers;
      return;
    }
    case FaultKind::disable: return shell_.apply(cluster::Disable{id}, now_, machine_);
    case FaultKind::enable: return shell_.apply(cluster::Enable{id}, now_, machine_);
    case FaultKind::restart_pgweir:
      machine_ = cluster::FailoverMachine(rules_of(scenario_), names_of(scenario_), machine_.memory());
      shell_.forget();
      told_ = 0;
      return;
    case FaultKind::full: return shell_.set_full(a, now_ + 3s);
  }
}

void Run::end_all_faults() {
  tell("all faults end");
  shell_.stop_bad_answers();
  for (char& link : world_.links) link = 1;
  for (std::size_t i = 0; i < world_.size(); ++i) {
    world_.servers[i].frozen = world_.servers[i].dark = false;
    start(i, 500ms);
    if (machine_.nodes()[i].disabled)
      shell_.apply(cluster::Enable{base::NodeId{static_cast<std::uint16_t>(i)}}, now_, machine_);
  }
}

}  // namespace

Report run(const Scenario& scenario, Lie lie, bool tell) { return Run(scenario, lie, tell).go(); }

}  // namespace pgweir::sim
