// Probes and actions in simulated time; see shell.h.
#include "shell.h"

namespace pgweir::sim {

using cluster::ActionKind;
using cluster::FailureKind;
using cluster::Outcome;
using cluster::ProbeAnswer;

namespace {
constexpr base::Duration kInterval = 1s;
constexpr base::Duration kTimeout = 1s;
}  // namespace

Shell::Shell(const Scenario& scenario, World& world, Lie lie, std::mt19937& dice)
    : cutting_since(world.size()),
      scenario_(scenario),
      world_(world),
      lie_(lie),
      dice_(dice),
      bad_answers_(scenario.bad_answers),
      sync_names_(lie == Lie::no_sync_names ? std::string() : world.sync_names()),
      probes_(world.size()),
      next_probe_(world.size(), kBeginning),
      full_until_(world.size()) {}

void Shell::forget() {
  for (auto& probe : probes_) probe.reset();
  for (Job& job : jobs_) job.is_forgotten = true;
}

void Shell::apply(const cluster::Event& event, base::Time now, cluster::FailoverMachine& machine) {
  for (const cluster::Action& action : machine.apply(event, moment(lie_ == Lie::no_clock ? kBeginning : now))) {
    if (action.kind == ActionKind::probe) {
      if (!probes_[action.node.value]) start_probe(action.node.value, now);
      continue;
    }
    if (action.kind == ActionKind::promote) promotions.push_back(action);
    auto& cutting = cutting_since[action.node.value];
    if (action.kind == ActionKind::stop_receiving && !cutting) cutting = now;
    if (action.kind == ActionKind::follow) cutting.reset();
    Job job{action, now, now, now};
    job.effect_at = now + (bad_answers_ && dice_() % 4 == 0 ? action.time_limit * (dice_() % 10) / 10 : 0ms);
    job.answer_at = job.effect_at + 10ms + (bad_answers_ && dice_() % 4 == 0 ? action.time_limit : 0ms);
    job.answer_is_lost = bad_answers_ && dice_() % 8 == 0;
    jobs_.push_back(job);
  }
}

void Shell::start_probe(std::size_t node, base::Time now) {
  Probe probe{now, now + kStep, dice_() % 2 == 0, {}};
  if (bad_answers_ && dice_() % 6 == 0) probe.due = now + 800ms;
  if (probe.snapshot_first && reaches(node) && world_.serves(node, now)) probe.snapshot = look(node, now);
  probes_[node] = probe;
  next_probe_[node] = now + kInterval;
}

ProbeAnswer Shell::look(std::size_t node, base::Time now) const {
  const Server& server = world_.servers[node];
  ProbeAnswer answer;
  answer.in_recovery = server.recovery;
  answer.system_identifier = 7;
  answer.timeline = lie_ == Lie::one_timeline ? 1 : world_.timeline_of(node);
  answer.received = lie_ == Lie::replayed_as_received ? server.replayed : server.received;
  answer.replayed = server.replayed;
  if (server.streaming) answer.receiver = cluster::Receiver::streaming;
  if (server.streaming) answer.heard_ago = lie_ == Lie::nobody_hears ? 1h : now - server.heard;
  if (server.upstream >= 0) answer.sender = base::NodeId{static_cast<std::uint16_t>(server.upstream)};
  answer.has_upstream = server.upstream >= 0;
  if (lie_ == Lie::cut_at_once) answer.has_upstream = false, answer.receiver = cluster::Receiver::none;
  answer.application_name = name_of_server(node);
  answer.synchronous_standby_names = sync_names_;
  if (!server.recovery) answer.timeline_began = world_.lines[static_cast<std::size_t>(server.line)].began;
  for (std::size_t i = 0; i < world_.size() && !server.recovery; ++i)
    if (world_.servers[i].streaming && world_.servers[i].upstream == static_cast<int>(node))
      answer.peers.push_back(name_of_server(i));
  return answer;
}

void Shell::finish_probes(base::Time now, cluster::FailoverMachine& machine) {
  for (std::size_t i = 0; i < world_.size(); ++i) {
    if (!probes_[i]) {
      if (now >= next_probe_[i]) start_probe(i, now);
      continue;
    }
    Probe& probe = *probes_[i];
    if (now < probe.due) continue;
    cluster::Probed probed{base::NodeId{static_cast<std::uint16_t>(i)}, probe.started, {}};
    if (!reaches(i)) {
      if (now < probe.started + kTimeout) continue;
      probed.result = cluster::ProbeFailure{FailureKind::silent, "no answer"};
    } else if (!world_.servers[i].runs) {
      probed.result = cluster::ProbeFailure{FailureKind::refused, "connection refused"};
    } else if (!world_.serves(i, now)) {
      probed.result = cluster::ProbeFailure{FailureKind::starting, "the database system is starting up"};
    } else if (now < full_until_[i]) {
      probed.result = cluster::ProbeFailure{FailureKind::full, "sorry, too many clients already"};
    } else {
      probed.result = probe.snapshot ? *probe.snapshot : look(i, now);
    }
    probes_[i].reset();
    apply(probed, now, machine);
  }
}

Outcome Shell::carry_out(const cluster::Action& action, base::Time now) {
  const std::size_t node = action.node.value;
  Server& server = world_.servers[node];
  const bool is_standby = server.recovery;
  switch (action.kind) {
    case ActionKind::probe: return Outcome::done;
    case ActionKind::restart_receiver: server.streaming = false; return Outcome::done;
    case ActionKind::stop_receiving:
      if (!is_standby) return Outcome::refused;
      world_.follow(node, -1);
      cutting_since[node].reset();
      return Outcome::done;
    case ActionKind::promote: return world_.promote(node, now) ? Outcome::done : Outcome::refused;
    case ActionKind::follow:
      if (!is_standby) return Outcome::refused;
      world_.follow(node, action.other.value);
      return Outcome::done;
    case ActionKind::rejoin: return world_.rejoin(node, action.other.value, now) ? Outcome::done : Outcome::refused;
    case ActionKind::demote: server.demoted = true; return Outcome::done;
    case ActionKind::restore: server.demoted = false; return Outcome::done;
  }
  return Outcome::unknown;
}

void Shell::run_jobs(base::Time now, cluster::FailoverMachine& machine) {
  std::vector<cluster::ActionEnded> ended;
  for (Job& job : jobs_) {
    const std::size_t node = job.action.node.value;
    const bool is_promote = job.action.kind == ActionKind::promote;
    if (!job.has_effect && now >= job.effect_at) {
      // A server that hangs does what it was told when it goes on; of anything but a promotion it is told in time.
      const bool hangs = world_.servers[node].frozen && world_.connected(world_.pgweir(), node);
      if (hangs && is_promote && now < job.asked + 20s) continue;
      if (job.action.kind == ActionKind::rejoin || is_promote || now < job.asked + job.action.time_limit) {
        if (!reaches(node))
          job.outcome = Outcome::unknown;
        else if (!world_.serves(node, now))
          job.outcome = world_.servers[node].runs ? Outcome::unknown : Outcome::refused;
        else
          job.outcome = carry_out(job.action, now);
      }
      job.has_effect = true;
    }
    if (job.has_effect && now >= job.answer_at && !job.is_forgotten) {
      job.is_forgotten = true;
      const bool arrives = reaches(node) && !job.answer_is_lost;
      ended.push_back({job.action.id, arrives ? job.outcome : Outcome::unknown});
    }
  }
  std::erase_if(jobs_, [](const Job& job) { return job.has_effect && job.is_forgotten; });
  for (const auto& one : ended) apply(one, now, machine);
}

void Shell::step(base::Time now, cluster::FailoverMachine& machine) {
  finish_probes(now, machine);
  run_jobs(now, machine);
  apply(cluster::Tick{}, now, machine);
}

}  // namespace pgweir::sim
