// From a plan to bytes on a server connection: which node, by which lease, what must be sent before the client's
// messages (settings, a BEGIN that was put off, statements not prepared there yet), and what the server will owe for
// it.
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

/// A Sync ends it. A query or function call alone is one by itself; behind messages of the extended protocol that have
/// no Sync yet it is part of theirs, because their error would make the server skip it.
bool is_closed(const Exchange& exchange) {
  if (exchange.empty()) return false;
  const char last = exchange.messages().back().type;
  if (last == frontend::kSync) return true;
  return exchange.messages().size() == 1 && (last == frontend::kQuery || last == frontend::kFunctionCall);
}

}  // namespace

/// The exchange is ready to be sent, as a whole or with its beginning. May have to wait first: then `go_on` calls
/// again.
void Session::dispatch() {
  const bool local = !plan_.has_server_message;
  if (plan_.executes && is_closed(exchange_) && listen_shared()) return;
  if (!queue_.empty()) {
    // What is in flight may begin or end a transaction, so only the primary can be right without knowing.
    const bool others_wait = shares_servers() && transaction_ == Transaction::none && current_ &&
                             pool::WorkerPools::anybody_waits(account_->pool(worker_.pools(), current_->node()));
    const bool stay = !local && !others_wait && !must_see_parse_first(exchange_) && current_ &&
                      plan_.node_class != routing::NodeClass::node && worker_.topology().primary == current_->node();
    if (!stay) return wait_for(Wait::quiet);
    return dispatch_to(current_->node(), plan_.reason);
  }
  if (local) return finish_local_exchange();
  if (chosen_) return dispatch_to(*chosen_, plan_.reason);
  if (transaction_ == Transaction::failed_here)
    return fail_exchange({sqlstate::in_failed_sql_transaction,
                          "current transaction is aborted, commands ignored until end of transaction block"});
  if (transaction_ == Transaction::open) return dispatch_to(transaction_node_, plan_.reason);
  const auto& topology = worker_.topology();
  if (plan_.decided && plan_.node_class == routing::NodeClass::standby) {
    const routing::Choice choice = choose_reader();
    if (!choice.node) return fail_exchange(no_primary());
    return dispatch_to(*choice.node, choice.reason == routing::Reason::read ? plan_.reason : choice.reason);
  }
  if (plan_.node_class == routing::NodeClass::node)
    for (const auto& node : topology.nodes)
      if (node.name == plan_.node && node.status == routing::NodeStatus::up) return dispatch_to(node.id, plan_.reason);
  if (!topology.primary) return fail_exchange(no_primary());
  dispatch_to(*topology.primary, plan_.reason);
}

routing::Choice Session::choose_reader() {
  const auto& settings = worker_.settings().routing;
  const base::Time not_before = settings.consistency == config::Consistency::session ? last_write_ : base::Time{};
  // What only prepares has no weight: it goes where the last read went.
  if (!plan_.executes && last_read_node_ && worker_.still_good_reader(*last_read_node_, not_before))
    return {last_read_node_, routing::Reason::read};
  if (settings.balance == config::Balance::statement) return worker_.pick_reader(not_before);
  if (session_reader_ && worker_.still_good_reader(*session_reader_, not_before))
    return {session_reader_, routing::Reason::read};
  routing::Choice choice = worker_.pick_reader(not_before);
  if (choice.reason == routing::Reason::read) session_reader_ = choice.node;
  return choice;
}

void Session::dispatch_to(base::NodeId node, routing::Reason reason) {
  plan_.reason = reason;
  if (pool::ServerConnection* server = leased(node)) return send_exchange(*server);
  auto& pools = worker_.pools();
  auto& pool = account_->pool(pools, node);
  if (asks_for_sequence())
    if (auto lease = pools.try_acquire_from(pool, startup_class_, id_))
      return send_exchange(adopt_lease(std::move(lease)));
  if (auto lease = pools.try_acquire(pool, startup_class_, carried_.settings()))
    return send_exchange(adopt_lease(std::move(lease)));
  const pool::PoolKey key = account_->pool_key(node);
  const auto take = [this, node](base::Result<pool::Lease> lease) {
    ticket_.reset();
    wait_ = Wait::none;
    on_lease(node, std::move(lease));
    resume_client();
  };
  ticket_ = pools.acquire_now(key, startup_class_, take);
  if (!ticket_ && is_known(exchange_)) return answer_known();
  if (!ticket_) {
    // Who holds a connection never waits for a second one: otherwise two sessions could wait for each other.
    const auto primary = worker_.topology().primary;
    if (primary && !(*primary == node) && leased(*primary)) return dispatch_to(*primary, routing::Reason::standby_busy);
    release_leases();
    ticket_ = pools.acquire(key, startup_class_, take);
  }
  wait_for(Wait::lease);
}

