// One client's life: from its first byte to its last. Owns the client's connection and the leases on server
// connections. Decides nothing about routing (routing/) and knows nothing about pools' limits (pool/); it puts their
// answers to work.
//
//             authenticated            welcomed
//   starting ---------------> welcoming --------> serving --drain--> draining
//       |                         |                  |                  |
//       +-------------------------+--------end-------+------------------+--> finished
//
// The sources, in the order of a statement's way: session.cpp (this life cycle), flows/client_messages.cpp (what the
// client says), flows/plan.cpp (where it runs), flows/dispatch.cpp (leases, and what is sent), flows/replies.cpp (what
// the server answers), flows/retry.cpp (reads that must run again), flows/local.cpp (what pgweir answers itself),
// flows/listen.cpp (notifications for many on one connection).
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "net/connection.h"
#include "net/timer.h"
#include "pool/lease.h"
#include "pool/server_connection.h"
#include "pool/worker_pools.h"
#include "routing/route.h"
#include "session/audit.h"
#include "session/carried_state.h"
#include "session/client_places.h"
#include "session/exchange.h"
#include "session/flows/startup.h"
#include "session/pins.h"
#include "session/prepared_statements.h"
#include "session/reply_queue.h"
#include "session/shared_listener.h"
#include "session/time_limits.h"
#include "session/worker.h"
#include "wire/frame.h"

namespace pgweir::session {

/// Where an exchange is to run, as far as its messages so far tell.
struct Plan {
  routing::NodeClass node_class = routing::NodeClass::standby;
  routing::Reason reason = routing::Reason::local_command;
  std::string node;       ///< for NodeClass::node
  bool decided = false;   ///< some message had a say
  bool wrote = false;     ///< something is not provably a read
  bool executes = false;  ///< something runs, and is not only prepared
  bool has_server_message = false;
};

/// A server connection that the session has, and what ties the session to it.
struct Held {
  base::NodeId node;
  pool::Lease lease;
  Pins pins;
  Audit due = Audit::none;  ///< something was sent that may have changed what `pins` says, or the settings
  bool doubtful =
      false;  ///< the server may have left a transaction open; the next statement, an audit behind it, tells
};

/// Lives on one worker. Destroyed by the worker after `Worker::finished`.
class Session final : private net::Connection::Handler, private pool::ServerUser {
 public:
  Session(Worker& worker, base::SessionId id, int fd);
  ~Session();

  [[nodiscard]] base::SessionId id() const { return id_; }
  /// The client cancels what this session runs, if `secret` is the session's.
  void cancel(std::string_view secret);
  /// The monitor has found this node down: what may run elsewhere does, and idle leases on it are given up.
  void leave_node(base::NodeId node);
  /// Ends when outside a transaction; at once if it is idle now.
  void drain();
  /// Takes what the client has sent in the meantime, if nothing stands against it.
  void resume_client();
  /// Servers whose words had to wait for the end of another's message may speak.
  void redeliver_servers();
  /// The settings have changed: the session's own are other ones now.
  void read_rules();
  /// Does something about what has taken too long.
  void check_times(base::Time now);
  /// Ends now, with a FATAL error to the client.
  void terminate(const base::Error& error);
  // From SharedListener: a LISTEN or UNLISTEN was answered; a NotificationResponse has come; none will come any more.
  void on_listened(base::Result<std::string_view> tag);
  void deliver_notification(std::string_view message);
  void end_listening(const base::Error& error);

 private:
  enum class State : std::uint8_t { starting, welcoming, serving, draining, finished };
  enum class Event : std::uint8_t { authenticated, welcomed, drain, end };
  /// Why no message is taken from the client for now.
  enum class Wait : std::uint8_t {
    none,
    lease,      ///< for a server connection
    listener,   ///< for the answer to a LISTEN or UNLISTEN on a shared connection
    quiet,      ///< for the answers to what is in flight, before going on
    retryable,  ///< for a read that may still have to run again
  };
  enum class Stage : std::uint8_t { none, gathering, open };  ///< of the exchange: open means sent without its Sync
  /// lazy: BEGIN was answered and is not sent yet; failed_here: it never was, because no server could be had.
  enum class Transaction : std::uint8_t { none, lazy, open, failed_here };
  enum class Around : std::uint8_t { simple, extended };  ///< the kind of message that something is injected before

