// Asking one node, in turn; see node_probe.h.
#include "cluster/node_probe.h"

#include "cluster/failover_probe.h"
#include "net/loop.h"

namespace pgweir::cluster {

namespace {
/// Whoever ends connections of the monitor's may end the next one too; not every error on one is such an end.
constexpr unsigned kMostEnded = 5;
}  // namespace

NodeProbe::NodeProbe(net::Loop& loop, std::size_t node, std::vector<std::pair<std::string, std::string>> parameters,
                     ProbeTimes times, PositionsOf positions, Listener& listener)
    : loop_(loop),
      node_(node),
      parameters_(std::move(parameters)),
      times_(times),
      positions_(positions),
      listener_(listener),
      probe_timer_(loop, [this] { probe_now(); }),
      position_timer_(loop, [this] { position_probe(); }) {}

void NodeProbe::start() {
  is_stopped_ = false;
  probe_timer_.start_repeating(times_.interval);
  position_timer_.start_repeating(times_.position_interval);
  probe_now();
}

void NodeProbe::stop() {
  is_stopped_ = true;
  probe_timer_.stop();
  position_timer_.stop();
  session_.reset();
  probe_wanted_ = is_probing_ = false;
}

void NodeProbe::set_times(ProbeTimes times) {
  times_ = times;
  if (is_stopped_) return;
  probe_timer_.start_repeating(times_.interval);
  position_timer_.start_repeating(times_.position_interval);
}

void NodeProbe::probe_now() {
  if (is_stopped_) return;
  if (!session_) return connect();
  if (session_->busy()) {
    probe_wanted_ = !is_probing_ || session_->connected();
    return;
  }
  probe();
}

void NodeProbe::connect() {
  started_ = base::Clock::now();
  is_probing_ = true;
  is_connected_ = false;
  session_ = std::make_unique<PqSession>(loop_, parameters_);
  session_->connect(times_.timeout, [this](base::Result<bool> result) {
    if (!result) return failed(result.error());
    is_connected_ = true;
    session_->on_closed([this](const base::Error& error) { failed(error); });
    probe();
  });
}

void NodeProbe::probe() {
  probe_wanted_ = false;
  is_probing_ = true;
  started_ = base::Clock::now();
  session_->query(std::string(kFailoverProbe), times_.timeout, [this](base::Result<Rows> rows) { report(rows); });
}

void NodeProbe::report(const base::Result<Rows>& rows) {
  if (!rows) return failed(rows.error());
  auto answer = probe_answer_from(
      *rows, [this](std::string_view host, std::string_view port) { return listener_.node_at(host, port); });
  if (!answer) return failed(answer.error());
  ended_ = 0;
  is_probing_ = false;
  NodeFacts facts;
  facts.answer = std::move(*answer);
  facts.peers = walsenders_from(*rows);
  facts.server_version = session_->server_version();
  facts.position = facts.answer.replayed;
  Observation observation;
  observation.facts = std::move(facts);
  listener_.on_observation(node_, started_, std::move(observation));
  if (probe_wanted_) probe_now();
}

void NodeProbe::position_probe() {
  if (!session_ || !session_->connected() || session_->busy()) return;
  const base::Time started = base::Clock::now();
  started_ = started;
  const std::string_view sql = positions_ == PositionsOf::node ? kPositionProbe : kLogicalPositionProbe;
  session_->query(std::string(sql), times_.timeout, [this, started](base::Result<Rows> rows) {
    if (!rows) return failed(rows.error());
    const auto facts = position_from(*rows);
    if (!facts) return failed(facts.error());
    listener_.on_position(node_, started, *facts);
    if (probe_wanted_) probe_now();
  });
}

void NodeProbe::failed(const base::Error& error) {
  // One that came to stand, or that somebody ended at its login, and not one that could not be made.
  const bool was_ended = is_connected_ || error.sqlstate == base::sqlstate::admin_shutdown;
  // The session is in one of its own callbacks: it goes when the pass is over.
  std::shared_ptr<PqSession> doomed = std::move(session_);
  loop_.after_pass([doomed] {});
  probe_wanted_ = false;
  is_probing_ = false;
  Observation observation;
  const ProbeFailure failure = probe_failure_from(error);
  // Somebody may have ended this one connection: it is the next one that tells.
  if (was_ended && failure.kind != FailureKind::silent && ++ended_ <= kMostEnded) return connect();
  ended_ = 0;
  observation.failure = failure.text.empty() ? "no reason given" : failure.text;
  observation.failure_kind = failure.kind;
  listener_.on_observation(node_, started_, std::move(observation));
}

}  // namespace pgweir::cluster
