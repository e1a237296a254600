// A server for fuzz targets that answers as PostgreSQL would, without any SQL: a statement's result is its own text.
// One object per connection; bytes in, bytes out. It checks that what pgweir says to a server is always well formed.
#pragma once
#include <cstddef>
#include <map>
#include <string>
#include <string_view>

namespace pgweir::fuzz {

class HonestServer {
 public:
  /// What pgweir has sent. FUZZ_CHECKs that it is complete or the beginning of known messages.
  void receive(std::string_view bytes) { unread_.append(bytes); }
  /// Answers up to `most` messages of those received; the answers in PostgreSQL's form.
  [[nodiscard]] std::string answer(std::size_t most);
  [[nodiscard]] bool has_message() const;
  /// The peer has said Terminate or CancelRequest, or what ends the connection.
  [[nodiscard]] bool over() const { return over_; }
  [[nodiscard]] std::string state() const {
    return std::string("status ") + status_ + (skipping_ ? " skipping" : "") + (copying_ ? " copying" : "") +
           (unread_.empty() ? "" : " unread: " + unread_) + "\n";
  }

 private:
  void start_up(std::string_view packet);
  void take(char type, std::string_view body);
  void run(std::string_view text, bool describes);
  void in_copy(char type);
  void parse(std::string_view body);
  void bind(std::string_view body);
  void describe(std::string_view body);
  void close(std::string_view body);
  void fail(std::string_view sqlstate, std::string_view message);
  void row_description();
  void ready();

  std::string unread_, out_;
  std::map<std::string, std::string, std::less<>> statements_, portals_;
  bool started_ = false, over_ = false;
  bool extended_ = false;  ///< the message at hand is of the extended protocol
  bool skipping_ = false, copying_ = false;
  char status_ = 'I';
};

/// Messages in PostgreSQL's form, for either peer.
[[nodiscard]] std::string message(char type, std::string_view body);
[[nodiscard]] std::string text(std::string_view value);  ///< with its zero byte

}  // namespace pgweir::fuzz
