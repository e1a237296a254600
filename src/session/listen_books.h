// Which session listens to which channel through a connection that many share. Pure: says what has become unwanted,
// never what is sent for it.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/ids.h"

namespace pgweir::session {

/// asked -> listening -> leaving, each step when the server has answered what was sent for it. A session hears a
/// channel from its LISTEN's answer to its UNLISTEN's: what was committed in between is on the connection in between.
class ListenBooks {
 public:
  /// A LISTEN is on its way; nothing changes for a session that listens already.
  void ask(base::SessionId session, const std::string& channel);
  /// It was answered: the session hears the channel. Nothing for one that has gone.
  void confirm(base::SessionId session, const std::string& channel);
  /// It was refused. True when nobody wants the channel any more.
  bool refuse(base::SessionId session, const std::string& channel);
  /// The session leaves a channel, or all (empty name), but hears them until `left`. Returns those that nobody wants
  /// any more.
  [[nodiscard]] std::vector<std::string> leave(base::SessionId session, const std::string& channel);
  void left(base::SessionId session);
  /// Out of the books at once: one channel, or all of the session (empty name). Returns as `leave`.
  [[nodiscard]] std::vector<std::string> forget(base::SessionId session, const std::string& channel = {});
  /// The connection is gone. Whoever asked has to ask anew; whoever was leaving has not left.
  void lose();

  [[nodiscard]] bool empty() const { return sessions_.empty(); }
  [[nodiscard]] bool has(base::SessionId session) const { return sessions_.contains(session); }
  [[nodiscard]] bool has(base::SessionId session, std::string_view channel) const;
  /// Who hears it, in the order in which they came. A copy: delivering may change the books.
  [[nodiscard]] std::vector<base::SessionId> listeners(std::string_view channel) const;
  /// Who hears anything, each once.
  [[nodiscard]] std::vector<base::SessionId> listeners() const;
  /// That anybody hears.
  [[nodiscard]] std::vector<std::string> channels() const;

 private:
  enum class State : std::uint8_t { asked, listening, leaving };
  struct Entry {
    base::SessionId session;
    State state = State::asked;
  };

  [[nodiscard]] Entry* find(base::SessionId session, std::string_view channel);
  /// The channels of the session; only `channel` unless that is empty.
  [[nodiscard]] std::vector<std::string> channels_of(base::SessionId session, const std::string& channel) const;
  [[nodiscard]] bool is_wanted(std::string_view channel) const;
  void erase(base::SessionId session, const std::string& channel);

  std::map<std::string, std::vector<Entry>, std::less<>> channels_;
  std::unordered_map<base::SessionId, std::vector<std::string>> sessions_;
};

}  // namespace pgweir::session
