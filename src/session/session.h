// One client's life: from its first byte to its last. Owns the client's connection and the leases on server
// connections. Decides nothing about routing (routing/) and knows nothing about pools' limits (pool/); it puts their
// answers to work.
//
//             authenticated            welcomed
//   starting ---------------> welcoming --------> serving --drain--> draining
//       |                         |                  |                  |
//       +-------------------------+--------end-------+------------------+--> finished
//
// The sources, in the order of a statement's way: session.cpp (this life cycle), flows/client_messages.cpp and
// flows/extended.cpp (what the client says), flows/execution.cpp (the same for what most drivers say, as a whole, and
// its answer), flows/plan.cpp (where it runs), flows/acquire.cpp (by which connection), flows/dispatch.cpp (what is
// sent, through flows/server_writer.h), flows/replies.cpp and flows/completed.cpp (what the server answers),
// flows/errors.cpp (what goes wrong), flows/lost.cpp (servers that go), flows/hold.cpp (nodes that are away),
// flows/freshness.cpp (nodes that lag behind),
// flows/retry.cpp (what must run again), flows/carry.cpp (what goes with the
// session to another server), flows/pins.cpp (what cannot, and when a connection goes back), flows/local.cpp (what
// pgweir answers itself), flows/console_session.cpp (the admin database), flows/refuse.cpp (what it does not allow),
// flows/listen.cpp (notifications for many on one connection), flows/listen_again.cpp (when a connection that listens
// is lost), flows/times.cpp.
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "net/address.h"
#include "net/connection.h"
#include "net/timer.h"
#include "pool/lease.h"
#include "pool/server_connection.h"
#include "routing/route.h"
#include "session/carried_state.h"
#include "session/client_places.h"
#include "session/flows/console.h"
#include "session/flows/server_writer.h"
#include "session/flows/startup.h"
#include "session/prepared_statements.h"
#include "session/shared_listener.h"
#include "session/time_limits.h"
#include "session/work.h"
#include "session/worker.h"
#include "wire/frame.h"

namespace pgweir::session {

/// Lives on one worker. Destroyed by the worker after `Worker::finished`.
class Session final : private net::Connection::Handler, private pool::ServerUser {
 public:
  Session(Worker& worker, base::SessionId id, int fd, const net::PeerAddress& peer);
  ~Session();

  [[nodiscard]] base::SessionId id() const { return id_; }
  /// Takes what the client may have said already.
  void start();
  /// The client cancels what this session runs, if `secret` is the session's.
  void cancel(std::string_view secret);
  /// The nodes are other ones now. `lost`: those that have gone down, whose connections are given up although nothing
  /// may have come on them that says so; `demoted`: it was the primary, and another node is now.
  void on_topology(const std::vector<base::NodeId>& lost, std::optional<base::NodeId> demoted);
  /// Held: what it waits for may be there. Nothing for others.
  void try_again();
  /// Held: it may have waited for long enough.
  void check_hold(base::Time now);
  /// Something that may write is under way on that node.
  [[nodiscard]] bool may_be_writing(base::NodeId node) const;
  /// Ends when outside a transaction; at once if it is idle now.
  void drain();
  /// A question of the login that took time has an answer: `give` hands it to the flow. Ignored when the login is over.
  void answer_login(const std::function<void(StartupFlow&, base::ByteQueue&)>& give);
  /// A command of the admin database has been carried out. Ignored unless it is the one that is waited for.
  void answer_console(std::uint32_t number, base::Result<LocalTable> result);
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
  // From SharedListener: a LISTEN or UNLISTEN was answered; a NotificationResponse has come; none will come any more;
  // some may be missing.
  void on_listened(base::Result<std::string_view> tag);
  void deliver_notification(std::string_view message);
  void end_listening(const base::Error& error);
  void notifications_lost();
  /// A server connection that listened for it was lost: it looks for another one. False when there is nothing to do any
  /// more.
  [[nodiscard]] bool try_to_listen_again();

