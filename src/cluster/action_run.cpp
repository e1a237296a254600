// How each action is done; see action_run.h. Why it is done so: docs/failover_design.md, "How actions are carried out".
#include "cluster/action_run.h"

#include <utility>

#include "base/log.h"
#include "cluster/conninfo.h"
#include "fmt/format.h"

namespace pgweir::cluster {

namespace {

constexpr std::chrono::milliseconds kBetweenLooks{20};

constexpr std::string_view kReadUpstream =
    "SELECT pg_is_in_recovery(), current_setting('primary_conninfo'), current_setting('primary_slot_name')";

std::string set_conninfo(const std::string& conninfo) {
  return "ALTER SYSTEM SET primary_conninfo = " + sql_constant(conninfo);
}

/// Client backends whose transaction began before the server refused writes to new ones. pgweir's monitor only reads.
std::string open_transactions(std::string_view what, const std::string& until) {
  return fmt::format(
      "SELECT {} FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND "
      "application_name <> 'pgweir_monitor' AND xact_start < {}",
      what, sql_constant(until));
}

std::string value(const Rows& rows, std::size_t column) {
  return !rows.empty() && column < rows[0].size() ? rows[0][column].value_or("") : std::string();
}

}  // namespace

ActionRun::ActionRun(FailoverActions& owner, const Action& action, std::optional<base::NodeId> old_primary)
    : owner_(owner),
      action_(action),
      old_primary_(old_primary),
      begun_(base::Clock::now()),
      timer_(owner.loop_, [this] { std::exchange(on_timer_, nullptr)(); }) {}

void ActionRun::start() {
  const bool by_command = owner_.failover_.mode == FailoverMode::command;
  switch (action_.kind) {
    case ActionKind::probe: return;
    case ActionKind::restart_receiver: return restart_receiver();
    case ActionKind::stop_receiving: return stop_receiving();
    case ActionKind::promote: return by_command ? run_command(owner_.failover_.failover_command) : promote();
    case ActionKind::follow: return by_command ? run_command(owner_.failover_.follow_command) : follow();
    case ActionKind::rejoin: return run_command(owner_.failover_.rejoin_command);
    case ActionKind::demote: return demote();
    case ActionKind::restore: return restore();
  }
}

void ActionRun::open(std::unique_ptr<ActionSession>& session, base::NodeId node, std::function<void()> then) {
  session = std::make_unique<ActionSession>(owner_.loop_, owner_.login(node), action_.time_limit,
                                            [this](Outcome outcome, const std::string& why) { end(outcome, why); });
  session->open(std::move(then));
}

void ActionRun::end(Outcome outcome, const std::string& why) {
  if (!std::exchange(is_over_, true)) owner_.ended(action_.id, outcome, why);
}

void ActionRun::restart_receiver() {
  open(session_, action_.node, [this] {
    session_->ask(std::string(kReadUpstream), [this](const Rows& rows) {
      const std::string conninfo = value(rows, 1);
      if (conninfo.empty()) return end(Outcome::refused, "it has no primary_conninfo");
      receive_from(respelled(conninfo));
    });
  });
}

void ActionRun::stop_receiving() {
  open(session_, action_.node, [this] {
    session_->ask(std::string(kReadUpstream), [this](const Rows& rows) {
      if (value(rows, 0) != "t") return end(Outcome::refused, "it is not a standby");
      const Upstream upstream{value(rows, 1), value(rows, 2)};
      if (!upstream.conninfo.empty() && !owner_.owner_.remember_upstream(action_.node, upstream))
        return end(Outcome::refused, "its primary_conninfo could not be remembered");
      receive_from({});
    });
  });
}

void ActionRun::receive_from(const std::string& conninfo) {
  session_->change(set_conninfo(conninfo), [this](const Rows&) { reload(); });
}

void ActionRun::reload() {
  session_->change("SELECT pg_reload_conf()", [this](const Rows& rows) {
    const bool done = value(rows, 0) == "t";
    end(done ? Outcome::done : Outcome::unknown, done ? "" : "pg_reload_conf() has failed");
  });
}

/// The server replays first what it has received: that may take its time.
void ActionRun::promote() {
  open(session_, action_.node, [this] {
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(action_.time_limit).count();
    session_->change_at_leisure(fmt::format("SELECT pg_promote(true, {})", seconds),
                                action_.time_limit + std::chrono::seconds(1), [this](const Rows& rows) {
                                  const bool done = value(rows, 0) == "t";
                                  end(done ? Outcome::done : Outcome::unknown,
                                      done ? "" : "the promotion has not ended in time");
                                });
  });
}

void ActionRun::demote() {
  open(session_, action_.node, [this] {
    session_->change("ALTER SYSTEM SET default_transaction_read_only = on", [this](const Rows&) {
      session_->change("SELECT pg_reload_conf()", [this](const Rows&) { wait_for_read_only(); });
    });
  });
}

/// This session's own backend shows when the servers' have heard of it; some may be a moment later.
void ActionRun::wait_for_read_only() {
  constexpr std::string_view kLook =
      "SELECT current_setting('default_transaction_read_only'), (clock_timestamp() + interval '20 ms')::text";
  session_->ask(std::string(kLook), [this](const Rows& rows) {
    const bool heard = value(rows, 0) == "on";
    on_timer_ = [this, heard, until = value(rows, 1)] {
      heard ? end_transactions(until, begun_ + action_.time_limit / 6) : wait_for_read_only();
    };
    timer_.start(2 * kBetweenLooks);
  });
}

/// What began before the server refused writes may still write. It has a moment to end by itself.
void ActionRun::end_transactions(const std::string& until, base::Time forcibly_at) {
  const bool by_force = base::Clock::now() >= forcibly_at;
  session_->ask(open_transactions(by_force ? "count(pg_terminate_backend(pid))" : "count(*)", until),
                [this, until, forcibly_at](const Rows& rows) {
                  if (value(rows, 0) == "0") return flush();
                  on_timer_ = [this, until, forcibly_at] { end_transactions(until, forcibly_at); };
                  timer_.start(kBetweenLooks);
                });
}

/// A commit may have been acknowledged before it was on disk (synchronous_commit = off), and only what is on disk goes
/// to standbys: this one is behind it, and waits for the disk.
void ActionRun::flush() {
  session_->ask(
      "BEGIN; SET TRANSACTION READ WRITE; SET LOCAL synchronous_commit = local; "
      "SELECT pg_logical_emit_message(true, 'pgweir', 'demoted'); COMMIT",
      [this](const Rows&) { end(Outcome::done); });
}

void ActionRun::restore() {
  open(session_, action_.node, [this] {
    session_->change("ALTER SYSTEM RESET default_transaction_read_only", [this](const Rows&) { reload(); });
  });
}

/// It keeps everything of its own primary_conninfo but the address: user, password, TLS, application_name.
void ActionRun::follow() {
  open(session_, action_.node, [this] {
    session_->ask(std::string(kReadUpstream), [this](const Rows& rows) {
      if (value(rows, 0) != "t") return end(Outcome::refused, "it is not a standby");
      Upstream upstream{value(rows, 1), value(rows, 2)};
      if (upstream.conninfo.empty()) upstream.conninfo = owner_.owner_.upstream_of(action_.node).conninfo;
      const config::NodeSettings& primary = owner_.nodes_[action_.other.value];
      auto conninfo =
          with_address(upstream.conninfo, config::replication_host(primary), config::replication_port(primary));
      if (!conninfo)
        return end(Outcome::refused, "from where it received is not known (primary_conninfo: " +
                                         conninfo.error().message + "); set it by hand");
      if (*conninfo == value(rows, 1)) *conninfo = respelled(*conninfo);
      upstream.conninfo = *conninfo;
      upstream.slot.empty() ? receive_from(upstream.conninfo) : make_slot(upstream);
    });
  });
}

void ActionRun::make_slot(const Upstream& upstream) {
  open(other_, action_.other, [this, upstream] {
    other_->ask(fmt::format("SELECT pg_create_physical_replication_slot({0}, true) WHERE NOT EXISTS (SELECT FROM "
                            "pg_replication_slots WHERE slot_name = {0})",
                            sql_constant(upstream.slot)),
                [this, upstream](const Rows&) { receive_from(upstream.conninfo); });
  });
}

config::CommandNode ActionRun::command_node(std::optional<base::NodeId> node) const {
  if (!node) return {"-1", "", "", ""};
  const config::NodeSettings& settings = owner_.nodes_[node->value];
  return {std::to_string(node->value), settings.host, std::to_string(settings.port), settings.data_directory};
}

void ActionRun::run_command(const std::string& command) {
  // No follow_command: the failover command has seen to it, or nobody does; the node's answers tell.
  if (command.empty()) {
    on_timer_ = [this] { end(Outcome::done); };
    return timer_.start(base::Duration::zero());
  }
  const bool promotes = action_.kind == ActionKind::promote;
  const config::CommandFacts facts{command_node(promotes ? old_primary_ : action_.node),
                                   command_node(promotes ? action_.node : action_.other), command_node(old_primary_)};
  const std::string name = std::string(promotes ? "failover" : name_of(action_.kind)) + "_command";
  child_ = std::make_unique<net::ChildProcess>(
      owner_.loop_,
      [this, name](std::string_view line) {
        base::log::info("command_output",
                        {{"command", name}, {"node", owner_.nodes_[action_.node.value].name}, {"line", line}});
      },
      [this, name](const net::ChildEnd& how) {
        if (how.timed_out) return end(Outcome::unknown, name + " was ended, its time was over");
        if (how.signal != 0) return end(Outcome::unknown, fmt::format("{} ended by signal {}", name, how.signal));
        end(how.status == 0 ? Outcome::done : Outcome::unknown,
            how.status == 0 ? "" : fmt::format("{} ended with status {}", name, how.status));
      });
  if (auto started = child_->start(config::expand(command, facts), action_.time_limit); !started) {
    on_timer_ = [this, why = started.error().message] { end(Outcome::refused, why); };
    timer_.start(base::Duration::zero());
  }
}

}  // namespace pgweir::cluster
