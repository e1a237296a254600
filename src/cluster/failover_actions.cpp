// The actions that are under way; see failover_actions.h.
#include "cluster/failover_actions.h"

#include "base/log.h"
#include "cluster/action_run.h"
#include "cluster/monitor.h"
#include "net/loop.h"

namespace pgweir::cluster {

namespace {
constexpr std::string_view name_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::done: return "done";
    case Outcome::refused: return "refused";
    case Outcome::unknown: return "unknown";
  }
  return "unknown";
}
}  // namespace

FailoverActions::FailoverActions(net::Loop& loop, const config::Settings& settings,
                                 const config::PasswordFile& passwords, Owner& owner)
    : loop_(loop),
      nodes_(settings.nodes),
      failover_(settings.failover),
      login_(settings.monitor),
      passwords_(passwords),
      owner_(owner) {
  if (!failover_.user.empty()) login_.user = failover_.user;
}

FailoverActions::~FailoverActions() { *alive_ = false; }

void FailoverActions::carry_out(const Action& action, std::optional<base::NodeId> old_primary) {
  const std::string_view other = action.kind == ActionKind::follow || action.kind == ActionKind::rejoin
                                     ? std::string_view(nodes_[action.other.value].name)
                                     : std::string_view();
  base::log::info("failover_action", {{"id", action.id},
                                      {"action", name_of(action.kind)},
                                      {"node", nodes_[action.node.value].name},
                                      {"primary", other}});
  const auto run = std::make_shared<ActionRun>(*this, action, old_primary);
  runs_[action.id] = run;
  run->start();
}

void FailoverActions::refuse(const Action& action, const std::string& why) {
  runs_[action.id] = std::make_shared<ActionRun>(*this, action, std::nullopt);
  ended(action.id, Outcome::refused, why);
}

void FailoverActions::ended(std::uint64_t id, Outcome outcome, const std::string& why) {
  const Action& action = runs_[id]->action();
  base::log::write(outcome == Outcome::done ? base::log::Level::info : base::log::Level::warning,
                   "failover_action_ended",
                   {{"id", id},
                    {"action", name_of(action.kind)},
                    {"node", nodes_[action.node.value].name},
                    {"outcome", name_of(outcome)},
                    {"reason", why}});
  // The run is in a callback of its own.
  loop_.after_pass([this, id, outcome, alive = alive_] {
    if (!*alive) return;
    runs_.erase(id);
    owner_.on_action_ended(id, outcome);
  });
}

std::vector<std::pair<std::string, std::string>> FailoverActions::login(base::NodeId node) const {
  auto login = monitor_login(nodes_[node.value], login_, login_.database, passwords_, failover_.action_timeout);
  for (auto& [keyword, its] : login) {
    if (keyword == "application_name") its = "pgweir_failover";
    // Constants in its statements are written for this; and it must be able to write where others may not.
    if (keyword == "options") its += " -c standard_conforming_strings=on -c synchronous_commit=local -c lock_timeout=0";
  }
  return login;
}

}  // namespace pgweir::cluster
