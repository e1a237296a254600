// From a plan to bytes on a server connection: whether the exchange may be sent now, to which node, and what must be
// sent before the client's messages (settings, a BEGIN that was put off, statements not prepared there yet). By which
// lease is in acquire.cpp.
#include <algorithm>
#include <utility>

#include "base/assertion.h"
#include "base/log.h"
#include "session/session.h"
#include "wire/messages/backend.h"
#include "wire/messages/frontend.h"

namespace pgweir::session {

namespace frontend = wire::frontend;
namespace log = base::log;
namespace sqlstate = base::sqlstate;

namespace {

/// What is larger is not kept for a second time; as large as what is gathered of a pipeline.
constexpr std::size_t kLargestKept = 64 * 1024;

/// pgweir answers nothing of it itself, so the client sees nothing of it before a server has spoken.
bool says_nothing_here(const Exchange& exchange) {
  if (exchange.execution()) return true;
  const auto& messages = exchange.messages();
  return std::none_of(messages.begin(), messages.end(), [](const auto& one) { return one.local; });
}

}  // namespace

/// The exchange is ready to be sent, as a whole or with its beginning. May have to wait first: then `go_on` calls
/// again.
void Session::dispatch() {
  const bool local = !work_->plan.has_server_message;
  if (work_->plan.executes && is_closed(work_->exchange) && listen_shared()) return;
  if (!work_->queue.empty()) {
    // What is in flight may begin or end a transaction, so only the primary can be right without knowing.
    const bool others_wait = shares_servers() && work_->transaction == Transaction::none && work_->current &&
                             pool::WorkerPools::anybody_waits(account_->pool(worker_.pools(), work_->current->node()));
    const bool stay = !local && !others_wait && work_->current && work_->plan.node_class != routing::NodeClass::node &&
                      !writer(*work_->current).depends_on_unanswered(work_->exchange) &&
                      worker_.topology().primary == work_->current->node() && !worker_.topology().writes_paused;
    if (!stay) {
      work_->wait = Wait::quiet;
      return;
    }
    return dispatch_to(work_->current->node(), work_->plan.reason);
  }
  if (local) return finish_local_exchange();
  if (work_->chosen) return dispatch_to(*work_->chosen, work_->plan.reason);
  if (asks_before()) return;
  if (work_->untold_transaction || work_->untold_state) return tell_untold();
  if (work_->transaction == Transaction::failed_here)
    return fail_exchange({sqlstate::in_failed_sql_transaction,
                          "current transaction is aborted, commands ignored until end of transaction block"});
  if (work_->transaction == Transaction::open) return dispatch_to(work_->transaction_node, work_->plan.reason);
  const auto& topology = worker_.topology();
  if (work_->plan.decided && work_->plan.node_class == routing::NodeClass::standby) {
    const routing::Choice choice = choose_reader();
    if (!choice.node) return hold(nobody_for_reads());
    if (choice.reason == routing::Reason::not_fresh && waits_for_freshness()) return;
    return dispatch_to(*choice.node, choice.reason == routing::Reason::read ? work_->plan.reason : choice.reason);
  }
  if (work_->plan.node_class == routing::NodeClass::node)
    for (const auto& node : topology.nodes)
      if (node.name == work_->plan.node && node.status == routing::NodeStatus::up)
        return dispatch_to(node.id, work_->plan.reason);
  if (!topology.primary) return hold(no_primary());
  if (waits_for_pause()) return hold(writes_paused());
  dispatch_to(*topology.primary, work_->plan.reason);
}

/// The settings of now must be known outside of a transaction, so that they can be made again behind other ones.
bool Session::asks_before() {
  const bool idle = work_->transaction == Transaction::none || work_->transaction == Transaction::lazy;
  if (work_->unsettled == 0 || !idle) return false;
  for (Held& one : work_->leases.all()) {
    if (one.due != Audit::all || !writer(*one.lease.server()).must_be_parsed_anew(work_->exchange)) continue;
    start_audit(one);
    return true;
  }
  return false;
}

ServerWriter Session::writer(pool::ServerConnection& server) {
  const auto sharing = shares_servers() ? ServerWriter::Sharing::shared : ServerWriter::Sharing::alone;
  return {{worker_, catalog(), id_, sharing, prepared_, carried_, times_, *work_}, server};
}

void Session::send_exchange(pool::ServerConnection& server) {
  Work& work = *work_;
  work.current = &server;
  work.chosen.reset();
  if (work.queue.empty()) {
    times_.sent(worker_.loop().now());
    work.exchange_error = false;
    work.wrote = false;
  }
  if (!settings_hold(server)) return;
  if (!work.unheard.empty() && may_listen_again(server)) say_listen_again(server);
  work.telling = Telling::as_login;
  if (std::exchange(work.leases.find(server.node())->doubtful, false)) work.leases.note_due(server.node(), Audit::all);
  count_and_log(server.node());
  const bool closed = is_closed(work.exchange);
  const bool awaits_ready = ends_in_ready(work.exchange) && work.stream_left == 0;
  const bool whole = closed && work.stream_left == 0;
  const bool repeatable = whole && may_run_elsewhere(server);
  work.second_try.begins = work.transaction == Transaction::lazy;
  work.second_try.healable = whole && !work.queue.owes_client() && work.transaction == Transaction::none &&
                             !std::exchange(work.second_try.healed, false) && runs_prepared(work.exchange);
  if (work.hold.place != 0) end_hold();
  // Alone in flight, and whole or only preparing, it may be sent again when the connection is lost.
  const bool only_prepares = !work.plan.executes && work.stream_left == 0;
  work.second_try.kept = (whole || only_prepares) && work.transaction != Transaction::open &&
                         !work.queue.owes_client() && work.exchange.size() <= kLargestKept &&
                         says_nothing_here(work.exchange);
  ServerWriter to = writer(server);
  to.prepare_as_parsed();
  hide_sequences(server);
  note_wrote(server);
  work.second_try.sent_from = server.connection().position();
  send_lazy_begin(server);
  if (const auto* execution = work.exchange.execution(); execution && to.send_execution(work.exchange)) {
    count_reads(server.node(), *execution->statement->query.entry);
  } else {
    for (const auto& message : work.exchange.messages())
      send_message(to, server, message, work.exchange.bytes_of(message));
  }
  work.stream_to = work.stream_left > 0 ? &server : nullptr;
  work.stage = closed ? Stage::none : Stage::open;
  if (repeatable)
    begin_probation();
  else if (!work.second_try.healable && !work.second_try.kept)
    work.exchange.clear();
  if (awaits_ready && std::exchange(work.solitary, false) && work.wait == Wait::none) work.wait = Wait::quiet;
  check_server_takes(server);
}

/// A read that is now sent to a standby, and that the primary could answer as well.
bool Session::may_run_elsewhere(const pool::ServerConnection& server) {
  const Plan& plan = work_->plan;
  const bool read =
      plan.decided && plan.node_class != routing::NodeClass::primary && plan.node_class != routing::NodeClass::current;
  if (!read) return false;
  last_read_node_ = server.node();
  if (work_->transaction == Transaction::open || worker_.topology().primary == server.node()) return false;
  return says_nothing_here(work_->exchange);
}

void Session::count_and_log(base::NodeId node) {
  auto& counters = worker_.mutable_counters();
  WorkerCounters::count(counters.statements[node.value]);
  WorkerCounters::count(counters.by_reason[static_cast<std::size_t>(work_->plan.reason)]);
  if (worker_.settings().log.routing)
    log::info("route", {{"session", id_.value},
                        {"node", worker_.topology().node(node).name},
                        {"reason", routing::name_of(work_->plan.reason)}});
}

/// A BEGIN that was put off goes in front of the statement that says where the transaction runs.
void Session::send_lazy_begin(pool::ServerConnection& server) {
  if (work_->transaction != Transaction::lazy) return;
  writer(server).query(work_->lazy_begin, Purpose::none);
  work_->transaction = Transaction::open;
  work_->transaction_node = server.node();
}

void Session::send_message(ServerWriter& to, pool::ServerConnection& server, const GatheredMessage& message,
                           std::string_view bytes) {
  // What had the name was skipped after an error.
  if (message.taken_by && message.taken_by->withdrawn) prepared_.define(message.statement);
  if (!message.local) {
    if (message.query) count_reads(server.node(), *message.query);
    if (message.behind_execute && shares_servers()) doubt(server);
    if (message.ordinary) return to.send(message, bytes);
    const Held* there = work_->leases.find(server.node());
    const Pins before = there ? there->pins : Pins{};
    to.send(message, bytes);
    if (there && !(there->pins == before)) publish_pins();
    return;
  }
  StatementPtr closed = message.type == frontend::kClose ? message.statement : nullptr;
  if (closed && closed->withdrawn) {
    closed = prepared_.get(message.name);
    prepared_.erase(message.name);
  }
  if (!message.synthesised.empty())
    work_->queue.push({.what = message.type == frontend::kClose ? Expect::close : Expect::bind,
                       .action = Action::synthesise,
                       .statement = std::move(closed),
                       .synthesised = message.synthesised});
  emit_synthesised();
}

/// The read statements among what a Query or Execute runs.
void Session::count_reads(base::NodeId node, const sql::CachedFacts& query) {
  for (const auto& statement : query.facts.statements)
    if (statement.kind == sql::StatementKind::query)
      WorkerCounters::count(worker_.mutable_counters().reads[node.value]);
}

/// pgweir itself cannot do what was asked; nothing of this exchange has been sent.
void Session::fail_exchange(const base::Error& error) {
  if (work_->stage == Stage::open || !work_->queue.empty()) return terminate(error);
  const bool closed = is_closed(work_->exchange);
  const auto& messages = work_->exchange.messages();
  for (auto message = messages.rbegin(); message != messages.rend(); ++message) {
    if (message->type == frontend::kClose && message->what == 'S' && message->statement)
      prepared_.define(message->statement);
    if (message->deallocated)
      for (const StatementPtr& statement : *message->deallocated) prepared_.define(statement);
    // One that was refused has none.
    if (message->type == frontend::kParse && message->statement) prepared_.withdraw(*message->statement);
  }
  end_hold();
  work_->exchange.clear();
  work_->stage = Stage::none;
  work_->stream_to = nullptr;
  work_->chosen.reset();
  if (work_->transaction == Transaction::lazy) work_->transaction = Transaction::failed_here;
  reply_error(error);
  if (closed)
    reply_ready();
  else
    work_->skip_to_sync = true;
  end_if_idle();
}

/// Nothing but statements to be prepared that a server has accepted, under the same settings and with the same catalog:
/// while a client waits for a connection only to hear that again, those who hold one may be waiting for the client.
bool Session::is_known(const Exchange& exchange) const {
  const bool quiet = work_->unsettled == 0 && work_->transaction == Transaction::none && work_->queue.empty();
  if (!shares_servers() || !quiet) return false;
  const auto& messages = exchange.messages();
  if (messages.size() < 2 || messages.back().type != frontend::kSync) return false;
  return std::all_of(messages.begin(), messages.end() - 1, [&](const GatheredMessage& message) {
    if (message.type != frontend::kParse || message.name.empty() || prepared_.get(message.name) != message.statement)
      return false;
    const CarriedState::Meaning meaning = carried_.meaning();
    const auto key = with_meaning(with_meaning(message.statement->key, meaning.texts), meaning.names);
    return worker_.process().known_statements.has(key);
  });
}

/// Only statements to be prepared that are known: they will be, on the server that first runs them.
void Session::answer_known() {
  for (const auto& message : work_->exchange.messages()) {
    if (message.type != frontend::kParse) continue;
    note_parsed(prepared_, *message.statement, carried_, work_->unsettled);
    message.statement->confirmed = true;
    wire::encode_bare_reply(client_.output(), wire::backend::kParseComplete);
  }
  work_->exchange.clear();
  work_->stage = Stage::none;
  reply_ready();
  end_if_idle();
}

/// Nothing in it is for a server: SHOW pool_nodes and the like, or a Sync alone.
void Session::finish_local_exchange() {
  const bool closed = is_closed(work_->exchange);
  for (const auto& message : work_->exchange.messages()) client_.write(message.synthesised);
  check_client_takes();
  work_->exchange.clear();
  if (!closed) {
    work_->plan = {};  // a Flush: the exchange goes on
    return;
  }
  work_->stage = Stage::none;
  reply_ready();
  end_if_idle();
}

}  // namespace pgweir::session
