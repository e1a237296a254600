// A session in the admin database: both protocols, without a server. Pure: bytes in, bytes out; a command that takes
// time is a question to the owner.
//
//   ready --Query, Execute of a command--> waiting --answer--> ready
//   ready --error in the extended protocol--> skipping --Sync--> ready
//   any --Terminate, or what is against the protocol--> over
#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/byte_queue.h"
#include "session/local_commands.h"
#include "wire/frame.h"
#include "wire/messages/backend.h"

namespace pgweir::session {

class ConsoleFlow {
 public:
  /// Longer messages end the session (08P01).
  static constexpr std::size_t kLongestMessage = 64 * 1024;
  /// Prepared statements and portals; more are refused (53400).
  static constexpr std::size_t kMostNames = 1000;

  /// `commands` outlives it.
  ConsoleFlow(const LocalCommands& commands, std::string user) : commands_(commands), user_(std::move(user)) {}

  /// What a client is told after its login: parameters that drivers look at. The key and ReadyForQuery follow.
  static void welcome(base::ByteQueue& out);

  /// Consumes what it can, appends the answers; returns how many bytes were consumed. Takes nothing while it waits.
  [[nodiscard]] std::size_t take(std::string_view bytes, base::ByteQueue& out);
  /// Set while a command is to be run, or runs: the owner runs it and gives the answer.
  [[nodiscard]] const ConsoleStatement* wanted() const { return running_.get(); }
  void answer(base::Result<LocalTable> result, base::ByteQueue& out);
  [[nodiscard]] LocalAsker asker() const { return {user_, std::nullopt}; }
  /// The client has said goodbye, or what cannot be understood; then the error is in the output.
  [[nodiscard]] bool over() const { return over_; }

 private:
  void take_frame(const wire::Frame& frame, base::ByteQueue& out);
  void take_extended(const wire::Frame& frame, base::ByteQueue& out);
  void parse(const wire::Frame& frame, base::ByteQueue& out);
  void bind(const wire::Frame& frame, base::ByteQueue& out);
  void describe(const wire::Frame& frame, base::ByteQueue& out);
  void execute(const wire::Frame& frame, base::ByteQueue& out);
  void close(const wire::Frame& frame, base::ByteQueue& out);
  void go_on(base::ByteQueue& out);
  void start(ConsoleStatementPtr statement, base::ByteQueue& out);
  void fail(const base::Error& error, base::ByteQueue& out);
  void violate(const base::Error& error, base::ByteQueue& out);
  [[nodiscard]] base::Result<ConsoleStatementPtr> read(std::string_view text) const;

  const LocalCommands& commands_;
  const std::string user_;
  wire::TransactionStatus status_ = wire::TransactionStatus::idle;
  std::deque<std::string> statements_;  ///< of a Query, those that have not run
  bool in_query_ = false;               ///< a Query is being answered; else an Execute
  bool skipping_ = false;
  bool over_ = false;
  ConsoleStatementPtr running_;
  std::map<std::string, ConsoleStatementPtr, std::less<>> prepared_;  ///< null: an empty text
  std::map<std::string, ConsoleStatementPtr, std::less<>> portals_;
};

}  // namespace pgweir::session