 private:
  enum class State : std::uint8_t { starting, welcoming, serving, draining, finished };
  enum class Event : std::uint8_t { authenticated, welcomed, drain, end };
  /// Until the client is served.
  struct Login {
    Login(std::shared_ptr<const ClientAuth> auth, const net::PeerAddress& peer, std::uint16_t newest_minor,
          net::Loop& loop, std::function<void()> on_timeout)
        : flow(std::move(auth), auth::Address::from_network(peer.ip()), newest_minor),
          timeout(loop, std::move(on_timeout)) {}
    StartupFlow flow;
    net::Timer timeout;
    std::unique_ptr<net::Timer> pause;  ///< its turn has not come, or the client does not hear yet that it has failed
    bool is_direct = false;             ///< it has begun with TLS, without asking for it
    std::shared_ptr<Beginning> beginning;  ///< from the proof of who it is on
  };
  /// What a cancel request must know (backend/utils/init/globals.c, MAX_CANCEL_KEY_LENGTH).
  struct Secret {
    std::array<char, 32> bytes{};
    std::uint8_t size = 0;
    [[nodiscard]] std::string_view view() const { return {bytes.data(), size}; }
  };

  // session.cpp: the life cycle
  void apply(Event event);
  std::size_t on_data(net::Connection& connection, std::string_view bytes) override;
  void on_end(net::Connection& connection, std::string_view error) override;
  void on_drained(net::Connection& connection) override;
  void on_secured(net::Connection& connection) override;
  [[nodiscard]] bool begins_with_tls(std::string_view bytes);
  void log_connected() const;
  void log_failed_handshake(std::string_view error) const;
  std::size_t take_bytes(std::string_view bytes);
  std::size_t take_startup(std::string_view bytes);
  [[nodiscard]] bool answer_login_question();
  // flows/login.cpp: the questions of a login; false when the answer comes later
  [[nodiscard]] bool find_secret();
  [[nodiscard]] bool find_turn();
  [[nodiscard]] bool check_password_elsewhere();
  void note_login();
  void hold_failed_login();
  void on_login_progress();
  void log_failed_login() const;
  void on_authenticated();
  void make_secret();
  void begin_as(const wire::StartupMessage& message);
  void ask_for_welcome();
  void on_welcome_lease(base::Result<pool::Lease> lease);
  void finish_welcome();
  void say_welcome(const WelcomePtr& welcome);
  void finish(std::string_view why);
  void give_up_leases();
  void end_if_idle();
  void end_if_server_waits(std::string_view unread);

  // flows/console_session.cpp: in the admin database
  void enter_console();
  std::size_t take_console(std::string_view bytes);
  bool run_console();
  void cancel_console();

  // flows/client_messages.cpp
  std::size_t take_messages(std::string_view bytes);
  std::size_t take_one(std::string_view bytes);
  std::size_t take_stream(std::string_view bytes);
  std::size_t take_query(const wire::Frame& frame, std::string_view bytes);
  std::size_t take_function_call(const wire::Frame& frame, std::string_view bytes);
  std::size_t take_copy(const wire::Frame& frame, std::string_view bytes);
  [[nodiscard]] bool may_take_message() const;
  void check_server_takes(pool::ServerConnection& server);
  void begin_exchange();
  void end_open_exchange();
  void pass_gathered_to_copy(pool::ServerConnection& server);
  void pass_gathered_behind_copy(pool::ServerConnection& server);
  void take_more_for_copy();
  void await_sync(pool::ServerConnection& server);
  std::size_t pass_whole(GatheredMessage&& message, const wire::Frame& frame, std::string_view bytes);
  std::size_t discard(const wire::Frame& frame);
  void note_wrote(pool::ServerConnection& server);
  void stream_rest(const wire::Frame& frame, pool::ServerConnection* server);
  void violation(std::string_view what);
  void go_on();
  void update_client_reading();

  // flows/extended.cpp
  std::size_t take_extended(const wire::Frame& frame, std::string_view bytes);
  std::size_t pass_or_gather(GatheredMessage&& message, const wire::Frame& frame, std::string_view bytes);
  std::size_t pass_to_open_exchange(const GatheredMessage& message, const wire::Frame& frame, std::string_view bytes);
  [[nodiscard]] bool describe_message(const wire::Frame& frame, GatheredMessage& message);
  void note_message(GatheredMessage& message, const wire::Frame& frame);
  void note_names(GatheredMessage& message, const sql::QueryFacts& facts);
  void note_deallocate(GatheredMessage& message);
  void plan_message(GatheredMessage& message);
  [[nodiscard]] bool may_parse_anew() const;
  [[nodiscard]] bool is_ready_to_send(char type, const wire::Frame& frame) const;

