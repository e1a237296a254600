// Servers that go: their connections end, they say their last words, or the monitor finds them down while nothing is
// heard. The client stays. What may run again does; what certainly was not done is told as 40001, what may have been
// done as 08007, state that only that connection had as 08006.
#include <algorithm>
#include <array>
#include <utility>

#include "base/log.h"
#include "session/session.h"
#include "wire/messages/backend.h"

namespace pgweir::session {

namespace log = base::log;
namespace sqlstate = base::sqlstate;

namespace {

/// By these a server ends a session for what its client has done or has asked for, and not for its own reasons.
constexpr std::array kEndsSession = {sqlstate::protocol_violation, sqlstate::idle_in_transaction_session_timeout,
                                     sqlstate::transaction_timeout, sqlstate::idle_session_timeout};

std::string text_of(const std::string& last_words) {
  if (last_words.empty()) return {};
  const auto fields = wire::decode_error(std::string_view(last_words).substr(wire::kHeaderBytes));
  return fields ? std::string(fields->message) : std::string();
}

bool ends_exchange(Expect what) {
  return what == Expect::query || what == Expect::function_call || what == Expect::execution;
}

std::string names_of(Pins pins) {
  std::string names;
  for (const PinReasonRow& row : kPinReasons)
    if (pins.has(row.reason)) names += (names.empty() ? "" : ", ") + std::string(row.text);
  return names;
}

/// What is lost for good with the connection. Channels that are known are listened to again.
Pins beyond_channels(const Held& held) {
  return held.channels.names().empty() ? held.pins : held.pins.without(PinReason::listen);
}

bool runs_commit(const Exchange& exchange) {
  const auto& messages = exchange.messages();
  return std::any_of(messages.begin(), messages.end(), [](const GatheredMessage& message) {
    return message.query && std::any_of(message.query->facts.statements.begin(), message.query->facts.statements.end(),
                                        [](const auto& one) { return one.kind == sql::StatementKind::commit; });
  });
}

/// Of a whole ErrorResponse; none of what is not one.
base::Sqlstate sqlstate_of(std::string_view last_words) {
  if (last_words.empty()) return {};
  const auto fields = wire::decode_error(last_words.substr(wire::kHeaderBytes));
  return fields ? base::Sqlstate(fields->sqlstate) : base::Sqlstate{};
}

}  // namespace

void Session::on_server_end(pool::ServerConnection& server, std::string_view error) {
  worker_.process().suspect(server.node());
  leave(server, error.empty() ? "closed by the server" : error);
}

/// FATAL: the end of the connection follows. Whether it does is not waited for.
void Session::on_last_words(pool::ServerConnection& server, const wire::Frame& error) {
  work_->last_words = wire::raw(error);
  worker_.process().suspect(server.node());
  leave(server, "ended by the server");
}

/// The connection is given up, whatever is under way on it.
void Session::leave(pool::ServerConnection& server, std::string_view error) {
  Work& work = *work_;
  const base::NodeId node = server.node();
  const std::string last_words = std::exchange(work.last_words, {});
  const std::string words = text_of(last_words);
  log::warning(
      "server_connection_lost",
      {{"session", id_.value}, {"node", worker_.topology().node(node).name}, {"error", error}, {"server_said", words}});
  if (ends_with(server, last_words)) return;
  const bool is_current = &server == work.current;
  const bool owes = is_current && !work.queue.empty();
  if (is_current && has_only_prepared()) end_open_exchange();
  const bool in_transaction = work.transaction == Transaction::open && work.transaction_node == node;
  if (state_ == State::welcoming) {
    lose_server(server);
    work.queue.clear();
    work.settings_error.reset();
    return hold_after_failure(lost_error(node, words, false, false));
  }
  if (owes && work.second_try.swallows) {
    lose_server(server);
    return finish_retry();
  }
  const bool settings_only = is_current && work.chosen && !in_transaction;
  if (settings_only || (owes && runs_again(server, sqlstate_of(last_words)))) {
    lose_server(server);
    return run_again_elsewhere(node);
  }
  const Held& held = *work.leases.find(node);
  // What is under way is told anyway, and what was done in a transaction is undone.
  const Pins pins = beyond_channels(held);
  const bool bound = pins.any() || (is_current && work.audit && held.may_hold_more);
  const bool under_way = owes || (is_current && (work.stage == Stage::open || work.held_ready));
  lose_server(server);
  if (under_way) {
    seen_ = base::Clock::now();  // the client may have got a part of the answer
    answer_lost(node, words, in_transaction);
  }
  if (state_ == State::finished) return;
  if (bound || (in_transaction && !under_way)) note_untold(node, words, in_transaction && !under_way, pins);
  // What waited for the answer goes on, also an exchange that is not closed yet: its client may wait for it.
  const bool waited = is_current && (work.wait == Wait::quiet || work.wait == Wait::retryable);
  if (waited) work.wait = Wait::none;
  if (work.wait == Wait::none && work.stage == Stage::gathering && (waited || is_closed(work.exchange))) dispatch();
  settle();
  end_if_idle();
  resume_client();
  end_if_server_waits(client_.unread_bytes());
  work_.give_back_if_over();
}

/// A client that is in the middle of a message cannot be told anything; a stream of replication cannot go on elsewhere;
/// and a server may end a session for what its client does.
bool Session::ends_with(pool::ServerConnection& server, const std::string& last_words) {
  const bool is_current = &server == work_->current;
  const bool mid_message = is_current && client_is_mid_message();
  const base::Sqlstate state = sqlstate_of(last_words);
  const bool by_server = std::find(kEndsSession.begin(), kEndsSession.end(), state) != kEndsSession.end();
  const bool replicates = startup_class_->replication();
  if (!mid_message && !by_server && !replicates) return false;
  const std::string name = worker_.topology().node(server.node()).name;
  lose_server(server);
  if (is_current) work_->queue.clear();
  if (mid_message) {
    finish("the server connection was lost in the middle of a message");
  } else if (!last_words.empty()) {
    client_.write(last_words);
    finish("server ended the session");
  } else {
    terminate(
        {sqlstate::connection_failure, "the connection to server \"" + name + "\" was lost", "", "Connect again."});
  }
  return true;
}

/// The open exchange has prepared statements and nothing else, and all of that is answered: another connection will do
/// for the rest of it.
bool Session::has_only_prepared() const {
  const Work& work = *work_.operator->();
  return work.stage == Stage::open && work.queue.expects_nothing() && !work.queue.skipping() && !work.plan.executes &&
         work.portals.empty() && work.stream_left == 0;
}

/// Whether what is in flight may be sent again: the client has seen nothing of its answer, and either it only reads, or
/// nothing of it has been sent.
bool Session::runs_again(const pool::ServerConnection& server, base::Sqlstate words) {
  const Work& work = *work_;
  if (beyond_channels(*work.leases.find(server.node())).any()) return false;
  const bool kept = work.on_probation() || work.second_try.kept;
  if (!kept) return false;
  if (!server.connection().may_have_sent(work.second_try.sent_from)) return true;
  if (!work.on_probation() && work.plan.executes && !only_reads()) return false;
  // Twice, and it may be what it says that servers die of; but not when somebody has ended them.
  return words == sqlstate::admin_shutdown || !std::exchange(work_->plan.ran_again, true);
}

void Session::run_again_elsewhere(base::NodeId lost) {
  Work& work = *work_;
  WorkerCounters::count(worker_.mutable_counters().reruns);
  if (worker_.settings().log.routing) log::info("rerun", {{"session", id_.value}, {"on", "another connection"}});
  if (work.second_try.begins && work.transaction == Transaction::open) work.transaction = Transaction::lazy;
  work.queue.clear();
  work.second_try.held_back.clear();
  work.second_try.kept = work.second_try.healable = false;
  work.settings_error.reset();
  work.chosen.reset();
  work.query_index = 0;
  if (!work.audit_is_due()) work.unsettled = 0;
  work.wait = Wait::none;
  work.stage = Stage::gathering;
  work.plan.avoid = lost;
  // Others of this server's connections may be as dead, and it has not been noticed yet.
  const bool elsewhere = work.plan.decided && work.plan.node_class == routing::NodeClass::standby;
  if (elsewhere && ++work.plan.failures <= worker_.topology().nodes.size())
    dispatch();
  else
    hold_after_failure(lost_error(lost, {}, false, false));
  if (work_->wait == Wait::none) resume_client();
}

/// Each exchange that is owed an answer gets an error, or only its ReadyForQuery if it had one. `is_open`: a
/// transaction was open on that server.
void Session::answer_lost(base::NodeId node, const std::string& words, bool is_open) {
  Work& work = *work_;
  const bool had_open_exchange = work.stage == Stage::open;
  const bool skipping = work.queue.skipping();
  std::vector<Expected> entries = work.queue.take_all();
  std::erase_if(entries, [](const Expected& one) { return one.action == Action::swallow; });
  bool told = std::exchange(work.exchange_error, false) || skipping;
  bool lost_transaction = false;
  const auto set_transaction = [&] { work.transaction = is_open ? Transaction::failed_here : Transaction::none; };
  const auto tell = [&](bool in_doubt) {
    if (std::exchange(told, true)) return;
    if (lost_transaction && is_open)
      reply_error({sqlstate::in_failed_sql_transaction,
                   "current transaction is aborted, commands ignored until end of transaction block"});
    else
      reply_error(lost_error(node, words, in_doubt, is_open));
  };
  bool closed = true;
  for (auto next = entries.begin(); next != entries.end();) {
    for (; next != entries.end() && next->action == Action::synthesise; ++next) client_.write(next->synthesised);
    if (next == entries.end()) break;
    auto end = next;
    if (!ends_exchange(next->what))
      end = std::find_if(next, entries.end(), [](const Expected& one) { return one.what == Expect::sync; });
    closed = end != entries.end();
    const auto behind = closed ? end + 1 : end;
    const auto any = [&](bool Expected::*what) {
      return std::any_of(next, behind, [&](const Expected& one) { return one.*what; });
    };
    // A transaction that no BEGIN has begun is committed at its Sync.
    const bool in_doubt = is_open ? any(&Expected::may_commit) && !lost_transaction
                                  : closed && (work.wrote || work.transaction_wrote) && !any(&Expected::begins);
    const bool begins = !is_open && any(&Expected::begins) && !any(&Expected::may_commit);
    tell(in_doubt || (!is_open && any(&Expected::begins) && any(&Expected::may_commit) && work.wrote));
    if (begins) is_open = true;
    if (in_doubt) {
      is_open = false;
      note_write(base::Clock::now());
    }
    lost_transaction = is_open;
    for (auto entry = behind; entry != next;) {
      --entry;
      forget_unanswered(*entry);
    }
    set_transaction();
    if (closed) reply_ready();
    if (closed) told = false;
    next = behind;
  }
  set_transaction();
  if (std::exchange(work.held_ready, std::nullopt)) {
    if (is_open) note_untold(node, words, true, {});
    reply_ready();
  }
  if (had_open_exchange || !closed) {
    tell(false);
    if (had_open_exchange) work.stage = Stage::none;
    work.skip_to_sync = true;
  }
  forget_lost_exchange(is_open);
}

/// The server will not do it any more.
void Session::forget_unanswered(const Expected& entry) {
  if (entry.statement && entry.what == Expect::parse) prepared_.withdraw(*entry.statement);
  if (entry.statement && entry.what == Expect::close) prepared_.define(entry.statement);
  if (!entry.deallocated) return;
  for (const StatementPtr& statement : *entry.deallocated)
    if (!statement->withdrawn) prepared_.define(statement);
}

void Session::forget_lost_exchange(bool is_open) {
  Work& work = *work_;
  if (!is_open) carried_.completed({.kind = sql::StatementKind::rollback}, "ROLLBACK");
  carried_.ready(is_open ? wire::TransactionStatus::failed : wire::TransactionStatus::idle, true);
  if (listening_) settle_listening(true);
  if (work.catalog_changed) worker_.catalog_changed(account_->database);
  work.catalog_changed = false;
  work.wrote = work.transaction_wrote = false;
  work.audit.reset();
  work.unsettled = 0;
  work.resets.clear();
  work.resets_restored = 0;
  work.settings_error.reset();
  work.chosen.reset();
  work.settings_refused = work.cancel_waits = work.solitary = work.made_less = false;
  work.second_try.held_back.clear();
  work.second_try.kept = work.second_try.healable = false;
  work.query_index = 0;
  if (work.stage == Stage::none) {
    work.portals.clear();
    work.exchange.clear();
  }
}

base::Error Session::lost_error(base::NodeId node, const std::string& words, bool in_doubt, bool in_transaction) const {
  const std::string lost = "the connection to server \"" + worker_.topology().node(node).name + "\" was lost";
  const std::string said = words.empty() ? std::string() : "The server said: \"" + words + "\".";
  if (in_doubt)
    return {sqlstate::transaction_resolution_unknown,
            lost + " before it answered; whether the transaction was committed is not known", said,
            "Look whether its changes are there before you run it again."};
  if (in_transaction)
    return {sqlstate::serialization_failure, lost + "; the transaction was rolled back", said,
            "Run the transaction again."};
  return {sqlstate::serialization_failure, lost + " before the statement was answered; it has changed nothing", said,
          "Run the statement again."};
}

/// Nothing was under way: it is told when the client says something.
void Session::note_untold(base::NodeId node, const std::string& words, bool in_transaction, Pins pins) {
  Work& work = *work_;
  if (in_transaction) {
    work.transaction = Transaction::failed_here;
    work.untold_transaction = lost_error(node, words, false, true);
    carried_.ready(wire::TransactionStatus::failed, true);
    work.wrote = work.transaction_wrote = false;
    if (!pins.any()) return;
  }
  base::Error error = lost_error(node, words, false, false);
  error.sqlstate = sqlstate::connection_failure;
  error.message = "the connection to server \"" + worker_.topology().node(node).name +
                  "\" was lost, and with it state of this session that no other connection has";
  const std::string names = names_of(pins);
  const std::string what = names.empty() ? "what its last statements have done to it could not be found out" : names;
  error.detail = "What was lost: " + what + "." + (error.detail.empty() ? "" : " ") + error.detail;
  error.hint = "Make it again, or connect again.";
  work.untold_state = std::move(error);
}

/// In place of the exchange that is gathered. A COMMIT must not be taken for done.
void Session::tell_untold() {
  Work& work = *work_;
  const bool of_transaction = work.untold_transaction.has_value();
  const base::Error error = std::move(of_transaction ? *work.untold_transaction : *work.untold_state);
  (of_transaction ? work.untold_transaction : work.untold_state).reset();
  if (of_transaction && runs_commit(work.exchange)) {
    work.transaction = Transaction::none;
    carried_.completed({.kind = sql::StatementKind::rollback}, "ROLLBACK");
  }
  fail_exchange(error);
}

/// Gives up the lease of a connection that is dead, so that its place in the pool is free at once.
void Session::lose_server(pool::ServerConnection& server) {
  if (work_->current == &server) work_->current = nullptr;
  if (work_->stream_to == &server) work_->stream_to = nullptr;
  // Whoever does not take what is for a server that is gone would not be asked for more.
  server_full_ = false;
  const base::NodeId node = server.node();
  if (Held* there = work_->leases.find(node)) note_unheard(*there);
  forget_seen_on(node);
  std::erase_if(work_->leases.all(), [&](auto& one) {
    if (!(one.node == node)) return false;
    one.lease.close();
    return true;
  });
  publish_pins();
  worker_.look_for_quiet();
}

}  // namespace pgweir::session
