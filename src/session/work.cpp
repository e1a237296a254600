// When a session's work is over, and what is left of it then; see work.h.
#include "session/work.h"

#include "base/assertion.h"

namespace pgweir::session {

bool Work::is_answered() const {
  return queue.empty() && stage == Stage::none && wait == Wait::none && stream_left == 0;
}

bool Work::is_quiet() const { return transaction == Transaction::none && is_answered(); }

bool Work::is_over() const {
  return is_quiet() && leases.empty() && tickets.empty() && !untold_transaction && !untold_state && unheard.empty() &&
         unheard_ticket == pool::WorkerPools::kNobody && hold.place == 0 && queue.expects_nothing() &&
         !queue.skipping() && !skip_to_sync && !second_try.swallows && !chosen && !audit && !held_ready &&
         !settings_error && unsettled == 0;
}

void Work::clear() {
  PGWEIR_ASSERT(is_over());
  current = nullptr;
  exchange.clear();
  plan = {};
  stream_to = nullptr;
  solitary = cancel_waits = false;
  last_words.clear();
  portals.clear();
  local_formats.clear();
  dropped.clear();
  completed = {};
  servers_held = exchange_error = false;
  query_index = 0;
  second_try.begins = second_try.healed = second_try.healable = second_try.kept = false;
  second_try.healing.reset();
  second_try.held_back.clear();
  lazy_begin.clear();
  wrote = transaction_wrote = catalog_changed = false;
  resets.clear();
  resets_restored = 0;
  custom_names.clear();
  names_left_out = made_less = false;
  telling = Telling::as_login;
  unheard_until = {};
}

std::unique_ptr<Work> WorkStock::take() {
  if (spare_.empty()) return std::make_unique<Work>();
  std::unique_ptr<Work> work = std::move(spare_.back());
  spare_.pop_back();
  return work;
}

void WorkStock::put_back(std::unique_ptr<Work> work) {
  constexpr std::size_t kMostSpare = 256;
  constexpr std::size_t kMostKept = 16 * 1024;
  if (spare_.size() >= kMostSpare || work->exchange.capacity() > kMostKept) return;
  work->clear();
  spare_.push_back(std::move(work));
}

const Work& LentWork::nothing() {
  static const Work nothing;
  return nothing;
}

}  // namespace pgweir::session
