// What the workers and the control thread share, and what each worker counts.
#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "auth/hba.h"
#include "base/clock.h"
#include "base/ids.h"
#include "cluster/shared_freshness.h"
#include "config/password_file.h"
#include "pool/pool_state.h"
#include "routing/route.h"
#include "session/client_places.h"
#include "session/known_statements.h"
#include "session/last_write.h"
#include "session/local_commands.h"
#include "session/logins.h"
#include "session/pins.h"

namespace pgweir::session {

class Worker;

/// Written by one worker, read by anybody.
struct WorkerCounters {
  static constexpr std::size_t kMostNodes = 128;
  std::array<std::atomic<std::uint64_t>, kMostNodes> reads{};       ///< read statements per node
  std::array<std::atomic<std::uint64_t>, kMostNodes> statements{};  ///< all exchanges per node
  std::array<std::atomic<std::uint64_t>, routing::kReasonCount> by_reason{};
  std::atomic<std::uint64_t> reruns{0};    ///< reads that ran again on the primary
  std::atomic<std::uint64_t> sessions{0};  ///< logged in so far
  static void count(std::atomic<std::uint64_t>& counter) {
    counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
};

/// What the workers and the control thread share. Made before the threads, outlives them.
class Process {
 public:
  Process(std::size_t nodes, config::PasswordFile server_passwords)
      : freshness(nodes), passwords(std::move(server_passwords)), statement_seed(random_seed()) {}
  virtual ~Process() = default;

  /// Any thread. The control thread probes the node / loads the catalog / counts a session that is gone.
  virtual void suspect(base::NodeId node) = 0;
  virtual void want_catalog(const std::string& database, base::Time not_before) = 0;
  virtual void session_ended() = 0;
  /// Any thread. Nothing that may write is under way on this worker, and nothing begins; in that epoch of the topology.
  virtual void writes_are_quiet(base::WorkerId worker, std::uint64_t epoch) = 0;
  /// Any thread; `then` is called on the control thread.
  virtual void find_memberships(const std::string& user, std::function<void(base::Result<auth::Memberships>)> then) = 0;
  /// Any thread. Asks the nodes what they know of a user, and keeps it in `logins`. `answer` is called on the control
  /// thread.
  virtual void ask_user(const std::string& user,
                        std::function<void(const base::Result<cluster::KnownUser>&)> answer) = 0;
  /// Any thread; null for a worker that does not exist.
  virtual Worker* worker(base::WorkerId id) = 0;
  virtual std::size_t worker_count() const = 0;

  [[nodiscard]] static std::uint64_t random_seed();
  pool::PoolDirectory pools;
  cluster::SharedFreshness freshness;
  const config::PasswordFile passwords;
  ClientPlaces clients;
  Logins logins;
  const LocalCommands* local_commands = nullptr;
  PinDirectory pins;
  LastWrite last_write;
  KnownStatements known_statements;
  const std::uint64_t statement_seed;  ///< of the keys of prepared statements, which go from worker to worker
};

}  // namespace pgweir::session