  // session.cpp: the life cycle
  void apply(Event event);
  std::size_t on_data(net::Connection& connection, std::string_view bytes) override;
  void on_end(net::Connection& connection, std::string_view error) override;
  void on_drained(net::Connection& connection) override;
  std::size_t take_startup(std::string_view bytes);
  void on_authenticated();
  void on_welcome_lease(base::Result<pool::Lease> lease);
  void finish_welcome();
  void say_welcome(ParametersPtr parameters);
  void finish(std::string_view why);
  void give_up_leases();
  void end_if_idle();
  [[nodiscard]] bool idle() const;

  // flows/client_messages.cpp
  std::size_t take_messages(std::string_view bytes);
  std::size_t take_one(std::string_view bytes);
  std::size_t take_stream(std::string_view bytes);
  std::size_t take_query(const wire::Frame& frame, std::string_view bytes);
  std::size_t take_function_call(const wire::Frame& frame, std::string_view bytes);
  std::size_t take_copy(const wire::Frame& frame, std::string_view bytes);
  std::size_t take_extended(const wire::Frame& frame, std::string_view bytes);
  [[nodiscard]] bool may_take_message() const;
  void check_server_takes(pool::ServerConnection& server);
  void begin_exchange();
  void pass_gathered_to_copy(pool::ServerConnection& server);
  std::size_t pass_whole(GatheredMessage message, const wire::Frame& frame, std::string_view bytes);
  std::size_t pass_or_gather(GatheredMessage message, const wire::Frame& frame, std::string_view bytes);
  [[nodiscard]] bool describe_message(const wire::Frame& frame, GatheredMessage& message);
  void note_message(GatheredMessage& message, const wire::Frame& frame);
  std::size_t discard(const wire::Frame& frame);
  void note_wrote(pool::ServerConnection& server);
  std::size_t refuse_statement(const wire::Frame& frame);
  std::size_t refuse_transaction(const wire::Frame& frame);
  void stream_rest(const wire::Frame& frame, pool::ServerConnection* server);
  void violation(std::string_view what);
  void wait_for(Wait wait);
  void go_on();
  void update_client_reading();

  // flows/plan.cpp
  [[nodiscard]] routing::SessionFacts facts() const;
  [[nodiscard]] const routing::Catalog* catalog() const;
  void plan_statement(const sql::Classified& query);
  void plan_primary(routing::Reason reason);
  [[nodiscard]] bool must_stay_on_primary() const {
    return plan_.decided && plan_.node_class != routing::NodeClass::standby;
  }
  [[nodiscard]] EffectsPtr effects_for(const sql::Classified& query, std::string_view text) const;
  [[nodiscard]] bool refused_by_mode(const sql::QueryFacts& facts) const;

  // flows/dispatch.cpp
  void dispatch();
  void dispatch_to(base::NodeId node, routing::Reason reason);
  void on_lease(base::NodeId node, base::Result<pool::Lease> lease);
  void send_exchange(pool::ServerConnection& server);
  void send_message(pool::ServerConnection& server, const GatheredMessage& message, std::string_view bytes);
  void push_expected(pool::ServerConnection& server, const GatheredMessage& message);
  void send_lazy_begin(pool::ServerConnection& server);
  void fail_exchange(const base::Error& error);
  void finish_local_exchange();
  void answer_known();
  [[nodiscard]] Held* held(base::NodeId node);
  [[nodiscard]] const Held* held(base::NodeId node) const;
  [[nodiscard]] pool::ServerConnection* leased(base::NodeId node) const;
  [[nodiscard]] routing::Choice choose_reader();
  [[nodiscard]] pool::ServerConnection& adopt_lease(pool::Lease lease);
  [[nodiscard]] base::Error no_primary() const;
  void count_and_log(base::NodeId node);
  void count_reads(base::NodeId node, const GatheredMessage& message);

