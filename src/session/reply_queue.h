// What the server still owes, in order, and what to do with it. The one truth about who owes what to whom. Pure.
// Source: PostgreSQL documentation, "Message Flow" (simple query, extended query, COPY operations, function call).
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pool/carried_on_server.h"
#include "session/effects.h"
#include "session/prepared_statements.h"
#include "wire/messages/execution.h"

namespace pgweir::session {

/// A message that was sent and its reply has not completely arrived; Flush and Terminate have none.
/// execution: all of [Parse] Bind [Describe] Execute Sync at once, by the client.
enum class Expect : std::uint8_t { query, function_call, parse, bind, describe, execute, close, sync, execution };

enum class Action : std::uint8_t {
  forward,     ///< the client asked, the client gets the answer
  swallow,     ///< pgweir asked
  synthesise,  ///< the client asked, pgweir answers with `synthesised`; no server owes anything
};

/// What a query is for that pgweir itself has sent.
enum class Purpose : std::uint8_t {
  none,
  settings,  ///< makes the session's settings
  timeout,   ///< takes back a short statement_timeout, which would hit what makes the settings
  restore,   ///< takes back what a RESET has done beyond the session's beginning
  audit,     ///< asks what the session has left there
  prepare,   ///< repeats the client's PREPARE
  listen,    ///< listens again to what a lost connection listened to
};

/// A change in the books of a server connection (pool::PreparedOnServer), made when its message was sent: to be taken
/// back when the server has skipped the message.
struct PreparedChange {
  std::string name;  ///< on the server; empty: the unnamed statement
  pool::StatementKey added{};
  std::vector<pool::PreparedOnServer::Entry> removed{};  ///< not empty: the message was a Close or a DEALLOCATE
};

struct Expected {
  Expect what = Expect::query;
  Action action = Action::forward;
  Purpose purpose = Purpose::none;
  bool runs_prepared = false;              ///< query: it has an EXECUTE
  bool may_commit = false;                 ///< query, execute: a transaction that is open may be committed by it
  bool begins = false;                     ///< query, execute: a transaction may be open after it
  bool refused = false;                    ///< the client gets `synthesised` instead of the server's error
  bool error_told = false;                 ///< query: the client has got the error of what it depends on
  bool parses = false, describes = false;  ///< execution: these messages are part of it
  bool whole = false;  ///< its answer may come in one piece that needs no looking into: an execution, and a query of an
                       ///< ordinary statement. While nothing of it has come
  bool answered = false;           ///< query, function_call: what must come right before its ReadyForQuery has come
  std::size_t text_hash = 0;       ///< of a query that pgweir has sent
  StatementPtr statement{};        ///< which one of the client's
  pool::StatementKey on_server{};  ///< parse, bind, describe: the key it was sent under
  std::unique_ptr<PreparedChange> change{};
  bool sets_unnamed = false;     ///< parse: a change too, of the unnamed statement, to the one of `on_server`
  DeallocatedPtr deallocated{};  ///< execute: the client's statements that are gone unless it is refused or skipped
  EffectsPtr effects{};          ///< query, execute: what completing it means; null: nothing to remember
  std::string synthesised{};     ///< messages in PostgreSQL's form
  /// How often the client has ended a COPY behind this message and before the next one, without waiting for
  /// CopyInResponse.
  std::size_t copies_ended = 0;

  [[nodiscard]] bool server_name_is(std::string_view name) const { return SharedName(on_server).view() == name; }
};

class ReplyQueue {
 public:
  /// Answers in flight per session: from there on no message is taken from the client.
  static constexpr std::size_t kMost = 8192;

  struct Taken {
    enum class Kind : std::uint8_t {
      part,       ///< belongs to the front entry, which is not complete yet
      complete,   ///< completes the front entry, which has been removed
      error,      ///< ErrorResponse of the front entry
      violation,  ///< nobody asked for this
    };
    Kind kind = Kind::violation;
    Action action = Action::forward;
    Expect what = Expect::query;
    bool syncs_eaten = false;
  };

  /// After an error in the extended protocol the server ignores everything up to Sync, so nothing is owed for it.
  /// An execution only while nothing is skipped and no COPY IN runs.
  void push(Expected&& expected);
  /// A message from the server that is not asynchronous (notice, parameter status, notification). Entries that an error
  /// has made void are moved to `dropped`, the completed entry (if any) to `completed`. CopyInResponse voids the Syncs
  /// that stand right behind, up to the end of the COPY if the client has said that already: the server reads them as
  /// part of the COPY (`syncs_eaten`: nothing is behind them yet).
  [[nodiscard]] Taken take(char type, std::vector<Expected>& dropped, Expected& completed);

