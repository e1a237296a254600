// The extended protocol's messages: what they say is noted in the session's own books, then they are gathered until it
// is clear where they run.
#include <algorithm>
#include <utility>

#include "session/session.h"
#include "wire/messages/frontend.h"

namespace pgweir::session {

namespace frontend = wire::frontend;
namespace {
/// An exchange that grows beyond this goes to the primary.
constexpr std::size_t kLargestExchange = 64 * 1024;
}  // namespace

std::size_t Session::take_extended(const wire::Frame& frame, std::string_view bytes) {
  if (frame.type == frontend::kSync && work_->skip_to_sync) {
    work_->skip_to_sync = false;
    work_->stage = Stage::none;
    reply_ready();
    end_if_idle();
    return frame.bytes_here();
  }
  if (work_->stage == Stage::none)
    if (const std::size_t taken = take_execution(frame.type, bytes)) return taken;
  if (frame.type == frontend::kParse && frame.body_size > worker_.settings().limits.max_query)
    return refuse(frame, statement_too_long(frame.body_size));
  // Names stand at the front of a Bind, so a long one need not be here as a whole.
  const bool may_stream = frame.type == frontend::kBind && frame.body_size > kLargestGathered;
  if (!frame.complete() && !(may_stream && frame.body.size() >= kLargestGathered)) return 0;
  GatheredMessage message;
  if (!describe_message(frame, message)) {
    violation("invalid message format");
    return bytes.size();
  }
  return pass_or_gather(std::move(message), frame, bytes);
}

bool Session::describe_message(const wire::Frame& frame, GatheredMessage& message) {
  message.type = frame.type;
  switch (frame.type) {
    case frontend::kParse: {
      const auto parse = wire::decode_parse(frame.body);
      if (!parse) return false;
      message.name = parse->name;
      message.statement = prepared_.make({.name = parse->name,
                                          .text = parse->text,
                                          .types = parse->types,
                                          .query = worker_.classifier().classify(account_->state->id, parse->text)},
                                         worker_.process().statement_seed);
      return true;
    }
    case frontend::kBind: {
      const auto bind = wire::decode_bind(frame.body);
      if (!bind) return false;
      message.name = bind->statement;
      message.portal = bind->portal;
      return true;
    }
    case frontend::kExecute: {
      const auto execute = wire::decode_execute(frame.body);
      if (!execute) return false;
      message.portal = execute->portal;
      return true;
    }
    case frontend::kDescribe:
    case frontend::kClose: {
      const auto target = wire::decode_target(frame.body);
      if (!target || (target->what != 'S' && target->what != 'P')) return false;
      message.what = target->what;
      (target->what == 'S' ? message.name : message.portal) = target->name;
      return true;
    }
    default: return frame.body_size == 0;
  }
}

/// Keeps the session's own books: which statements and portals there are, and whether pgweir answers this one itself.
void Session::note_message(GatheredMessage& message, const wire::Frame& frame) {
  if (message.type == frontend::kParse) note_names(message, message.statement->query.entry->facts);
  switch (message.type) {
    case frontend::kParse:
      if (!message.name.empty()) message.taken_by = prepared_.get(message.name);
      prepared_.define(message.statement);
      break;
    case frontend::kBind:
      message.statement = prepared_.get(message.name);
      define_portal(message.portal, message.statement);
      if (message.statement) note_names(message, message.statement->query.entry->facts);
      break;
    case frontend::kDescribe:
      message.statement = message.what == 'S' ? prepared_.get(message.name) : portal(message.portal);
      if (message.what == 'S' && message.statement) note_names(message, message.statement->query.entry->facts);
      break;
    case frontend::kExecute:
      message.statement = portal(message.portal);
      note_deallocate(message);
      break;
    case frontend::kClose:
      if (message.what == 'S') {
        message.statement = prepared_.get(message.name);
        prepared_.erase(message.name);
        // What other sessions may be using stays on the server; only the client's name for it is gone.
        message.local = shares_servers() && message.statement && !message.name.empty() &&
                        message.statement->origin == PreparedStatement::Origin::protocol;
      }
      break;
    default: break;
  }
  if (message.statement && is_local(message.statement->query)) message.local = message.type != frontend::kSync;
  if (message.local) synthesise(message, frame);
}

/// Whatever the messages behind it do to those names.
void Session::note_names(GatheredMessage& message, const sql::QueryFacts& facts) {
  // The first one in a query string decides: what it leaves is what the others find.
  const auto add = [&](const std::string& name, bool runs) {
    const auto is_it = [&](const NamedStatement& one) { return one.name == name; };
    if (std::none_of(message.named.begin(), message.named.end(), is_it))
      message.named.push_back({name, prepared_.get(name), runs});
  };
  for (const sql::StatementFacts& one : facts.statements) {
    if (names_statement(one)) add(one.name, one.kind == sql::StatementKind::execute);
    if (!one.executes.empty()) add(one.executes, true);
  }
  message.lists = lists_statements(facts);
  if (!message.lists) return;
  for (const auto& [name, statement] : prepared_.all())
    if (!name.empty()) add(name, true);
}

/// What is behind DEALLOCATE in the same exchange runs only if that succeeds.
void Session::note_deallocate(GatheredMessage& message) {
  if (!message.statement) return;
  const sql::StatementFacts& statement = message.statement->query.entry->facts.statements.front();
  if (statement.kind == sql::StatementKind::deallocate || statement.discard_all)
    message.deallocated = std::make_shared<const std::vector<StatementPtr>>(
        prepared_.take(statement.discard_all ? std::string_view() : statement.name));
}

std::size_t Session::pass_or_gather(GatheredMessage&& message, const wire::Frame& frame, std::string_view bytes) {
  const std::string_view here = bytes.substr(0, frame.bytes_here());
  if (message.type == frontend::kParse)
    if (const auto error = refusal(message.statement->query.entry->facts, frame)) return refuse(frame, *error);
  leave_for_pause();
  begin_exchange();
  if (work_->stage == Stage::none) work_->stage = Stage::gathering;
  note_message(message, frame);
  if (work_->stage == Stage::none) return frame.bytes_here();  // it failed just now
  const char type = message.type;
  plan_message(message);
  if (work_->stage == Stage::open) return pass_to_open_exchange(message, frame, here);
  work_->exchange.add(std::move(message), here);
  work_->stream_left = frame.bytes_left();
  if (type == frontend::kFlush) plan_primary(routing::Reason::flush_before_sync);
  if (!frame.complete() || work_->exchange.size() > kLargestExchange) plan_primary(routing::Reason::too_large);
  if (is_ready_to_send(type, frame)) dispatch();
  return frame.bytes_here();
}

/// Where the exchange has gone already.
std::size_t Session::pass_to_open_exchange(const GatheredMessage& message, const wire::Frame& frame,
                                           std::string_view bytes) {
  pool::ServerConnection& server = *work_->current;
  note_wrote(server);
  work_->second_try.kept = false;
  ServerWriter to = writer(server);
  send_message(to, server, message, bytes);
  stream_rest(frame, &server);
  if (message.type == frontend::kSync) {
    work_->stage = Stage::none;
    if (std::exchange(work_->solitary, false)) work_->wait = Wait::quiet;
  }
  check_server_takes(server);
  return bytes.size();
}

void Session::plan_message(GatheredMessage& message) {
  Plan& plan = work_->plan;
  const char type = message.type;
  const bool states_something = type == frontend::kParse || type == frontend::kBind || type == frontend::kDescribe;
  // A Parse, its Bind and its Describe say the same.
  if (message.statement && states_something && !message.local &&
      std::exchange(plan.put, message.statement->id) != message.statement->id)
    plan_statement(message.statement->query);
  if (!message.statement && (type == frontend::kBind || type == frontend::kDescribe))
    plan_primary(routing::Reason::prepared_unknown);
  if (type == frontend::kExecute) plan.executes = true;
  // A cursor that DECLARE has opened, or nothing.
  if (type == frontend::kExecute && !message.statement) message.unknown_effects = true;
  message.ordinary =
      message.statement ? !message.local && is_ordinary_here(message.statement->query) : type == frontend::kSync;
  if (type == frontend::kExecute && message.statement && !message.local) {
    if (!message.ordinary) {
      message.effects = effects_for(message.statement->query, message.statement->text);
      note_catalog_change(message.effects);
    }
    message.query = message.statement->query.entry;
  }
  if (type != frontend::kSync && type != frontend::kFlush && !message.local) plan.has_server_message = true;
}

/// What may follow in the exchange may have to be prepared again, before it.
bool Session::may_parse_anew() const {
  return shares_servers() && prepared_.size() > 0 &&
         (work_->unsettled != 0 || prepared_.may_mean_another(carried_.meaning().texts));
}

/// At its Sync, or as soon as only the primary can be right. What was prepared earlier may have to be prepared again
/// before it runs, and what is only prepared may be known already: that takes the whole exchange.
bool Session::is_ready_to_send(char type, const wire::Frame& frame) const {
  if (type == frontend::kSync) return true;
  if (!work_->plan.must_stay_on_primary()) return false;
  const Exchange& exchange = work_->exchange;
  // A client may wait for CopyInResponse before it says more, which comes without a Flush.
  const sql::CachedFactsPtr& runs = exchange.messages().back().query;
  const bool copies_in = runs && runs->facts.statements.front().kind == sql::StatementKind::copy_in;
  const bool cannot_wait = type == frontend::kFlush || !worker_.settings().routing.parser || !frame.complete() ||
                           exchange.size() > kLargestExchange || copies_in;
  if (cannot_wait) return true;
  const bool whole = (work_->transaction == Transaction::none && work_->queue.empty() &&
                      (runs_prepared(exchange) || only_parses(exchange))) ||
                     work_->queue.changes_prepared() || may_parse_anew();
  return !whole && !gathered_listen();
}

}  // namespace pgweir::session