  // flows/prepare.cpp
  [[nodiscard]] bool shares_servers() const { return mode_ != config::PoolMode::session; }
  struct Place {
    std::string name;  ///< on the server
    pool::StatementKey key;
    bool there = false;
  };
  [[nodiscard]] Place place_on(pool::ServerConnection& server, const PreparedStatement& statement) const;
  void send_parse(pool::ServerConnection& server, const GatheredMessage& message, std::string_view bytes);
  void send_naming(pool::ServerConnection& server, const GatheredMessage& message, std::string_view bytes);
  void send_close(pool::ServerConnection& server, const GatheredMessage& message, std::string_view bytes);
  void send_renamed(pool::ServerConnection& server, const GatheredMessage& message, std::string_view bytes,
                    std::string_view name);
  void note_parsed(PreparedStatement& statement) const;
  [[nodiscard]] pool::StatementKey key_of(const PreparedStatement& statement) const;
  [[nodiscard]] bool is_known(const Exchange& exchange) const;
  [[nodiscard]] bool must_see_parse_first(const Exchange& exchange) const;
  void prepare_as_parsed(pool::ServerConnection& server, const Exchange& exchange);
  void ensure_named_in(pool::ServerConnection& server, const sql::QueryFacts& facts, Around around);
  void ensure_own_name(pool::ServerConnection& server, const std::string& name, Around around);
  void ensure_present(pool::ServerConnection& server, const Place& place, const PreparedStatement& wanted,
                      Around around);
  void ensure_absent(pool::ServerConnection& server, std::string_view name, Around around);
  void show_own_statements(pool::ServerConnection& server);
  void add_to_books(pool::ServerConnection& server, const Place& place, const PreparedStatement& statement);
  void note_prepared(pool::ServerConnection& server, const Place& place, const PreparedStatement& statement);
  void forget_prepared(pool::ServerConnection& server, const GatheredMessage& message);
  void inject_close(pool::ServerConnection& server, std::string_view name);
  void inject_parse(pool::ServerConnection& server, const Place& place, const PreparedStatement& wanted);
  void inject_sql_prepare(pool::ServerConnection& server, const Place& place, const PreparedStatement& wanted);
  void inject_query(pool::ServerConnection& server, std::string_view text, Purpose purpose);
  void inject_sync(pool::ServerConnection& server);
  void undo_on_server(pool::ServerConnection& server);

  // flows/carry.cpp
  void collect_names(const GatheredMessage& message, std::string_view bytes);
  [[nodiscard]] bool settings_hold(pool::ServerConnection& server);
  [[nodiscard]] bool suits(const pool::ServerConnection& server) const;
  [[nodiscard]] bool asks_for_sequence() const;
  void hide_sequences(pool::ServerConnection& server);
  void note_custom(pool::ServerConnection& server) const;
  void note_resets(const Effect& effect);
  [[nodiscard]] bool restore_beginning(pool::ServerConnection& server);
  void tell_parameters(pool::ServerConnection& server);
  void tell_parameter(std::string_view name, std::string_view value);
  void note_due(pool::ServerConnection& server, const EffectsPtr& effects);
  void note_due(pool::ServerConnection& server, Audit audit);
  void unsettle();
  void start_audit(Held& there);
  void finish_audit(pool::ServerConnection& server);
  void pin(pool::ServerConnection& server, PinReason reason);
  void publish_pins() const;
  [[nodiscard]] bool is_pinned(base::NodeId node) const;
  [[nodiscard]] bool is_pinned() const;
  [[nodiscard]] bool is_pinned_for(PinReason reason) const;
  [[nodiscard]] bool audit_is_due() const;
  void settle();
  void release_leases();

