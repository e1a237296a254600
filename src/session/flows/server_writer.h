// What goes to a server on a session's behalf: the client's messages, and in front of them what they take for granted
// there. Each one enters the reply queue, and the books of the server connection are kept. Says nothing to the client.
//
// Prepared statements (flows/prepare.cpp): on servers that other sessions use too, what the client calls by its own
// names is there under a name made of its content, or is put there first, with messages whose answers the client does
// not see. Names that SQL speaks of (EXECUTE, DEALLOCATE) and the unnamed statement are made to mean what this client
// means by them.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "pool/server_connection.h"
#include "routing/catalog.h"
#include "session/carried_state.h"
#include "session/exchange.h"
#include "session/prepared_statements.h"
#include "session/reply_queue.h"
#include "session/time_limits.h"
#include "session/work.h"

namespace pgweir::session {

class Worker;

/// Put together where it is used; refers to the session's parts and to one server connection that it holds.
class ServerWriter {
 public:
  enum class Sharing : std::uint8_t { alone, shared };  ///< whether other sessions use the connection afterwards
  struct Of {
    Worker& worker;
    const routing::Catalog* catalog;  ///< null while there is none that counts
    base::SessionId session;
    Sharing sharing;
    PreparedStatements& prepared;
    const CarriedState& carried;
    TimeLimits& times;
    Work& work;
  };
  ServerWriter(const Of& of, pool::ServerConnection& server) : of_(of), work_(of.work), server_(server) {}

  /// A message of the client's that is not `local`.
  void send(const GatheredMessage& message, std::string_view bytes);
  /// An exchange in one piece. False when nothing was sent: it has to go message by message.
  [[nodiscard]] bool send_execution(const Exchange& exchange);
  /// A query of pgweir's own.
  void query(std::string_view text, Purpose purpose);
  /// Before an exchange: statements that this server has not got, and that were parsed under other settings than those
  /// of now, are parsed under the old ones: constants in them must not change.
  void prepare_as_parsed();
  /// Something in the exchange takes for granted what has been sent and not been answered yet: if the server refuses or
  /// skips that, the exchange would fail for want of it.
  [[nodiscard]] bool depends_on_unanswered(const Exchange& exchange) const;
  /// Something in the exchange needs that.
  [[nodiscard]] bool must_be_parsed_anew(const Exchange& exchange) const;
  /// What the message runs is closed on the server, so that it is prepared again.
  void forget(const GatheredMessage& message);
  /// PREPARE has succeeded.
  void prepared_by_sql(const PreparedStatement& statement);
  /// DEALLOCATE has succeeded; `name` empty: ALL.
  void deallocated(std::string_view name);
  /// What the books say of the messages in `Work::dropped` is taken back, last first: the server has skipped them.
  void undo_dropped();
  /// The session has made settings here that stay known for as long as the connection lives.
  void note_custom();

 private:
  enum class Around : std::uint8_t { simple, extended };  ///< the kind of message that something is put before

  // server_writer.cpp
  void pass(const GatheredMessage& message, std::string_view bytes);
  void expect_answer(const GatheredMessage& message);
  void note_due(const Effects& effects);
  void may_hold_more();
  void note_lasting(const routing::LastingEffects& effects);
  void unsettle();
  void collect_names(const GatheredMessage& message, std::string_view bytes);
  void sync();

  // prepare.cpp
  [[nodiscard]] Place place_of(const PreparedStatement& statement) const;
  [[nodiscard]] Place place_under_own_name(const PreparedStatement& statement) const;
  [[nodiscard]] bool takes_for_granted(const GatheredMessage& message, const Exchange& exchange) const;
  void send_parse(const GatheredMessage& message, std::string_view bytes);
  void send_naming(const GatheredMessage& message, std::string_view bytes);
  void send_close(const GatheredMessage& message, std::string_view bytes);
  void send_deallocate(const GatheredMessage& message, std::string_view bytes);
  void send_renamed(const GatheredMessage& message, std::string_view bytes, std::string_view name);
  void send_renamed(std::string_view bytes, std::size_t before, std::string_view old_name, std::string_view name);
  void prepare_as_parsed(const StatementPtr& statement);
  [[nodiscard]] bool must_be_parsed_anew(const StatementPtr& statement) const;
  [[nodiscard]] std::optional<Place> place_by_content(const PreparedStatement& statement) const;
  void ensure_named_in(const GatheredMessage& message, Around around);
  void close_others(const std::vector<NamedStatement>& own);
  void ensure_own_name(const std::string& name, const StatementPtr& wanted, Around around);
  void ensure_taken(const std::string& name, Around around);
  void ensure_present(const Place& place, const PreparedStatement& wanted, Around around);
  void ensure_absent(std::string_view name, Around around);
  void note_prepared(const Place& place, const PreparedStatement& statement);
  void add_to_books(const Place& place, const PreparedStatement& statement);
  void close(std::string_view name);
  void parse(const Place& place, const PreparedStatement& wanted);
  void sql_prepare(const Place& place, const PreparedStatement& wanted);

  const Of of_;
  Work& work_;
  pool::ServerConnection& server_;
};

/// The settings that it is parsed under belong to a statement for as long as it lives. `unsettled`: `Work::unsettled`.
/// `all`: the session's.
void note_parsed(PreparedStatements& all, PreparedStatement& statement, const CarriedState& carried,
                 std::uint64_t unsettled);
/// Under the settings of now.
[[nodiscard]] pool::StatementKey key_now(const PreparedStatement& statement, const CarriedState& carried);

}  // namespace pgweir::session
