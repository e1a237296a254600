// One server connection that listens for many clients (pool.listen: shared): it holds a lease on a connection to the
// primary as long as anybody listens, sends LISTEN and UNLISTEN, and hands each notification to the sessions that
// listen, in the order of arrival. It never loses one silently: when the connection goes, another one listens to the
// same channels, and whoever listens is told that something may be missing.
//
// Every LISTEN and UNLISTEN of a session makes a round trip, even one that changes nothing for the server: the server
// sends what was committed before it reads the next command, so the answer divides what the session hears from what it
// does not, exactly as on a connection of its own.
#pragma once
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"
#include "pool/lease.h"
#include "pool/server_connection.h"
#include "pool/worker_pools.h"
#include "session/listen_books.h"

namespace pgweir::session {

struct Account;
class Worker;

/// Owned by its worker, one per account, on the worker's thread.
class SharedListener final : private pool::ServerUser {
 public:
  SharedListener(Worker& worker, Account& account) : worker_(worker), account_(account) {}
  ~SharedListener();

  /// Whether a client with this client_encoding can be served: a payload is said in one encoding only.
  [[nodiscard]] bool suits(std::string_view encoding) const { return encoding_.empty() || encoding_ == encoding; }
  [[nodiscard]] bool speaks(std::string_view encoding) const { return encoding_ == encoding; }
  [[nodiscard]] bool listens(base::SessionId session) const { return books_.has(session); }
  [[nodiscard]] bool listens(base::SessionId session, std::string_view channel) const {
    return books_.has(session, channel);
  }

  /// The answer comes by `Session::on_listened`, perhaps before this returns. Errors: as WorkerPools::acquire, 57P03
  /// without a primary, 08006 when the connection is lost before it has answered, or what the server says.
  void listen(base::SessionId session, const std::string& channel, std::string_view encoding);
  enum class Answer { expected, none };
  /// An empty channel means all. Only for a session that listens.
  void unlisten(base::SessionId session, const std::string& channel, Answer answer);
  /// The session hears nothing more of it, or of anything (empty), from now on.
  void forget(base::SessionId session, const std::string& channel = {});
  /// The nodes are other ones now; `lost`: have gone down. What another node than the primary says is not what is
  /// notified.
  void on_topology(const std::vector<base::NodeId>& lost);
  /// Looks for another connection, if it needs one. False when it does not.
  [[nodiscard]] bool try_to_listen_again();

 private:
  struct Command {
    enum class Purpose { prepare, again, listen, unlisten, tidy } purpose = Purpose::tidy;
    std::string text;
    std::string channel{};
    base::SessionId session{};  ///< 0: nobody
    Answer answer = Answer::none;
    std::optional<base::Error> error{};
  };

  std::size_t on_server_data(pool::ServerConnection& server, std::string_view bytes) override;
  void on_server_end(pool::ServerConnection& server, std::string_view error) override;
  void on_server_drained(pool::ServerConnection&) override {}
  /// False when the server says what cannot be.
  [[nodiscard]] bool take(const wire::Frame& frame);
  void hand_out(const wire::Frame& notification);
  void finish_command();
  void send(Command command);
  void acquire();
  void on_lease(base::Result<pool::Lease> lease);
  void refuse_all(const base::Error& error);
  void look_again(base::Duration pause);
  void give_back_if_unused();
  void lose(const std::string& why);
  void tell_lost();

  Worker& worker_;
  Account& account_;
  ListenBooks books_;
  std::deque<Command> commands_;  ///< not answered yet; not even sent while there is no lease
  pool::Lease lease_;
  std::optional<pool::WorkerPools::Ticket> ticket_;
  std::string encoding_;     ///< of the first who asked; empty while nobody does
  base::Time not_before_{};  ///< when another connection is looked for
};

/// What a session keeps that listens, or has listened, through a shared connection.
struct Listening {
  explicit Listening(SharedListener& shared) : listener(shared) {}
  SharedListener& listener;
  std::string waiting;                  ///< notifications for the next moment outside a transaction
  std::vector<std::string> unlistened;  ///< channels that UNLISTEN named in this transaction; empty: all
  std::vector<std::string> moved;       ///< channels that LISTEN named in this transaction, on the session's own server
};

}  // namespace pgweir::session