  // flows/replies.cpp
  std::size_t on_server_data(pool::ServerConnection& server, std::string_view bytes) override;
  void on_server_end(pool::ServerConnection& server, std::string_view error) override;
  void on_server_drained(pool::ServerConnection& server) override;
  bool take_reply(pool::ServerConnection& server, const wire::Frame& frame);
  bool take_asynchronous(pool::ServerConnection& server, const wire::Frame& frame);
  bool pass_own_notification(const pool::ServerConnection& server, const wire::Frame& frame);
  bool on_complete(pool::ServerConnection& server, const Expected& entry, const wire::Frame& frame);
  void on_part(pool::ServerConnection& server, const wire::Frame& frame);
  bool on_ready(pool::ServerConnection& server, const Expected& entry, const wire::Frame& frame);
  void on_swallowed_ready(pool::ServerConnection& server, const Expected& entry);
  void after_ready();
  void on_error(pool::ServerConnection& server, const wire::Frame& frame, const ReplyQueue::Taken& taken);
  [[nodiscard]] bool on_swallowed_error(pool::ServerConnection& server, const wire::Frame& frame);
  [[nodiscard]] bool forward_error(const wire::Frame& frame);
  [[nodiscard]] std::string own_words(const wire::Frame& frame) const;
  void fail_exchange_for_settings();
  void settings_lost();
  void on_transaction_end();
  void apply_effect(pool::ServerConnection& server, const Effects& effects, std::size_t index, std::string_view tag);
  void emit_synthesised();
  void write_client(std::string_view bytes);
  void lose_server(pool::ServerConnection& server);
  [[nodiscard]] bool client_is_mid_message_for_other(const pool::ServerConnection& server) const;
  void release_held_servers();
  void out_of_step(pool::ServerConnection& server, std::string_view what);
  void check_client_takes();

  // flows/retry.cpp
  [[nodiscard]] bool on_probation() const { return wait_ == Wait::retryable && !retrying_; }
  [[nodiscard]] bool can_heal(const wire::Frame& error, const ReplyQueue::Taken& taken) const;
  void start_healing(pool::ServerConnection& server);
  void begin_probation();
  void end_probation();
  [[nodiscard]] bool should_retry(const wire::Frame& error);
  void start_retry(pool::ServerConnection* server);
  void finish_retry();

  // flows/times.cpp
  [[nodiscard]] Doing doing() const;
  void cancel_on_server(pool::ServerConnection& server);
  void forward_cancelled(const wire::Frame& error);

  // flows/listen.cpp
  [[nodiscard]] const sql::StatementFacts* gathered_listen() const;
  [[nodiscard]] bool listen_shared();
  void answer_listen(std::string_view tag);
  [[nodiscard]] bool may_hear() const;
  void flush_notifications();
  void note_listening(const Effect& effect, std::string_view tag);
  void settle_listening(bool failed);

  // flows/local.cpp
  [[nodiscard]] bool is_local(const sql::Classified& query) const;
  [[nodiscard]] bool answer_locally(const sql::Classified& query, std::string_view text, std::string& reply);
  [[nodiscard]] bool begin_lazily(const sql::StatementFacts& statement, std::string_view text, std::string& reply);
  [[nodiscard]] bool end_without_server(const sql::StatementFacts& statement, std::string& reply);
  [[nodiscard]] LocalTable run_local(const sql::Classified& query, std::string_view text);
  [[nodiscard]] std::vector<std::string_view> local_columns(const sql::Classified& query) const;
  [[nodiscard]] LocalTable explain_route(std::string_view inner);
  void synthesise(GatheredMessage& message, const wire::Frame& frame);
  void reply_ready();
  void reply_error(const base::Error& error);
  [[nodiscard]] wire::TransactionStatus client_status() const;
  [[nodiscard]] StatementPtr portal(std::string_view name) const;
  void define_portal(std::string_view name, StatementPtr statement);

  Worker& worker_;
  const base::SessionId id_;
  std::string secret_;
  net::Connection client_;
  std::string peer_;
  State state_ = State::starting;
  std::unique_ptr<StartupFlow> startup_;
  std::unique_ptr<net::Timer> login_timer_;
  ClientPlaces::Place place_;
  const config::Pool* rules_ = nullptr;  ///< of this user in this database; null before the welcome
  TimeLimits times_;