  /// Whether `take` would accept it as part or end of what the front entry waits for; not for errors.
  [[nodiscard]] bool accepts(char type) const;

  [[nodiscard]] bool empty() const { return front_ == entries_.size(); }
  /// Whether anything may come: also the answer to a Sync that a failed COPY may or may not have eaten.
  [[nodiscard]] bool expects_nothing() const { return empty() && eaten_syncs_ == 0; }
  [[nodiscard]] std::size_t size() const { return entries_.size() - front_; }
  [[nodiscard]] const Expected& front() const { return entries_[front_]; }
  /// What the query behind the front entries that are swallowed depends on has failed; false when there is no such
  /// query.
  bool tell_error_of_next_query();
  /// Whether the client is to get an answer to something in it.
  [[nodiscard]] bool owes_client() const;
  [[nodiscard]] bool front_is_told() const { return !empty() && front().error_told; }
  [[nodiscard]] bool front_is(Purpose purpose) const { return !empty() && front().purpose == purpose; }
  /// The next answer is pgweir's own.
  [[nodiscard]] bool answers_here() const { return !empty() && front().action == Action::synthesise; }
  /// Removes the front entry if it is to be synthesised and returns its messages; false otherwise.
  bool take_synthesised(std::string& messages);
  /// Rows, or data of a COPY, may be next.
  [[nodiscard]] bool front_has_rows() const {
    return !empty() && !front().whole && (front().what == Expect::query || front().what == Expect::execute);
  }
  /// The answer to the front entry may be in one piece (`Expected::whole`).
  [[nodiscard]] bool front_is_whole() const { return !empty() && entries_[front_].whole; }
  /// What that begins with.
  [[nodiscard]] wire::AnswerShape front_shape() const;
  /// It has come as a whole (wire::read_whole_answer).
  void complete_whole(Expected& completed) { complete(completed); }
  /// It comes in another way: from now on each message of an execution has an entry of its own. So does `take`.
  void take_apart_front();
  /// The entry pushed last speaks of a statement under this key; not while skipping.
  void note_key(pool::StatementKey key) {
    if (!empty()) entries_.back().on_server = key;
  }
  /// The entry pushed last changes a server's books; not while skipping.
  void attach(std::unique_ptr<PreparedChange> change) {
    if (!entries_.back().change) ++changes_;
    entries_.back().change = std::move(change);
  }
  /// The entry pushed last makes the unnamed statement what its key says; not while skipping.
  void attach_unnamed() {
    entries_.back().sets_unnamed = true;
    ++changes_;
  }
  /// Something in it changes a server's books, and may yet be refused or skipped.
  [[nodiscard]] bool changes_prepared() const { return changes_ > 0; }
  [[nodiscard]] bool changes_prepared(std::string_view name) const;
  /// True between CopyInResponse and the end of that COPY: a Sync sent now is ignored by the server.
  [[nodiscard]] bool copying_in() const { return copying_in_; }
  /// The client has ended its side of the COPY that runs, or of one that it expects to begin.
  void copy_in_ended();
  /// True after an error, until the next Sync is pushed.
  [[nodiscard]] bool skipping() const { return skipping_; }
  /// All that is owed, in order: no server will answer it any more. Nothing is left.
  [[nodiscard]] std::vector<Expected> take_all();
  /// The client has sent Syncs behind the COPY IN that runs, of which the server has read nothing yet, or has read them
  /// as part of it.
  [[nodiscard]] bool syncs_are_eaten() const { return eaten_syncs_ > 0; }
  void clear();

 private:
  Taken take_error(std::vector<Expected>& dropped);
  Taken complete(Expected& completed);
  void begin_copy_in();

  void drop_front();

  std::vector<Expected> entries_;  ///< from `front_` on
  std::size_t front_ = 0;
  /// Syncs sent behind the COPY IN that runs or has failed. One that fails before it has read anything leaves the first
  /// of them to the main loop, which answers it.
  std::size_t eaten_syncs_ = 0;
  std::size_t changes_ = 0;  ///< entries with a `change`, or of the unnamed statement
  bool skipping_ = false;
  bool copying_in_ = false;
};

}  // namespace pgweir::session