  // flows/execution.cpp
  std::size_t take_execution(char type, std::string_view bytes);
  [[nodiscard]] std::optional<std::size_t> find_whole_answer(const pool::ServerConnection& server,
                                                             std::string_view bytes, wire::Frame& ready);
  bool complete_whole(pool::ServerConnection& server, const wire::Frame& ready);

  // flows/plan.cpp
  [[nodiscard]] routing::SessionFacts facts() const;
  [[nodiscard]] const routing::Catalog* catalog() const;
  void note_catalog_change(const EffectsPtr& effects);
  void plan_statement(const sql::Classified& query);
  void plan_primary(routing::Reason reason);
  [[nodiscard]] bool only_reads() const;
  [[nodiscard]] bool is_ordinary_here(const sql::Classified& query) const;
  [[nodiscard]] EffectsPtr effects_for(const sql::Classified& query, std::string_view text) const;

  // flows/refuse.cpp
  [[nodiscard]] std::optional<base::Error> refusal(const sql::QueryFacts& facts, const wire::Frame& frame) const;
  [[nodiscard]] base::Error statement_too_long(std::size_t size) const;
  std::size_t refuse(const wire::Frame& frame, const base::Error& error);
  void refuse_query(const base::Error& error);
  void refuse_on_server(char type, const base::Error& error);
  [[nodiscard]] bool forward_refusal(const Expected& entry, const wire::Frame& error);

  // flows/dispatch.cpp
  void dispatch();
  [[nodiscard]] bool asks_before();
  void send_exchange(pool::ServerConnection& server);
  [[nodiscard]] bool may_run_elsewhere(const pool::ServerConnection& server);
  void send_message(ServerWriter& to, pool::ServerConnection& server, const GatheredMessage& message,
                    std::string_view bytes);
  void send_lazy_begin(pool::ServerConnection& server);
  void fail_exchange(const base::Error& error);
  void finish_local_exchange();
  [[nodiscard]] bool is_known(const Exchange& exchange) const;
  void answer_known();
  [[nodiscard]] ServerWriter writer(pool::ServerConnection& server);
  [[nodiscard]] bool shares_servers() const { return mode_ != config::PoolMode::session; }
  void count_and_log(base::NodeId node);
  void count_reads(base::NodeId node, const sql::CachedFacts& query);

  // flows/acquire.cpp
  [[nodiscard]] routing::Choice choose_reader();
  void dispatch_to(base::NodeId node, routing::Reason reason);
  void dispatch_to_primary(base::NodeId primary);
  [[nodiscard]] bool send_on_idle(base::NodeId node);
  [[nodiscard]] bool open_for_exchange(base::NodeId node);
  [[nodiscard]] std::function<void(base::Result<pool::Lease>)> lease_taker(base::NodeId node);
  void cancel_tickets();
  void on_lease(base::NodeId node, base::Result<pool::Lease> lease);
  void send_on(pool::Lease lease);
  [[nodiscard]] pool::ServerConnection& adopt_lease(pool::Lease lease);
  [[nodiscard]] static bool is_away(const base::Error& error);
  [[nodiscard]] base::Error no_primary() const;
  [[nodiscard]] base::Error nobody_for_reads() const;
  [[nodiscard]] base::Error writes_paused() const;
  [[nodiscard]] std::string nodes_text() const;
  [[nodiscard]] routing::Choice avoid_failing(routing::Choice choice);

  // flows/freshness.cpp
  [[nodiscard]] config::Consistency consistency() const;
  [[nodiscard]] routing::Wanted freshness_wanted() const;
  void note_seen(base::NodeId node);
  void note_write(base::Time when);
  void forget_seen_on(base::NodeId node);
  [[nodiscard]] bool waits_for_freshness();