  Account* account_ = nullptr;  ///< the worker's; from the login on
  config::PoolMode mode_ = config::PoolMode::session;
  pool::StartupClass startup_class_;
  std::string welcome_key_;  ///< while welcoming
  ParametersPtr told_;       ///< what the client was told of parameters; replaced when it changes
  std::uint64_t told_hash_ = 0;
  bool unsafe_encoding_ = false;

  std::vector<Held> leases_;
  pool::ServerConnection* current_ = nullptr;  ///< the one that owes what is in the queue
  std::optional<pool::WorkerPools::Ticket> ticket_;
  std::optional<base::NodeId> session_reader_;  ///< routing.balance: session
  std::optional<base::NodeId> last_read_node_;

  Wait wait_ = Wait::none;
  bool in_client_data_ = false;
  bool client_held_ = false;                ///< reading is paused because the session waits and bytes were left over
  bool server_full_ = false;                ///< reading is paused because the server does not take bytes
  bool client_full_ = false;                ///< no message is taken: the client does not take its answers
  bool queue_full_ = false;                 ///< no message is taken: too much is owed
  std::unique_ptr<net::Timer> gone_timer_;  ///< runs when the client has said its last word but may still listen
  static constexpr std::size_t kMostOwed = 8192;  ///< answers in flight per session
  std::size_t stream_left_ = 0;  ///< bytes of the client's current message that are passed on as they come
  pool::ServerConnection* stream_to_ = nullptr;  ///< null: thrown away
  bool skip_to_sync_ = false;  ///< after an error that pgweir itself has reported in the extended protocol

  Stage stage_ = Stage::none;
  Exchange exchange_;
  Plan plan_;
  std::optional<base::NodeId> chosen_;  ///< where the exchange runs that waits for its settings to be made there
  PreparedStatements prepared_;
  std::vector<std::pair<std::string, StatementPtr>> portals_;
  ReplyQueue queue_;
  bool servers_held_ = false;    ///< others than the current server wait for the end of its message
  std::size_t query_index_ = 0;  ///< statements of the current Query that are complete
  bool exchange_error_ = false;
  bool fatal_forwarded_ = false;
  std::vector<Expected> dropped_;

  Transaction transaction_ = Transaction::none;
  base::NodeId transaction_node_;
  std::string lazy_begin_;
  sql::StatementFacts lazy_facts_;
  bool wrote_ = false;  ///< since the last time the queue was empty
  bool transaction_wrote_ = false;
  bool catalog_changed_ = false;
  base::Time last_write_{};  ///< when the last write was acknowledged
  CarriedState carried_;
  /// Not 0 while statements are under way that may change the settings, or an audit of them is due: a number of its
  /// own.
  std::uint64_t unsettled_ = 0;
  std::uint32_t unsettled_times_ = 0;
  bool solitary_ = false;            ///< the exchange just sent must be answered before anything else is sent
  std::vector<std::string> resets_;  ///< settings that a server has set back further than to the session's beginning
  std::optional<wire::TransactionStatus> held_ready_;  ///< ReadyForQuery that the client gets when they are restored
  std::optional<base::Error> settings_error_;          ///< the server refused the session's settings
  std::vector<std::string> custom_names_;              ///< names of settings that texts of unknown effect mention
  std::unique_ptr<AuditReader> audit_;                 ///< while one is under way
  std::unique_ptr<Listening> listening_;               ///< null unless it has listened through a shared connection

  bool retry_begins_ = false;                 ///< the exchange on probation is the first of a transaction
  bool healed_ = false;                       ///< the exchange that is being sent runs again: it is not healed twice
  bool healable_ = false;                     ///< nothing of the answer has come yet, and the exchange is kept
  std::optional<base::NodeId> healing_;       ///< where the exchange will run again, with its statements prepared anew
  bool retrying_ = false;                     ///< the answers of the first try are being swallowed
  std::string held_;                          ///< beginning of an answer that the client has not seen yet
  std::vector<std::uint16_t> local_formats_;  ///< of the result, as the last Bind of a local statement said
};

}  // namespace pgweir::session
