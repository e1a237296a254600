// What it means for a session that a statement has been answered to its end: what the statement did to the session, the
// end of a transaction, and who may go on now.
#include <algorithm>
#include <utility>

#include "session/session.h"
#include "session/settings_text.h"
#include "wire/messages/backend.h"

namespace pgweir::session {

namespace backend = wire::backend;

namespace {

std::string_view first_word(std::string_view body) {
  const auto tag = body.substr(0, body.find('\0'));
  return tag.substr(0, tag.find(' '));
}

}  // namespace

void Session::on_part(pool::ServerConnection& server, const wire::Frame& frame) {
  const Expected& front = work_->queue.front();
  if (front.purpose == Purpose::audit && frame.type == backend::kDataRow) {
    if (frame.complete())
      work_->audit->take_row(frame.body);
    else
      work_->audit->fail();
  }
  if (frame.type != backend::kCommandComplete && frame.type != backend::kEmptyQuery) return;
  times_.completed(worker_.loop().now());
  if (front.purpose == Purpose::timeout) server.carried.settings = without_timeout(server.carried.settings);
  if (front.action == Action::forward && front.effects && !work_->second_try.swallows)
    apply_effect(server, *front.effects, work_->query_index, first_word(frame.body));
  ++work_->query_index;
}

/// False when the client does not get the message, whatever the entry says.
bool Session::on_complete(pool::ServerConnection& server, const Expected& entry, const wire::Frame& frame) {
  times_.completed(worker_.loop().now());
  switch (entry.what) {
    case Expect::execute:
      if (entry.effects && entry.action == Action::forward && frame.type == backend::kCommandComplete &&
          !work_->second_try.swallows)
        apply_effect(server, *entry.effects, 0, first_word(frame.body));
      return true;
    case Expect::parse:
      if (entry.statement && entry.action == Action::forward) {
        entry.statement->confirmed = true;
        if (shares_servers() && !entry.statement->name.empty())
          worker_.added_statements().add(key_now(*entry.statement, carried_), worker_.process().known_statements);
      }
      return true;
    case Expect::query:
    case Expect::sync:
    case Expect::function_call: work_->query_index = 0; return on_ready(server, entry, frame);
    default: return true;
  }
}

bool Session::on_ready(pool::ServerConnection& server, const Expected& entry, const wire::Frame& frame) {
  const auto status = wire::decode_ready_for_query(frame.body);
  if (!status) {
    out_of_step(server, status.error().message);
    return false;
  }
  server.transaction = *status;
  if (work_->second_try.swallows) return false;
  if (entry.action != Action::forward) {
    on_swallowed_ready(server, entry);
    return false;
  }
  if (work_->on_probation()) end_probation();
  // What was sent before a query without a Sync has ended with it (tcop/postgres.c, exec_simple_query).
  const bool is_call = entry.what == Expect::query || entry.what == Expect::function_call;
  if (is_call && work_->stage == Stage::open && work_->queue.empty()) end_open_exchange();
  work_->plan.put = 0;  // what is being gathered may have to run elsewhere now
  const bool idle = *status == wire::TransactionStatus::idle;
  times_.ready(worker_.loop().now(), idle ? TimeLimits::Transaction::none : TimeLimits::Transaction::open,
               work_->queue.empty() ? TimeLimits::Pipeline::empty : TimeLimits::Pipeline::more);
  work_->transaction = idle ? Transaction::none : Transaction::open;
  work_->transaction_node = server.node();
  const bool failed = std::exchange(work_->exchange_error, false);
  carried_.ready(*status, failed);
  // They were the same when the exchange was sent (`settings_hold`); what it has changed, it has changed there.
  const bool lacks = std::exchange(work_->made_less, false) && failed;
  if (server.carried.settings != carried_.settings() && !lacks) {
    server.carried.settings = carried_.settings();
    writer(server).note_custom();
  }
  work_->transaction_wrote = work_->transaction_wrote || work_->wrote;
  if (idle) on_transaction_end(server.node());
  if (idle && listening_) settle_listening(failed);
  if (Held* there = idle ? work_->leases.find(server.node()) : nullptr) there->channels.ready(failed);
  if (restore_beginning(server)) return false;
  if (worker_.topology().primary == server.node()) tell_parameters(server);
  if (idle) flush_notifications();
  return true;
}

void Session::on_transaction_end(base::NodeId node) {
  // What the client has said in the meantime may have bound portals of its own.
  if (work_->queue.empty() && work_->stage == Stage::none) work_->portals.clear();
  note_seen(node);
  if (work_->catalog_changed) {
    worker_.catalog_changed(account_->database);
    // The statement may be among what is still in flight, or not sent yet.
    work_->catalog_changed = !work_->queue.empty() || work_->stage != Stage::none;
  }
  work_->transaction_wrote = false;
}

void Session::on_swallowed_ready(pool::ServerConnection& server, const Expected& entry) {
  switch (entry.purpose) {
    case Purpose::none:
    case Purpose::timeout:
    case Purpose::prepare: break;
    case Purpose::settings:
      if (work_->settings_error || std::exchange(work_->settings_refused, false)) break;
      // Otherwise they have been in the books since they were sent.
      if (work_->chosen || state_ == State::welcoming) server.carried.settings = settings_wanted();
      worker_.settings_taken(server.node(), entry.text_hash);
      if (std::exchange(work_->cancel_waits, false)) cancel_on_server(server);
      break;
    case Purpose::restore:
      server.carried.settings = carried_.settings();
      tell_parameters(server);
      if (work_->held_ready == wire::TransactionStatus::idle) flush_notifications();
      if (work_->held_ready)
        wire::encode_ready_for_query(client_.output(), *std::exchange(work_->held_ready, std::nullopt));
      break;
    case Purpose::audit: finish_audit(server); break;
    case Purpose::listen:
      if (work_->unheard.empty()) say_unheard();
      break;
  }
}

/// Something has been answered to its end; whoever waited for quiet goes on.
void Session::after_ready() {
  if (!work_->queue.empty()) return;
  if (!work_->audit_is_due()) work_->unsettled = 0;
  if (work_->second_try.swallows) return finish_retry();
  if (work_->settings_error) return fail_exchange_for_settings();
  if (state_ == State::welcoming) return finish_welcome();
  // Whoever waits for a connection comes before this session's next exchange.
  if (shares_servers() && work_->current && !work_->stream_to && work_->transaction == Transaction::none &&
      work_->stage != Stage::open && !work_->chosen &&
      pool::WorkerPools::anybody_waits(account_->pool(worker_.pools(), work_->current->node())) &&
      !work_->leases.is_pinned())
    release_leases();
  if (work_->wait == Wait::quiet || work_->wait == Wait::retryable) go_on();
  settle();
  end_if_idle();
  worker_.look_for_quiet();
}

void Session::apply_effect(pool::ServerConnection& server, const Effects& effects, std::size_t index,
                           std::string_view tag) {
  if (index >= effects.size()) return;
  const Effect& effect = effects[index];
  note_resets(effect);
  carried_.completed(effect, tag);
  if (listening_) note_listening(effect, tag);
  if (Held* there = work_->leases.find(server.node())) there->channels.completed(effect, tag);
  work_->catalog_changed = work_->catalog_changed || effect.changes_catalog;
  apply_prepared_effect(server, effect);
}

/// PREPARE, DEALLOCATE and DISCARD, on the client's statements and on those that the server has.
void Session::apply_prepared_effect(pool::ServerConnection& server, const Effect& effect) {
  switch (effect.kind) {
    case sql::StatementKind::prepare: {
      const std::string_view inner = std::string_view(effect.text).substr(effect.inner_offset);
      const auto made = prepared_.make({.origin = PreparedStatement::Origin::sql,
                                        .name = effect.name,
                                        .text = effect.text,
                                        .types = {},
                                        .query = worker_.classifier().classify(account_->state->id, inner)},
                                       worker_.process().statement_seed);
      made->confirmed = true;
      note_parsed(prepared_, *made, carried_, work_->unsettled);
      prepared_.define(made);
      writer(server).prepared_by_sql(*made);
      break;
    }
    case sql::StatementKind::deallocate:
      prepared_.deallocated(effect.name);
      writer(server).deallocated(effect.name);
      break;
    case sql::StatementKind::discard:
      if (!effect.all) break;
      prepared_.deallocated({});
      writer(server).deallocated({});
      work_->names_left_out = false;
      break;
    default: break;
  }
}

}  // namespace pgweir::session
