// Requests to the failover machine and what became of them; see operations.h.
#include "admin/operations.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "admin/command_table.h"
#include "admin/timestamp.h"

namespace pgweir::admin {

namespace sqlstate = base::sqlstate;
using cluster::FailoverMachine;
using cluster::HistoryEntry;
using cluster::ReasonCode;
using session::LocalTable;

namespace {

LocalTable table_of(CommandId id) {
  const auto& info = info_of(id);
  LocalTable table;
  table.columns.assign(info.columns.begin(), info.columns.end());
  table.tag = std::string(info.words);
  return table;
}

/// The last request that could not be met since `seen` entries of the history.
const HistoryEntry* refusal_since(const FailoverMachine& machine, std::uint64_t seen) {
  const auto& history = machine.history();
  const auto fresh =
      static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(history.added() - seen, history.entries().size()));
  const auto begin = history.entries().rbegin();
  const auto found = std::find_if(begin, begin + fresh, [](const HistoryEntry& entry) {
    return entry.what == HistoryEntry::What::request && entry.why.code != ReasonCode::believed_by_operator &&
           entry.why.code != ReasonCode::origin_by_operator && entry.why.code != ReasonCode::switchover_done;
  });
  return found == begin + fresh ? nullptr : &*found;
}

base::Error refused(const FailoverMachine& machine, const HistoryEntry& entry) {
  return {sqlstate::object_not_in_prerequisite_state, cluster::text_of(entry.why, machine.names()),
          fmt::format("The failover is {}: {}.", cluster::name_of(machine.phase()),
                      cluster::text_of(machine.phase_reason(), machine.names())),
          "SHOW NODES and SHOW EVENTS tell more."};
}

}  // namespace

base::Result<bool> outcome_of_request(const FailoverMachine& machine, std::uint64_t seen) {
  if (const HistoryEntry* entry = refusal_since(machine, seen)) return base::Failure(refused(machine, *entry));
  return true;
}

Outcome outcome_of_switchover(const FailoverMachine& machine, std::uint64_t seen,
                              std::optional<base::NodeId> old_primary) {
  if (auto outcome = outcome_of_request(machine, seen); !outcome) return outcome;
  if (machine.phase() != cluster::Phase::following || !machine.primary()) return {};
  if (machine.primary() != old_primary) return base::Result<bool>(true);
  return base::Result<bool>(base::Failure(
      base::Error{sqlstate::object_not_in_prerequisite_state, "the old primary is the primary again",
                  cluster::text_of(machine.phase_reason(), machine.names()) + ".", "SHOW EVENTS tells more."}));
}

std::string Operations::name_of(std::optional<base::NodeId> node) const {
  return node && node->value < machine_.names().size() ? machine_.names()[node->value].name : std::string();
}

base::Result<base::NodeId> Operations::find(std::string_view name) const {
  const auto& names = machine_.names();
  for (std::size_t i = 0; i < names.size(); ++i)
    if (names[i].name == name || std::to_string(i) == name) return base::NodeId{static_cast<std::uint16_t>(i)};
  std::vector<std::string_view> known;
  for (const auto& one : names) known.push_back(one.name);
  return base::fail(sqlstate::undefined_object, fmt::format("there is no node \"{}\"", name), {},
                    fmt::format("The nodes are: {}.", fmt::join(known, ", ")));
}

void Operations::ask_about(std::string_view node, const std::function<cluster::Event(base::NodeId)>& event,
                           const Answer& answer) {
  const auto id = find(node);
  if (!id) return answer(base::Failure(id.error()));
  const std::uint64_t seen = machine_.history().added();
  request_(event(*id));
  if (const auto outcome = outcome_of_request(machine_, seen); !outcome) return answer(base::Failure(outcome.error()));
  const auto& record = machine_.nodes()[id->value];
  LocalTable table = table_of(CommandId::attach);
  table.rows.push_back(
      {name_of(*id), std::string(cluster::name_of(record.state)), cluster::text_of(record.why, machine_.names())});
  answer(std::move(table));
}

void Operations::attach(std::string_view node, const Answer& answer) {
  ask_about(
      node, [](base::NodeId id) { return cluster::Enable{id}; }, answer);
}

void Operations::detach(std::string_view node, const Answer& answer) {
  ask_about(
      node, [](base::NodeId id) { return cluster::Disable{id}; }, answer);
}

void Operations::believe(std::string_view node, const Answer& answer) {
  ask_about(
      node, [](base::NodeId id) { return cluster::Believe{id}; }, answer);
}

void Operations::origin(std::string_view node, const Answer& answer) {
  ask_about(
      node, [](base::NodeId id) { return cluster::BecomeOrigin{id}; }, answer);
}

void Operations::switchover(std::string_view node, Answer answer) {
  if (switchover_)
    return answer(base::fail(sqlstate::object_not_in_prerequisite_state, "a switchover is under way already"));
  if (mode_ == "observe")
    return answer(base::fail(sqlstate::object_not_in_prerequisite_state,
                             "pgweir does not promote anybody: failover.mode is observe", {},
                             "Switch over with the tool that manages the cluster; pgweir follows."));
  cluster::Switchover request;
  if (!node.empty()) {
    const auto id = find(node);
    if (!id) return answer(base::Failure(id.error()));
    request.target = *id;
  }
  switchover_ = Pending{machine_.history().added(), machine_.primary(), std::move(answer)};
  request_(request);
  check();
}

void Operations::check() {
  if (!switchover_) return;
  const auto outcome = outcome_of_switchover(machine_, switchover_->seen, switchover_->old_primary);
  if (!outcome) return;
  const Answer answer = std::move(switchover_->answer);
  switchover_.reset();
  if (!*outcome) return answer(base::Failure(outcome->error()));
  LocalTable table = table_of(CommandId::switchover);
  table.rows.push_back({name_of(machine_.primary()), "done"});
  answer(std::move(table));
}

void Operations::events(const Answer& answer) const {
  constexpr std::array<std::string_view, 4> kWhat{"node", "failover", "primary", "request"};
  LocalTable table = table_of(CommandId::events);
  for (const HistoryEntry& entry : machine_.history().entries())
    table.rows.push_back({timestamp(entry.when.wall), std::string(kWhat[static_cast<std::size_t>(entry.what)]),
                          name_of(entry.node), std::string(entry.before), std::string(entry.after),
                          cluster::text_of(entry.why, machine_.names()), entry.evidence});
  answer(std::move(table));
}

void Operations::failover(const Answer& answer) const {
  LocalTable table = table_of(CommandId::failover);
  table.rows.push_back({std::string(mode_), std::string(cluster::name_of(machine_.phase())),
                        cluster::text_of(machine_.phase_reason(), machine_.names()), name_of(machine_.primary()),
                        std::to_string(machine_.memory_view().timeline),
                        !machine_.primary()        ? "wait for a primary"
                        : machine_.writes_paused() ? "paused"
                                                   : "go on"});
  answer(std::move(table));
}

}  // namespace pgweir::admin
