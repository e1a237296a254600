// The exchange that drivers send most, [Parse] Bind [Describe] Execute Sync with an ordinary statement, handled as a
// whole: one plan, one entry in the reply queue, one span to the server and one to the client. Whatever does not fit
// goes message by message, as everything else does (flows/extended.cpp, flows/replies.cpp).
#include <algorithm>
#include <utility>

#include "session/flows/server_writer.h"
#include "session/session.h"
#include "session/worker.h"
#include "wire/messages/execution.h"
#include "wire/messages/frontend.h"

namespace pgweir::session {

namespace frontend = wire::frontend;

/// How many bytes it has taken; 0 when they do not begin with such an exchange. The stage is `none`.
std::size_t Session::take_execution(char type, std::string_view bytes) {
  if ((type != frontend::kParse && type != frontend::kBind) || work_->skip_to_sync) return 0;
  const std::size_t longest = std::min(kLargestGathered, worker_.settings().limits.max_query);
  const auto found = wire::read_execution(bytes, longest);
  if (!found) return 0;
  StatementPtr statement;
  if (found->parse) {
    sql::Classified query = worker_.classifier().classify(account_->state->id, found->parse->text);
    if (!is_ordinary_here(query)) return 0;
    statement = prepared_.make(
        {.name = {}, .text = found->parse->text, .types = found->parse->types, .query = std::move(query)},
        worker_.process().statement_seed);
    prepared_.define(statement);
  } else {
    statement = prepared_.get(found->statement);
    if (!statement || statement->origin != PreparedStatement::Origin::protocol || !is_ordinary_here(statement->query))
      return 0;
  }
  define_portal({}, statement);
  begin_exchange();
  work_->stage = Stage::gathering;
  work_->plan.executes = work_->plan.has_server_message = true;
  work_->plan.put = statement->id;
  plan_statement(statement->query);
  work_->exchange.set({std::move(statement), found->parse.has_value(), found->describes}, bytes.substr(0, found->size));
  dispatch();
  return found->size;
}

/// False when more is needed than its own messages: a statement that is not there, or no entry of its own in the queue.
bool ServerWriter::send_execution(const Exchange& exchange) {
  const GatheredExecution& execution = *exchange.execution();
  PreparedStatement& statement = *execution.statement;
  if (statement.withdrawn || work_.queue.skipping() || work_.queue.copying_in()) return false;
  if (execution.parses) note_parsed(of_.prepared, statement, of_.carried, work_.unsettled);
  const Place place = place_of(statement);
  if (!execution.parses && !place.there) return false;
  if (work_.queue.empty()) of_.times.sent(of_.worker.loop().now());
  Expected expected;
  expected.what = Expect::execution;
  expected.whole = true;
  expected.parses = execution.parses;
  expected.describes = execution.describes;
  expected.statement = execution.statement;
  expected.on_server = place.key;
  work_.queue.push(std::move(expected));
  if (execution.parses) note_prepared(place, statement);
  // Without a Parse, Bind is the first message: of the unnamed portal, whose name comes before the statement's.
  if (execution.parses)
    server_.connection().write_through(exchange.bytes());
  else
    send_renamed(exchange.bytes(), 1, statement.name, place.name());
  return true;
}

/// What the server has said, if that is the whole answer that the front entry waits for: where its ReadyForQuery
/// begins, which is then `ready`. Nothing otherwise, and from then on its messages are taken one by one.
std::optional<std::size_t> Session::find_whole_answer(const pool::ServerConnection& server, std::string_view bytes,
                                                      wire::Frame& ready) {
  if (&server != work_->current || work_->second_try.swallows) return std::nullopt;
  const auto at = wire::read_whole_answer(bytes, work_->queue.front_shape(), ready);
  if (!at) work_->queue.take_apart_front();
  return at;
}

/// All of it but ReadyForQuery is on its way to the client. False when the client does not get that.
bool Session::complete_whole(pool::ServerConnection& server, const wire::Frame& ready) {
  Work& work = *work_;
  work.second_try.healable = work.second_try.kept = false;
  work.queue.complete_whole(work.completed);
  if (work.completed.parses) work.completed.statement->confirmed = true;
  times_.completed(worker_.loop().now());
  work.query_index = 0;
  return on_ready(server, work.completed, ready);
}

}  // namespace pgweir::session
