// What cannot go with a session to another server connection, and when a connection goes back to the pool: what a
// statement has done unseen is asked for once nothing is under way, and what ties the session to a connection keeps it.
#include <algorithm>
#include <utility>

#include "base/assertion.h"
#include "session/audit.h"
#include "session/session.h"

namespace pgweir::session {

void Session::start_audit(Held& there) {
  pool::ServerConnection& server = *there.lease.server();
  work_->current = &server;
  work_->audit = std::make_unique<AuditReader>(there.due, account_->user, work_->custom_names, carried_.settings());
  there.due = Audit::none;
  auto custom = std::exchange(work_->custom_names, {});
  if (carried_.settings())
    for (const auto& one : *carried_.settings())
      if (one.key != "role" && one.key != "session_authorization") custom.push_back(one.key);
  // Functions that are newer than the catalog are looked for on the server.
  const auto* known = catalog();
  custom = names_to_ask_for(std::move(custom), known ? known->custom_settings() : std::vector<std::string>{});
  const auto functions = known ? FunctionNames::known : FunctionNames::looked_for;
  writer(server).query(audit_query(work_->audit->audit(), custom, functions), Purpose::audit);
  work_->wait = Wait::quiet;
}

void Session::finish_audit(pool::ServerConnection& server) {
  const auto reader = std::exchange(work_->audit, nullptr);
  Held* there = work_->leases.find(server.node());
  if (!there) return;
  const Pins before = there->pins;
  there->may_hold_more = false;
  if (reader->failed()) {
    there->pins.add(PinReason::unknown);
    there->due = Audit::none;
  } else {
    there->pins = reader->pins();
    there->channels.replace(reader->take_channels());
    for (const PinReason unseen : kLastingPins)
      if (before.has(unseen)) there->pins.add(unseen);
    if (reader->audit() == Audit::all) {
      auto there_now = reader->take_settings();
      // Not what the session began with and code has reset: that has to be made again.
      server.carried.settings =
          there_now.empty() ? nullptr : std::make_shared<const std::vector<pool::SettingText>>(there_now);
      carried_.replace(std::move(there_now));
      if (pool::same_settings(server.carried.settings, carried_.settings()))
        server.carried.settings = carried_.settings();
      writer(server).note_custom();
      if (work_->names_left_out) there->pins.add(PinReason::unknown);
      // Statements that code has prepared, or deallocated: nobody else may find them, or miss them.
      std::vector<std::string> names;
      for (const auto& entry : server.carried.prepared.entries()) names.push_back(entry.name);
      if (!reader->are_prepared(names)) there->pins.add(PinReason::unknown);
    } else if (before.has(PinReason::unknown)) {
      there->pins.add(PinReason::unknown);
    }
  }
  if (!(there->pins == before)) publish_pins();
}

void Session::pin(pool::ServerConnection& server, PinReason reason) {
  Held* there = work_->leases.find(server.node());
  if (!there) return;
  there->pins.add(reason);
  publish_pins();
}

/// A simple query is being sent behind an Execute, before its Sync. PostgreSQL 18 may say idle at that Sync with the
/// transaction still open, because it ends only what the message before it has begun (tcop/postgres.c), and then fails
/// the next statement. So this client has to be the next.
void Session::doubt(pool::ServerConnection& server) {
  pin(server, PinReason::unknown);
  work_->leases.find(server.node())->doubtful = true;
}

/// For SHOW pins.
void Session::publish_pins() {
  PinnedSession pinned;
  for (const Held& one : work_->leases.all()) {
    if (!one.pins.any()) continue;
    pinned.pins = one.pins;
    pinned.node = worker_.topology().node(one.node).name;
  }
  auto& directory = worker_.process().pins;
  const bool shown = std::exchange(pins_are_shown_, pinned.pins.any());
  if (!pins_are_shown_) {
    if (shown) directory.erase(id_);
    return;
  }
  pinned.client = peer_.text();
  pinned.user = account_->user;
  pinned.database = account_->database;
  pinned.since = std::chrono::system_clock::now();
  directory.set(id_, std::move(pinned));
}

/// Nothing may be under way any more: what is not known is asked for, then the connections go back.
void Session::settle() {
  if (work_->leases.empty() || !work_->queue.empty() || work_->stage != Stage::none || work_->wait != Wait::none)
    return;
  if (work_->stream_left > 0 || work_->transaction == Transaction::open || state_ == State::finished) return;
  for (Held& one : work_->leases.all()) {
    if (one.due == Audit::none) continue;
    start_audit(one);
    return;
  }
  if (shares_servers()) release_leases();
}

/// Only with nothing outstanding. What the session carries is made again on whatever connection it gets next.
void Session::release_leases() {
  PGWEIR_ASSERT(work_->queue.empty() && work_->transaction != Transaction::open);
  work_->current = nullptr;
  std::erase_if(work_->leases.all(), [&](Held& one) {
    // State that only this connection has keeps it.
    if (one.is_pinned()) return false;
    // A server that says it is in a transaction, of which the session knows nothing, is not to be believed.
    if (one.lease->out_of_step || (shares_servers() && one.lease->transaction != wire::TransactionStatus::idle))
      one.lease.close();
    else if (shares_servers())
      one.lease.release();
    else
      one.lease.give_back();
    return true;
  });
}

}  // namespace pgweir::session