  // flows/hold.cpp
  void hold(base::Error reason);
  void hold_for_freshness();
  void hold_after_failure(base::Error reason);
  void end_hold();
  void fail_hold(base::Error error);
  [[nodiscard]] bool waits_for_pause() const;
  void leave_for_pause();

  // flows/replies.cpp
  std::size_t on_server_data(pool::ServerConnection& server, std::string_view bytes) override;
  std::size_t take_replies(pool::ServerConnection& server, std::string_view bytes);
  void on_server_drained(pool::ServerConnection& server) override;
  [[nodiscard]] bool joins_run(const pool::ServerConnection& server, char type) const;
  bool take_reply(pool::ServerConnection& server, const wire::Frame& frame);
  bool take_asynchronous(pool::ServerConnection& server, const wire::Frame& frame);
  bool pass_own_notification(const pool::ServerConnection& server, const wire::Frame& frame);
  void on_part(pool::ServerConnection& server, const wire::Frame& frame);
  void emit_synthesised();
  void write_client(std::string_view bytes);
  [[nodiscard]] bool client_is_mid_message() const;
  [[nodiscard]] bool client_is_mid_message_for_other(const pool::ServerConnection& server) const;
  void release_held_servers();
  void check_client_takes();

  // flows/completed.cpp
  bool on_complete(pool::ServerConnection& server, const Expected& entry, const wire::Frame& frame);
  bool on_ready(pool::ServerConnection& server, const Expected& entry, const wire::Frame& frame);
  void on_swallowed_ready(pool::ServerConnection& server, const Expected& entry);
  void after_ready();
  void on_transaction_end(base::NodeId node);
  void apply_effect(pool::ServerConnection& server, const Effects& effects, std::size_t index, std::string_view tag);
  void apply_prepared_effect(pool::ServerConnection& server, const Effect& effect);

  // flows/errors.cpp
  bool on_error_reply(pool::ServerConnection& server, const wire::Frame& frame, const ReplyQueue::Taken& taken,
                      Action action);
  void on_error(pool::ServerConnection& server, const wire::Frame& frame, const ReplyQueue::Taken& taken);
  [[nodiscard]] bool on_swallowed_error(pool::ServerConnection& server, const wire::Frame& frame);
  [[nodiscard]] bool forward_error(const wire::Frame& frame);
  [[nodiscard]] std::string own_words(const wire::Frame& frame) const;
  void fail_exchange_for_settings();
  void out_of_step(pool::ServerConnection& server, std::string_view what);

  // flows/lost.cpp
  void on_server_end(pool::ServerConnection& server, std::string_view error) override;
  void on_last_words(pool::ServerConnection& server, const wire::Frame& error);
  void leave(pool::ServerConnection& server, std::string_view error);
  [[nodiscard]] bool ends_with(pool::ServerConnection& server, const std::string& last_words);
  [[nodiscard]] bool has_only_prepared() const;
  [[nodiscard]] bool runs_again(const pool::ServerConnection& server, base::Sqlstate words);
  void run_again_elsewhere(base::NodeId lost);
  void answer_lost(base::NodeId node, const std::string& words, bool is_open);
  void forget_unanswered(const Expected& entry);
  void forget_lost_exchange(bool is_open);
  void note_untold(base::NodeId node, const std::string& words, bool in_transaction, Pins pins);
  void tell_untold();
  [[nodiscard]] base::Error lost_error(base::NodeId node, const std::string& words, bool in_doubt,
                                       bool in_transaction) const;
  void lose_server(pool::ServerConnection& server);

  // flows/retry.cpp
  [[nodiscard]] bool can_heal(const wire::Frame& error, const ReplyQueue::Taken& taken) const;
  void start_healing(pool::ServerConnection& server);
  void begin_probation();
  void end_probation();
  [[nodiscard]] bool should_retry(base::NodeId refused_by, const wire::Frame& error);
  void start_retry(pool::ServerConnection& server);
  void finish_retry();

