// Asking one node, in turn; see node_probe.h.
#include "cluster/node_probe.h"

#include "cluster/failover_probe.h"
#include "net/loop.h"

namespace pgweir::cluster {

NodeProbe::NodeProbe(net::Loop& loop, std::size_t node, std::vector<std::pair<std::string, std::string>> parameters,
                     ProbeTimes times, Listener& listener)
    : loop_(loop),
      node_(node),
      parameters_(std::move(parameters)),
      times_(times),
      listener_(listener),
      full_timer_(loop, [this] { probe_now(); }),
      position_timer_(loop, [this] { position_probe(); }) {}

void NodeProbe::start() {
  full_timer_.start_repeating(times_.interval);
  position_timer_.start_repeating(times_.position_interval);
  probe_now();
}

void NodeProbe::set_times(ProbeTimes times) {
  times_ = times;
  full_timer_.start_repeating(times_.interval);
  position_timer_.start_repeating(times_.position_interval);
}

void NodeProbe::probe_now() {
  if (!session_) return connect();
  if (session_->busy()) {
    probe_wanted_ = true;
    return;
  }
  full_probe();
}

void NodeProbe::connect() {
  session_ = std::make_unique<PqSession>(loop_, parameters_);
  session_->connect(times_.timeout, [this](base::Result<bool> result) {
    if (!result) return failed(result.error());
    full_probe();
  });
}

void NodeProbe::full_probe() {
  probe_wanted_ = false;
  session_->query(std::string(kFullProbe), times_.timeout, [this](base::Result<Rows> rows) {
    if (!rows) return failed(rows.error());
    auto facts = facts_from(*rows);
    if (!facts) return failed(facts.error());
    Observation observation;
    observation.facts = std::move(*facts);
    listener_.on_observation(node_, std::move(observation));
    if (probe_wanted_) probe_now();
  });
}

void NodeProbe::position_probe() {
  if (!session_ || !session_->connected() || session_->busy()) return;
  const base::Time started = base::Clock::now();
  session_->query(std::string(kPositionProbe), times_.timeout, [this, started](base::Result<Rows> rows) {
    if (!rows) return failed(rows.error());
    const auto facts = position_from(*rows);
    if (!facts) return failed(facts.error());
    listener_.on_position(node_, started, *facts);
    if (probe_wanted_) probe_now();
  });
}

void NodeProbe::failed(const base::Error& error) {
  // The session is in one of its own callbacks: it goes when the pass is over.
  std::shared_ptr<PqSession> doomed = std::move(session_);
  loop_.after_pass([doomed] {});
  probe_wanted_ = false;
  Observation observation;
  const ProbeFailure failure = probe_failure_from(error);
  observation.failure = failure.text.empty() ? "no reason given" : failure.text;
  observation.failure_kind = failure.kind;
  listener_.on_observation(node_, std::move(observation));
}

}  // namespace pgweir::cluster
