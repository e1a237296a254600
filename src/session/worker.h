// One worker thread: its loop, its sessions, its share of the pools, its classifier, its view of the cluster.
// Everything is used on the worker's thread only, unless it says otherwise.
#pragma once
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/ids.h"
#include "config/settings.h"
#include "net/listener.h"
#include "net/loop.h"
#include "net/mailbox.h"
#include "net/timer.h"
#include "pool/cancel.h"
#include "pool/worker_pools.h"
#include "routing/balance.h"
#include "routing/catalog.h"
#include "routing/route.h"
#include "routing/topology.h"
#include "session/account.h"
#include "session/beginnings.h"
#include "session/flows/startup.h"
#include "session/known_statements.h"
#include "session/process.h"
#include "session/reply_queue.h"
#include "session/tls_contexts.h"
#include "session/welcomes.h"
#include "session/work.h"
#include "sql/classifier.h"

namespace pgweir::session {

class AbandonedExchange;
class Session;
class SharedListener;
class Worker;

class Worker final : public pool::PoolEnvironment {
 public:
  Worker(base::WorkerId id, Process& process, std::shared_ptr<const config::Settings> settings,
         std::shared_ptr<const ClientAuth> auth, TlsContextsPtr tls);
  ~Worker();

  /// The thread's body: runs until `stop` was called and everything is closed.
  void run();

  // Any thread:
  void post(std::function<void(Worker&)> task);
  [[nodiscard]] const WorkerCounters& counters() const { return counters_; }
  /// Of those that are its own, or on the way to it.
  [[nodiscard]] std::size_t session_count() const { return session_count_.load(std::memory_order_seq_cst); }
  [[nodiscard]] base::WorkerId id() const { return id_; }

  // On its thread:
  /// Accepts clients for all workers: each goes to the one that has the fewest, here if that is no more than others
  /// have.
  void listen(net::ListeningSocket socket);
  void stop_listening();
  void set_topology(routing::TopologyPtr topology);
  void set_catalog(const std::string& database, routing::CatalogPtr catalog, base::Time verified);
  void set_settings(std::shared_ptr<const config::Settings> settings, std::shared_ptr<const ClientAuth> auth,
                    TlsContextsPtr tls);
  void catalog_changed_elsewhere(const std::string& database, base::Time when);
  /// Ends sessions as soon as they are outside a transaction.
  void drain();
  /// Ends all sessions at once and stops the loop when they are gone.
  void stop();
  void cancel(const wire::CancelRequest& request);

  // For its sessions:
  [[nodiscard]] net::Loop& loop() { return loop_; }
  [[nodiscard]] pool::WorkerPools& pools() { return *pools_; }
  [[nodiscard]] sql::Classifier& classifier() { return classifier_; }
  [[nodiscard]] const routing::Topology& topology() const { return *topology_; }
  [[nodiscard]] const config::Settings& settings() const { return *settings_; }
  [[nodiscard]] std::shared_ptr<const ClientAuth> auth() const { return auth_; }
  [[nodiscard]] const TlsContexts& tls() const { return *tls_; }
  [[nodiscard]] Process& process() { return process_; }
  [[nodiscard]] Welcomes& welcomes() { return welcomes_; }
  /// What this message leads to under the settings of now.
  [[nodiscard]] std::shared_ptr<Beginning> beginning(const wire::StartupMessage& message);
  [[nodiscard]] WorkStock& work_stock() { return work_stock_; }
  [[nodiscard]] StatementStock& statement_stock() { return statement_stock_; }
  [[nodiscard]] AddedStatements& added_statements() { return added_statements_; }
  /// A number for `Work::unsettled`, not used before by this worker.
  [[nodiscard]] std::uint32_t next_unsettled() { return ++last_unsettled_; }
  [[nodiscard]] WorkerCounters& mutable_counters() { return counters_; }
  [[nodiscard]] DatabaseState& database(const std::string& name);
  [[nodiscard]] Account& account(const std::string& database, const std::string& user);
  void catalog_changed(const std::string& database);
  /// A node for a read that must see this.
  [[nodiscard]] routing::Choice pick_reader(const routing::Wanted& wanted);
  /// Adds the other nodes that could serve it.
  void add_readers(std::vector<base::NodeId>& nodes, const routing::Wanted& wanted);
  /// Whether a node chosen earlier may still serve such a read.
  [[nodiscard]] bool still_good_reader(base::NodeId id, const routing::Wanted& wanted) const;
  /// Whether one of these standbys would serve a read that may be stale.
  [[nodiscard]] bool any_standby_but_for_freshness(base::NodeSet nodes);
  /// Whether a server on that node has made these settings before.
  [[nodiscard]] bool settings_were_taken(base::NodeId node, std::size_t text_hash) const;
  void settings_taken(base::NodeId node, std::size_t text_hash);
  /// `Session::answer_login` will be called, if that session still lives.
  void find_memberships(base::SessionId session, const std::string& user);
  /// Routes a cancel request to the worker whose session it names.
  void deliver_cancel(const wire::CancelRequest& request);
  /// Sends a cancel request to a server; the server connection counts it until it has arrived, or cannot arrive any
  /// more. Then `on_arrived` is called.
  void carry_cancel(pool::ServerConnection& server, std::function<void()> on_arrived = {});
  /// What holds for this user in this database; good until `Session::read_rules` is called.
  [[nodiscard]] const config::Pool& pool_rules(const std::string& database, const std::string& user);
  /// `Session::resume_client`, if that session still lives.
  void resume(base::SessionId id);
  /// Null for one that has been freed.
  [[nodiscard]] Session* session(base::SessionId id) const;
  /// The session looks for a connection to listen on (`Session::try_to_listen_again`), now and until it has one.
  void look_for_listening(base::SessionId session);
  /// The same for `SharedListener::try_to_listen_again`.
  void look_for_listening();
  /// Who listens for the sessions of this account (pool.listen: shared); made at first use.
  [[nodiscard]] SharedListener& listener(Account& account);
  void redeliver_servers(base::SessionId id);
  /// The session waits for a node; its place in the list of those who do, for `end_hold`.
  [[nodiscard]] std::uint64_t hold(base::SessionId session);
  void end_hold(std::uint64_t place);
  /// Something has ended that may have been a write: looks, while writes are paused, whether none is under way.
  void look_for_quiet() {
    if (topology_->writes_paused) [[unlikely]]
      look_for_quiet_soon();
  }
  /// Sees to it that the server finishes what a client that has gone has asked for.
  void abandon(pool::Lease lease, ReplyQueue queue, std::size_t reply_left);
  void abandoned_ended(std::uint64_t number);
  /// The session is over: it is freed after this pass.
  void finished(Session& session);
  [[nodiscard]] bool draining() const { return draining_; }