  // flows/carry.cpp
  [[nodiscard]] bool settings_hold(pool::ServerConnection& server);
  [[nodiscard]] pool::SettingsPtr settings_wanted() const;
  [[nodiscard]] bool makes_settings_again(pool::ServerConnection& server, std::string_view sqlstate);
  [[nodiscard]] bool sets_temp_buffers() const;
  [[nodiscard]] bool suits(const pool::ServerConnection& server) const;
  [[nodiscard]] bool asks_for_sequence() const;
  void hide_sequences(pool::ServerConnection& server);
  void note_resets(const Effect& effect);
  [[nodiscard]] bool restore_beginning(pool::ServerConnection& server);
  void tell_parameters(pool::ServerConnection& server);
  void tell_parameter(std::string_view name, std::string_view value);

  // flows/pins.cpp
  void start_audit(Held& there);
  void finish_audit(pool::ServerConnection& server);
  void pin(pool::ServerConnection& server, PinReason reason);
  void doubt(pool::ServerConnection& server);
  void publish_pins();
  void settle();
  void release_leases();

  // flows/times.cpp
  [[nodiscard]] Doing doing() const;
  void cancel_on_server(pool::ServerConnection& server);
  void forward_cancelled(const wire::Frame& error);

  // flows/listen.cpp
  [[nodiscard]] const sql::StatementFacts* gathered_listen() const;
  [[nodiscard]] bool listen_shared();
  void answer_listen(std::string_view tag);
  void hear(std::string_view message);
  [[nodiscard]] bool may_hear() const;
  void flush_notifications();
  void note_listening(const Effect& effect, std::string_view tag);
  void settle_listening(bool failed);

  // flows/listen_again.cpp
  void note_unheard(Held& there);
  void cancel_unheard_ticket();
  [[nodiscard]] bool may_listen_again(const pool::ServerConnection& server) const;
  void say_listen_again(pool::ServerConnection& server);
  void on_listening_lease(base::Result<pool::Lease> lease);
  void listen_again_alone(pool::ServerConnection& server);
  void listening_refused(pool::ServerConnection& server);
  void say_unheard();
  [[nodiscard]] static base::Error lost_notifications();

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
  State state_ = State::starting;
  config::PoolMode mode_ = config::PoolMode::session;
  bool unsafe_encoding_ = false;
  bool in_client_data_ = false;
  bool client_held_ = false;  ///< reading is paused because the session waits and bytes were left over
  bool server_full_ = false;  ///< reading is paused because the server does not take bytes
  bool client_full_ = false;  ///< no message is taken: the client does not take its answers
  bool queue_full_ = false;   ///< no message is taken: too much is owed
  bool pins_are_shown_ = false;
  Secret secret_;
  net::Connection client_;
  const net::PeerAddress peer_;
  std::unique_ptr<Login> login_;
  ClientPlaces::Place place_;

  // From the login on.
  Account* account_ = nullptr;           ///< the worker's
  const config::Pool* rules_ = nullptr;  ///< of this user in this database; null before the welcome
  std::shared_ptr<const pool::StartupClass> startup_class_;
  ParametersPtr told_;  ///< what the client was told of parameters; replaced when it changes
  std::uint64_t told_hash_ = 0;
  std::optional<config::Consistency> began_with_;  ///< by its start-up message, where `carried_` does not know of it
  CarriedState carried_;
  PreparedStatements prepared_;
  std::unique_ptr<Listening> listening_;  ///< null unless it has listened through a shared connection

  LentWork work_;
  TimeLimits times_;
  base::Time last_write_{};                     ///< when the last write was acknowledged
  base::Time seen_{};                           ///< when it last read or wrote
  std::optional<base::NodeId> seen_on_;         ///< where, if that node has been there since
  base::Time primary_reads_since_{};            ///< its reads have gone there for freshness alone; zero: they do not
  std::optional<base::NodeId> session_reader_;  ///< routing.balance: session
  std::optional<base::NodeId> last_read_node_;
  /// In the admin database: then it has no account, and leases nothing.
  struct Console {
    ConsoleFlow flow;
    std::uint32_t asked = 0;  ///< commands so far: an answer to an older one is dropped
  };
  std::unique_ptr<Console> console_;
  std::unique_ptr<net::Timer> gone_timer_;  ///< runs when the client has said its last word but may still listen
};

}  // namespace pgweir::session