void Session::on_lease(base::NodeId node, base::Result<pool::Lease> lease) {
  if (lease) return send_exchange(adopt_lease(std::move(*lease)));
  const auto primary = worker_.topology().primary;
  const bool elsewhere =
      plan_.node_class == routing::NodeClass::standby || plan_.node_class == routing::NodeClass::node;
  if (elsewhere && primary && !(*primary == node)) return dispatch_to(*primary, routing::Reason::standby_busy);
  fail_exchange(lease.error());
}

pool::ServerConnection& Session::adopt_lease(pool::Lease lease) {
  pool::ServerConnection& server = *lease.server();
  server.lease_to(static_cast<pool::ServerUser&>(*this));
  leases_.push_back({.node = server.node(), .lease = std::move(lease), .pins = {}});
  return server;
}

Held* Session::held(base::NodeId node) {
  for (Held& one : leases_)
    if (one.node == node) return &one;
  return nullptr;
}

const Held* Session::held(base::NodeId node) const { return const_cast<Session*>(this)->held(node); }

pool::ServerConnection* Session::leased(base::NodeId node) const {
  const Held* there = held(node);
  return there ? there->lease.server() : nullptr;
}

void Session::send_exchange(pool::ServerConnection& server) {
  current_ = &server;
  chosen_.reset();
  if (!suits(server)) {
    const base::NodeId node = server.node();
    lose_server(server);
    return dispatch_to(node, plan_.reason);
  }
  if (!settings_hold(server)) return;
  if (queue_.empty()) {
    times_.sent(worker_.loop().now());
    exchange_error_ = false;
    wrote_ = false;
  }
  wrote_ = wrote_ || plan_.wrote;
  const auto& messages = exchange_.messages();
  const bool closed = is_closed(exchange_);
  const bool read = plan_.decided && plan_.node_class != routing::NodeClass::primary &&
                    plan_.node_class != routing::NodeClass::current;
  if (std::exchange(held(server.node())->doubtful, false)) note_due(server, Audit::all);
  retry_begins_ = transaction_ == Transaction::lazy;
  const bool all_sent = std::none_of(messages.begin(), messages.end(), [](const auto& one) { return one.local; });
  const bool repeatable = closed && stream_left_ == 0 && read && all_sent && transaction_ != Transaction::open &&
                          !(worker_.topology().primary == server.node());
  if (read) last_read_node_ = server.node();
  count_and_log(server.node());
  healable_ = closed && stream_left_ == 0 && !queue_.owes_client() && transaction_ == Transaction::none &&
              !std::exchange(healed_, false) && runs_prepared(exchange_);
  prepare_as_parsed(server, exchange_);
  hide_sequences(server);
  if (plan_.wrote) server.carried.last_writer = id_;
  send_lazy_begin(server);
  for (const auto& message : messages) send_message(server, message, exchange_.bytes_of(message));
  stream_to_ = stream_left_ > 0 ? &server : nullptr;
  stage_ = closed ? Stage::none : Stage::open;
  if (repeatable)
    begin_probation();
  else if (!healable_)
    exchange_.clear();
  if (closed && std::exchange(solitary_, false) && wait_ == Wait::none) wait_for(Wait::quiet);
  check_server_takes(server);
}

void Session::count_and_log(base::NodeId node) {
  auto& counters = worker_.mutable_counters();
  WorkerCounters::count(counters.statements[node.value]);
  WorkerCounters::count(counters.by_reason[static_cast<std::size_t>(plan_.reason)]);
  if (worker_.settings().log.routing)
    log::info("route", {{"session", id_.value},
                        {"node", worker_.topology().node(node).name},
                        {"reason", routing::name_of(plan_.reason)}});
}

/// A BEGIN that was put off goes in front of the statement that says where the transaction runs.
void Session::send_lazy_begin(pool::ServerConnection& server) {
  if (transaction_ != Transaction::lazy) return;
  inject_query(server, lazy_begin_, Purpose::none);
  transaction_ = Transaction::open;
  transaction_node_ = server.node();
}

