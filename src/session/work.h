// What a session has only while something is under way: a transaction, an exchange, answers that are owed, a server
// connection. Most clients are idle most of the time, so it is lent by the worker when something begins and goes back
// when nothing is left: an idle client costs its settings and its statements, and no buffers.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"
#include "pool/worker_pools.h"
#include "routing/route.h"
#include "session/audit.h"
#include "session/exchange.h"
#include "session/leases.h"
#include "session/prepared_statements.h"
#include "session/reply_queue.h"
#include "sql/statement_facts.h"
#include "wire/messages/backend.h"

namespace pgweir::session {

/// Why no message is taken from the client for now.
enum class Wait : std::uint8_t {
  none,
  lease,      ///< for a server connection
  node,       ///< for a node that is away or not fresh enough, or for the end of a switchover (flows/hold.cpp)
  listener,   ///< for the answer to a LISTEN or UNLISTEN on a shared connection
  quiet,      ///< for the answers to what is in flight, before going on
  retryable,  ///< for a read that may still have to run again
};

/// Of the exchange; open means sent without its Sync.
enum class Stage : std::uint8_t { none, gathering, open };

/// As the client knows it. lazy: BEGIN was answered and is not sent yet; failed_here: no server has it, because none
/// could be had or the one that had it was lost.
enum class Transaction : std::uint8_t { none, lazy, open, failed_here };

/// How a server is told the session's settings. other: not by the connection that has just refused them, which may be
/// for what another session has left there.
enum class Telling : std::uint8_t { as_login, other_connection, as_role };

/// Where an exchange is to run, as far as its messages so far tell.
struct Plan {
  routing::NodeClass node_class = routing::NodeClass::standby;
  routing::Reason reason = routing::Reason::local_command;
  std::string node;       ///< for NodeClass::node
  bool decided = false;   ///< some message had a say
  bool wrote = false;     ///< something is not provably a read
  bool executes = false;  ///< something runs, and is not only prepared
  bool has_server_message = false;
  bool any_reader = false;            ///< a read for any node that qualifies, not for one that was chosen before
  unsigned failures = 0;              ///< how often a connection for it could not be opened, or was lost
  std::optional<base::NodeId> avoid;  ///< where that was last
  base::NodeSet nodes = base::NodeSet::all();  ///< of the standbys: those that have what it reads
  bool ran_again = false;                      ///< it was sent, lost with its server, and is sent again
  std::uint64_t put = 0;  ///< `PreparedStatement::id` of the last one that was put to the table; 0: none

  [[nodiscard]] bool must_stay_on_primary() const { return decided && node_class != routing::NodeClass::standby; }
};

/// A connection that was asked for.
struct Ticket {
  base::NodeId node;
  pool::WorkerPools::Ticket ticket = pool::WorkerPools::kNobody;
};

/// An exchange that may have to run a second time (flows/retry.cpp).
struct SecondTry {
  bool begins = false;                  ///< it is the first of a transaction
  bool healed = false;                  ///< it runs again: it is not healed twice
  bool kept = false;                    ///< the exchange is kept, alone in flight, and the client has seen nothing yet
  std::uint64_t sent_from = 0;          ///< where it stands in what the connection sends (net::Connection::position)
  bool healable = false;                ///< nothing of the answer has come yet, and the exchange is kept
  bool swallows = false;                ///< the answers of the first try are being thrown away
  std::optional<base::NodeId> healing;  ///< where it will run again, with its statements prepared anew
  std::string held_back;                ///< beginning of an answer that the client has not seen yet
};

/// An exchange that waits for a node (flows/hold.cpp), or for one to be fresh enough (flows/freshness.cpp).
struct Hold {
  std::uint64_t place = 0;  ///< in the worker's list; 0: none
  base::Time since{};
  base::Time failing_since{};  ///< connections to a node that is said to be up fail; zero: they do not
  bool for_freshness = false;  ///< it goes to the primary when the time is over
  base::Error reason;          ///< what the client is told when the time is over
};

/// Used on one worker's thread, by one session at a time.
struct Work {
  // Servers.
  Leases leases;
  pool::ServerConnection* current = nullptr;  ///< the one that owes what is in the queue
  std::vector<Ticket> tickets;                ///< several when several nodes can serve it: the first one wins