  /// Bits of a session's number that name the worker; the rest counts.
  static constexpr unsigned kWorkerBits = 7;
  static constexpr unsigned kCounterBits = 31 - kWorkerBits;

 private:
  // pool::PoolEnvironment
  [[nodiscard]] pool::PoolLimits limits(const pool::PoolKey& key) const override;
  [[nodiscard]] bool is_usable(base::NodeId node) const override;
  [[nodiscard]] bool is_read_only(base::NodeId node) const override;
  [[nodiscard]] net::Endpoint endpoint(base::NodeId node) const override;
  [[nodiscard]] pool::ServerTls tls(base::NodeId node) const override;
  [[nodiscard]] std::string node_name(base::NodeId node) const override;
  [[nodiscard]] pool::ServerCredentials credentials(const pool::PoolKey& key) const override;
  void credentials_refused(const pool::PoolKey& key) override;
  [[nodiscard]] std::size_t workers() const override;
  void post(base::WorkerId worker, std::function<void(pool::WorkerPools&)> task) override;
  void suspect(base::NodeId node) override;

  void on_client(int fd, const net::PeerAddress& peer);
  void serve_client(int fd, const net::PeerAddress& peer);
  [[nodiscard]] routing::ReadRequirements requirements(const routing::Wanted& wanted) const;
  void stop_if_empty();
  void tell_sessions(const routing::Topology& before);
  void try_held_again();
  void check_held();
  void let_listen_again();
  void look_for_quiet_soon();
  [[nodiscard]] bool writes_are_quiet() const;
  void start_time_sweep();
  [[nodiscard]] std::vector<base::SessionId> session_ids() const;
  [[nodiscard]] base::SessionId next_session_id();

  const base::WorkerId id_;
  Process& process_;
  std::shared_ptr<const config::Settings> settings_;
  std::shared_ptr<const ClientAuth> auth_;
  TlsContextsPtr tls_;
  net::Loop loop_;
  std::unique_ptr<net::Mailbox> mailbox_;
  std::vector<std::unique_ptr<net::Listener>> client_listeners_;  ///< the first worker's
  std::unique_ptr<pool::WorkerPools> pools_;
  sql::Classifier classifier_;
  routing::TopologyPtr topology_;
  routing::Balancer balancer_;
  std::vector<routing::NodeFreshness> freshness_;
  std::map<std::string, DatabaseState, std::less<>> databases_;
  Welcomes welcomes_;
  Beginnings beginnings_;
  WorkStock work_stock_;
  StatementStock statement_stock_;
  AddedStatements added_statements_;
  std::map<std::pair<std::string, std::string>, Account> accounts_;
  std::unordered_set<std::size_t> settings_taken_;  ///< hashes of node and text
  std::unordered_map<base::SessionId, std::unique_ptr<Session>> sessions_;
  std::map<std::uint64_t, std::unique_ptr<pool::CancelCarrier>> cancels_;
  std::map<std::uint64_t, std::unique_ptr<AbandonedExchange>> abandoned_;
  std::map<const Account*, std::unique_ptr<SharedListener>> listeners_;
  /// By the entries of `databases` and `users` that apply: so there are few, however many clients there are.
  std::map<std::pair<const config::PoolOverride*, const config::PoolOverride*>, config::Pool> rules_;
  std::unique_ptr<net::Timer> time_sweep_;         ///< null while no time is limited
  std::map<std::uint64_t, base::SessionId> held_;  ///< by place: in the order in which they came
  std::uint64_t last_held_ = 0;
  std::uint64_t scout_ = 0;                      ///< the place of the one that tries although nothing has changed
  std::unique_ptr<net::Timer> held_timer_;       ///< runs while anybody is held
  std::unordered_set<base::SessionId> unheard_;  ///< who looks for a connection to listen on
  std::unique_ptr<net::Timer> unheard_timer_;    ///< runs while anybody does
  bool looks_for_quiet_ = false;                 ///< after this pass
  std::uint64_t last_number_ = 0;                ///< of cancel requests and abandoned exchanges
  std::uint32_t last_session_ = 0;
  std::uint32_t last_unsettled_ = 0;
  std::atomic<std::size_t> session_count_{0};
  WorkerCounters counters_;
  bool draining_ = false;
  bool stopping_ = false;
};

}  // namespace pgweir::session
