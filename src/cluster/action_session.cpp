// Statements of one action; see action_session.h.
#include "cluster/action_session.h"

#include <utility>

#include "fmt/format.h"
#include "net/loop.h"

namespace pgweir::cluster {

namespace {
constexpr int kParts = 6;  // of the time limit
constexpr int kPartsToSend = 4;

long long milliseconds(base::Duration duration) {
  return std::chrono::ceil<std::chrono::milliseconds>(duration).count();
}

/// The server has said that it has not done it: not that it was ended while it did.
bool is_refusal(const base::Error& error) {
  const std::string_view state = error.sqlstate.view();
  return !state.starts_with("08") && !state.starts_with("57");
}
}  // namespace

ActionSession::ActionSession(net::Loop& loop, std::vector<std::pair<std::string, std::string>> login,
                             base::Duration time_limit, OnFailed on_failed)
    : loop_(loop),
      session_(loop, std::move(login)),
      begun_(base::Clock::now()),
      time_limit_(time_limit),
      on_failed_(std::move(on_failed)) {}

ActionSession::~ActionSession() { *alive_ = false; }

bool ActionSession::has_time() const { return base::Clock::now() - begun_ < time_limit_ * kPartsToSend / kParts; }

void ActionSession::open(std::function<void()> then) {
  session_.connect(time_limit_ / 2, [this, then = std::move(then)](base::Result<bool> connected) {
    if (!connected) return fail(connected.error());
    const long long step = milliseconds(time_limit_ / kParts);
    ask(fmt::format("SELECT set_config('statement_timeout', '{0}', false), (SELECT set_config(name, '{0}', false) FROM "
                    "pg_settings WHERE name = 'idle_session_timeout')",
                    step),
        [then](const Rows&) { then(); });
  });
}

void ActionSession::ask(const std::string& sql, Then then) { send(sql, time_limit_ / kParts, false, std::move(then)); }

void ActionSession::change(const std::string& sql, Then then) {
  send(sql, time_limit_ / kParts, true, std::move(then));
}

void ActionSession::change_at_leisure(const std::string& sql, base::Duration limit, Then then) {
  ask(fmt::format("SELECT set_config('statement_timeout', '{}', false)", milliseconds(limit)),
      [this, sql, limit, then = std::move(then)](const Rows&) { send(sql, limit, true, then); });
}

void ActionSession::send(const std::string& sql, base::Duration limit, bool changes, Then then) {
  if (!has_time()) {
    loop_.after_pass([this, alive = alive_] {
      if (*alive) fail({base::sqlstate::connection_failure, "no time is left for it"});
    });
    return;
  }
  if (changes) ++sent_changes_;
  session_.query(sql, limit, [this, changes, then = std::move(then)](base::Result<Rows> rows) {
    if (!rows) {
      if (changes && is_refusal(rows.error())) --sent_changes_;
      return fail(rows.error());
    }
    then(*rows);
  });
}

void ActionSession::fail(const base::Error& error) {
  if (const auto then = std::exchange(on_failed_, nullptr))
    then(sent_changes_ > 0 ? Outcome::unknown : Outcome::refused, error.message);
}

}  // namespace pgweir::cluster
