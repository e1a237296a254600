// What a session listens to on a connection of its own, as its statements tell until an audit has said it, and how it
// is said again on another connection. Pure.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "session/effects.h"

namespace pgweir::session {

/// The channels of one server connection. By the rules of commands/async.c: LISTEN and UNLISTEN count when their
/// transaction is committed. In doubt there is rather a channel too many.
class Channels {
 public:
  /// A statement has succeeded; `tag` is the first word of its CommandComplete.
  void completed(const Effect& effect, std::string_view tag);
  /// ReadyForQuery outside of a transaction. `failed`: there was an error.
  void ready(bool failed) {
    if (!open_.empty()) settle(failed);
  }
  /// The truth, asked for outside of a transaction; in the encoding of the database.
  void replace(std::vector<std::string> names) { names_ = std::move(names); }
  void add(const std::vector<std::string>& names);
  void clear() { names_.clear(); }

  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }

 private:
  struct Change {
    std::string name;  ///< empty: all
    bool listens;
  };
  void settle(bool failed);

  std::vector<std::string> names_;
  std::vector<Change> open_;  ///< of the transaction that is open, in order
};

/// A query string, all of which happens or none, that listens to the channels. Safe under any client_encoding.
[[nodiscard]] std::string listen_text(const std::vector<std::string>& channels);

}  // namespace pgweir::session