  // What the client has said.
  Wait wait = Wait::none;
  Stage stage = Stage::none;
  Exchange exchange;
  Plan plan;
  Hold hold;
  std::optional<base::NodeId> chosen;  ///< where the exchange runs that waits for its settings to be made there
  std::size_t stream_left = 0;         ///< bytes of the client's current message that are passed on as they come
  pool::ServerConnection* stream_to = nullptr;  ///< null: thrown away
  bool skip_to_sync = false;                    ///< after an error that pgweir itself has reported
  bool cancel_waits = false;  ///< a cancel request, for the answer to settings that were sent ahead of the statement
  bool solitary = false;      ///< the exchange just sent must be answered before anything else is sent
  std::vector<std::pair<std::string, StatementPtr>> portals;
  std::vector<std::uint16_t> local_formats;  ///< of the result, as the last Bind of a local statement said

  // What servers owe.
  ReplyQueue queue;
  std::vector<Expected> dropped;  ///< by the error that is being handled
  Expected completed;             ///< by the message that is being handled
  bool servers_held = false;      ///< others than the current server wait for the end of its message
  std::size_t query_index = 0;    ///< statements of the current Query that are complete
  bool exchange_error = false;
  std::string last_words;  ///< what a server has said before its end
  SecondTry second_try;

  // The transaction.
  Transaction transaction = Transaction::none;
  base::NodeId transaction_node;
  /// What was lost with a server connection while nothing was under way, to be told at the next statement: the
  /// transaction, and state that only that connection had.
  std::optional<base::Error> untold_transaction, untold_state;
  /// Channels that it listens to, whose connection was lost: to be said again on another one (flows/listen_again.cpp).
  std::vector<std::string> unheard;
  pool::WorkerPools::Ticket unheard_ticket = pool::WorkerPools::kNobody;  ///< for that connection
  base::Time unheard_until{};                                             ///< not tried again before
  std::string lazy_begin;
  sql::StatementFacts lazy_facts;
  bool wrote = false;  ///< since the last time the queue was empty
  bool transaction_wrote = false;
  bool catalog_changed = false;

  // What it does to the session.
  /// Not 0 while statements are under way that may change the settings, or an audit of them is due: a number of its
  /// own.
  std::uint64_t unsettled = 0;
  std::vector<std::string> resets;  ///< settings that a server has set back further than to the session's beginning
  std::size_t resets_restored = 0;  ///< how many of them have been restored in the open transaction
  std::optional<wire::TransactionStatus> held_ready;  ///< ReadyForQuery that the client gets when they are restored
  Telling telling = Telling::as_login;
  bool settings_refused = false;              ///< and will be told in another way
  bool made_less = false;                     ///< the exchange runs without those settings that it resets itself
  std::optional<base::Error> settings_error;  ///< the server refused the session's settings
  std::vector<std::string> custom_names;      ///< names of settings that texts of unknown effect mention
  bool names_left_out = false;                ///< there were too many
  std::unique_ptr<AuditReader> audit;         ///< while one is under way

  /// What a statement has done to the session is not known yet.
  [[nodiscard]] bool audit_is_due() const { return audit || leases.settings_are_due(); }
  /// The exchange that was sent is kept, and the client has seen nothing of its answer.
  [[nodiscard]] bool on_probation() const { return wait == Wait::retryable && !second_try.swallows; }
  /// The client may begin something new, and nothing of the old is left but server connections.
  [[nodiscard]] bool is_quiet() const;
  /// The same, but a transaction may be open.
  [[nodiscard]] bool is_answered() const;
  /// Nothing at all is under way.
  [[nodiscard]] bool is_over() const;
  /// Forgets what is over and keeps the memory, unless it is much.
  void clear();
};

/// The worker's stock of them. One thread.
class WorkStock {
 public:
  [[nodiscard]] std::unique_ptr<Work> take();
  void put_back(std::unique_ptr<Work> work);

 private:
  std::vector<std::unique_ptr<Work>> spare_;
};

/// A session's own, taken from the stock when it is first changed. Reading without having one sees that nothing is
/// under way.
class LentWork {
 public:
  explicit LentWork(WorkStock& stock) : stock_(stock) {}

  const Work* operator->() const { return work_ ? work_.get() : &nothing(); }
  Work* operator->() { return &**this; }
  Work& operator*() {
    if (!work_) work_ = stock_.take();
    return *work_;
  }
  /// Nobody may hold a reference into it.
  void give_back_if_over() {
    if (work_ && work_->is_over()) stock_.put_back(std::move(work_));
  }

 private:
  static const Work& nothing();

  WorkStock& stock_;
  std::unique_ptr<Work> work_;
};

}  // namespace pgweir::session