void Session::send_message(pool::ServerConnection& server, const GatheredMessage& message, std::string_view bytes) {
  if (message.local) {
    if (!message.synthesised.empty())
      queue_.push({.what = message.type == frontend::kClose ? Expect::close : Expect::bind,
                   .action = Action::synthesise,
                   .statement = message.type == frontend::kClose ? message.statement : nullptr,
                   .synthesised = message.synthesised});
    emit_synthesised();
    return;
  }
  count_reads(server.node(), message);
  if (message.unknown_effects) note_due(server, Audit::all);
  if (message.within_cycle && shares_servers()) {
    // PostgreSQL 18 may say idle at the Sync behind it with the transaction still open, and fail the next statement:
    // Sync ends only what the message before it has begun (tcop/postgres.c, finish_xact_command). So this client has
    // to be the next.
    pin(server, PinReason::unknown);
    held(server.node())->doubtful = true;
  }
  collect_names(message, bytes);
  switch (message.type) {
    case frontend::kParse: return send_parse(server, message, bytes);
    case frontend::kBind: return send_naming(server, message, bytes);
    case frontend::kClose: return send_close(server, message, bytes);
    case frontend::kDescribe:
      if (message.what == 'S') return send_naming(server, message, bytes);
      break;
    case frontend::kQuery:
      if (message.query) ensure_named_in(server, message.query->facts, Around::simple);
      // A simple query destroys the unnamed statement (tcop/postgres.c, exec_simple_query).
      server.carried.prepared.unnamed.reset();
      break;
    default: break;
  }
  push_expected(server, message);
  server.connection().write_through(bytes);
}

/// The read statements among what a Query or Execute runs.
void Session::count_reads(base::NodeId node, const GatheredMessage& message) {
  if (!message.query) return;
  for (const auto& statement : message.query->facts.statements)
    if (statement.kind == sql::StatementKind::query)
      WorkerCounters::count(worker_.mutable_counters().reads[node.value]);
}

void Session::push_expected(pool::ServerConnection& server, const GatheredMessage& message) {
  note_due(server, message.effects);
  Expected expected;
  switch (message.type) {
    case frontend::kQuery: expected.what = Expect::query; break;
    case frontend::kFunctionCall: expected.what = Expect::function_call; break;
    case frontend::kParse: expected.what = Expect::parse; break;
    case frontend::kBind: expected.what = Expect::bind; break;
    case frontend::kDescribe: expected.what = Expect::describe; break;
    case frontend::kExecute: expected.what = Expect::execute; break;
    case frontend::kClose: expected.what = Expect::close; break;
    case frontend::kSync: expected.what = Expect::sync; break;
    default: return;  // Flush has no answer
  }
  expected.statement = message.statement;
  if (message.query)
    expected.runs_prepared = std::any_of(message.query->facts.statements.begin(), message.query->facts.statements.end(),
                                         [](const auto& one) { return one.kind == sql::StatementKind::execute; });
  expected.effects = message.effects;
  if (queue_.empty()) times_.sent(worker_.loop().now());
  queue_.push(std::move(expected));
}

/// pgweir itself cannot do what was asked; nothing of this exchange has been sent.
void Session::fail_exchange(const base::Error& error) {
  if (stage_ == Stage::open || !queue_.empty()) return terminate(error);
  const bool closed = is_closed(exchange_);
  for (const auto& message : exchange_.messages()) {
    if (message.type == frontend::kParse) prepared_.withdraw(*message.statement);
    if (message.type == frontend::kClose && message.what == 'S' && message.statement)
      prepared_.define(message.statement);
  }
  exchange_.clear();
  stage_ = Stage::none;
  stream_to_ = nullptr;
  chosen_.reset();
  if (transaction_ == Transaction::lazy) transaction_ = Transaction::failed_here;
  reply_error(error);
  if (closed)
    reply_ready();
  else
    skip_to_sync_ = true;
  end_if_idle();
}

/// Only statements to be prepared that are known: they will be, on the server that first runs them.
void Session::answer_known() {
  for (const auto& message : exchange_.messages()) {
    if (message.type != frontend::kParse) continue;
    note_parsed(*message.statement);
    message.statement->confirmed = true;
    wire::encode_bare_reply(client_.output(), wire::backend::kParseComplete);
  }
  exchange_.clear();
  stage_ = Stage::none;
  reply_ready();
  end_if_idle();
}

/// Nothing in it is for a server: SHOW pool_nodes and the like, or a Sync alone.
void Session::finish_local_exchange() {
  const bool closed = is_closed(exchange_);
  for (const auto& message : exchange_.messages()) client_.write(message.synthesised);
  check_client_takes();
  exchange_.clear();
  if (!closed) {
    plan_ = {};  // a Flush: the exchange goes on
    return;
  }
  stage_ = Stage::none;
  reply_ready();
  end_if_idle();
}

base::Error Session::no_primary() const {
  std::string detail;
  for (const auto& node : worker_.topology().nodes) {
    if (!detail.empty()) detail += "; ";
    detail += "node \"" + node.name + "\" (" + node.host + ":" + std::to_string(node.port) + ") is " +
              std::string(routing::name_of(node.status)) + (node.reason.empty() ? "" : ": " + node.reason);
  }
  return {sqlstate::cannot_connect_now, "no primary server is available", detail + ".",
          "Try again; SHOW pool_nodes shows the state of the nodes."};
}

}  // namespace pgweir::session
