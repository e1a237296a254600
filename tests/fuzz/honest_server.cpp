// As much of PostgreSQL as a pooler can tell from the outside; see honest_server.h.
#include "fuzz/honest_server.h"

#include <algorithm>
#include <cctype>
#include <vector>

#include "base/byte_order.h"
#include "fuzz/target.h"
#include "sql/tokenizer.h"
#include "wire/frame.h"
#include "wire/messages/frontend.h"

namespace pgweir::fuzz {

namespace frontend = wire::frontend;

namespace {

std::string number32(std::uint32_t value) {
  std::string bytes(4, '\0');
  base::store_be32(bytes.data(), value);
  return bytes;
}

std::string upper(std::string_view text) {
  std::string made(text);
  for (char& c : made) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return made;
}

/// The first words, keywords in upper case and names without their quotes.
std::vector<std::string> first_words(std::string_view text) {
  std::vector<std::string> words;
  sql::Tokenizer tokenizer(text);
  for (std::size_t i = 0; i < 3; ++i) {
    const sql::Token token = tokenizer.next();
    if (token.kind == sql::TokenKind::quoted_identifier) {
      std::string name(token.text.substr(1, token.text.size() - 2));
      for (std::size_t at = 0; (at = name.find("\"\"", at)) != std::string::npos; ++at) name.erase(at, 1);
      words.push_back(name);
    } else {
      words.push_back(upper(token.text));
    }
  }
  return words;
}

/// As PostgreSQL folds a name that is not quoted.
std::string name_of(std::string_view text, std::size_t word) {
  sql::Tokenizer tokenizer(text);
  sql::Token token = tokenizer.next();
  for (std::size_t i = 0; i < word; ++i) token = tokenizer.next();
  std::string name = first_words(text)[word];
  if (token.kind == sql::TokenKind::quoted_identifier) return name;
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return name;
}

std::size_t startup_size(std::string_view bytes) { return bytes.size() < 4 ? 0 : base::load_be32(bytes.data()); }

}  // namespace

std::string text(std::string_view value) { return std::string(value) + '\0'; }

std::string message(char type, std::string_view body) {
  return type + number32(static_cast<std::uint32_t>(body.size() + 4)) + std::string(body);
}

bool HonestServer::has_message() const {
  if (over_) return false;
  if (!started_) return startup_size(unread_) > 0 && unread_.size() >= startup_size(unread_);
  wire::Frame frame;
  const auto status = wire::read_frame(unread_, frame);
  FUZZ_CHECK(status != wire::FrameStatus::invalid);
  if (status == wire::FrameStatus::ok) FUZZ_CHECK(frontend::known(frame.type));
  return status == wire::FrameStatus::ok && frame.complete();
}

std::string HonestServer::answer(std::size_t most) {
  out_.clear();
  for (; most > 0 && has_message(); --most) {
    if (!started_) {
      const std::size_t size = startup_size(unread_);
      FUZZ_CHECK(size >= 8);
      start_up(std::string_view(unread_).substr(4, size - 4));
      unread_.erase(0, size);
      continue;
    }
    wire::Frame frame;
    (void)wire::read_frame(unread_, frame);
    take(frame.type, frame.body);
    unread_.erase(0, frame.bytes_here());
  }
  return std::move(out_);
}

void HonestServer::start_up(std::string_view packet) {
  constexpr std::uint32_t kCancel = 80877102, kKey = 7, kProcess = 1234;
  if (base::load_be32(packet.data()) == kCancel) {
    over_ = true;
    return;
  }
  started_ = true;
  out_ += message('R', number32(0));
  for (const auto& [name, value] : {std::pair{"server_version", "15.0"},
                                    {"client_encoding", "UTF8"},
                                    {"standard_conforming_strings", "on"},
                                    {"application_name", ""}})
    out_ += message('S', text(name) + text(value));
  out_ += message('K', number32(kProcess) + number32(kKey));
  ready();
}

void HonestServer::ready() {
  skipping_ = false;
  out_ += message('Z', std::string_view(&status_, 1));
}

void HonestServer::fail(std::string_view sqlstate, std::string_view words) {
  out_ += message('E', 'S' + text("ERROR") + 'V' + text("ERROR") + 'C' + text(sqlstate) + 'M' + text(words) + '\0');
  if (status_ == 'T') status_ = 'E';
  skipping_ = extended_;
}

void HonestServer::row_description() {
  out_ += message('T', std::string("\0\1", 2) + text("text") + std::string(6, '\0') + number32(25) +
                           std::string("\xff\xff\xff\xff\xff\xff\0\0", 8));
}

/// One statement, whatever the text has. `describes`: a simple query, or one that has been asked what it returns.
void HonestServer::run(std::string_view statement, bool describes) {
  const std::string words = upper(statement);
  const auto first = first_words(statement);
  const auto is = [&](std::string_view word) { return first[0] == word; };
  const auto complete = [&](std::string_view tag) { out_ += message('C', text(tag)); };
  if (first[0].empty() || (is(";") && first[1].empty())) {
    out_ += message('I', {});
  } else if (is("ROLLBACK") || is("ABORT") || is("COMMIT") || is("END")) {
    if (words.find(" TO") == std::string::npos)
      status_ = 'I';
    else if (status_ == 'E')
      status_ = 'T';
    complete(is("ROLLBACK") ? "ROLLBACK" : "COMMIT");
  } else if (status_ == 'E') {
    fail("25P02", "current transaction is aborted, commands ignored until end of transaction block");
  } else if (words.find("FAIL") != std::string::npos) {
    fail("22012", "division by zero");
  } else if (is("BEGIN") || is("START")) {
    status_ = 'T';
    complete("BEGIN");
  } else if (is("COPY") && words.find("STDIN") != std::string::npos) {
    copying_ = true;
    out_ += message('G', std::string(3, '\0'));
  } else if (is("COPY") && words.find("STDOUT") != std::string::npos) {
    out_ += message('H', std::string(3, '\0')) + message('d', statement) + message('c', {});
    complete("COPY 1");
  } else if ((is("DISCARD") || is("DEALLOCATE")) && (first[1] == "ALL" || first[2] == "ALL")) {
    statements_.clear();
    complete(is("DISCARD") ? "DISCARD ALL" : "DEALLOCATE ALL");
  } else if (is("DEALLOCATE")) {
    statements_.erase(name_of(statement, first[1] == "PREPARE" ? 2 : 1));
    complete("DEALLOCATE");
  } else if (is("PREPARE") && first[1] != "TRANSACTION") {
    if (!statements_.emplace(name_of(statement, 1), statement).second) return fail("42P05", "already exists");
    complete("PREPARE");
  } else if (is("SELECT") || is("VALUES") || is("WITH") || is("SHOW") || is("EXECUTE") || is("FETCH")) {
    const bool own = words.find("PG_CATALOG.") != std::string::npos;  // an audit of pgweir's: nothing has been left
    if (describes) row_description();
    if (!own)
      out_ += message('D', std::string("\0\1", 2) + number32(static_cast<std::uint32_t>(statement.size())) +
                               std::string(statement));
    complete(own ? "SELECT 0" : "SELECT 1");
  } else {
    complete(first[0]);
  }
}

void HonestServer::take(char type, std::string_view body) {
  if (copying_) return in_copy(type);
  extended_ = type != frontend::kQuery && type != frontend::kFunctionCall;
  if (skipping_ && type != frontend::kSync && type != frontend::kTerminate) return;
  switch (type) {
    case frontend::kQuery:
      run(body.substr(0, body.find('\0')), true);
      if (!copying_) ready();
      break;
    case frontend::kFunctionCall:
      out_ += message('V', number32(0xffffffff));
      ready();
      break;
    case frontend::kParse: parse(body); break;
    case frontend::kBind: bind(body); break;
    case frontend::kDescribe: describe(body); break;
    case frontend::kExecute: {
      const auto portal = portals_.find(body.substr(0, body.find('\0')));
      if (portal == portals_.end()) return fail("34000", "portal does not exist");
      run(portal->second, false);
      break;
    }
    case frontend::kClose: close(body); break;
    case frontend::kSync: ready(); break;
    case frontend::kTerminate: over_ = true; break;
    default: break;  // Flush; CopyData and the like behind a COPY that has failed
  }
}

void HonestServer::in_copy(char type) {
  switch (type) {
    case frontend::kCopyData:
    case frontend::kFlush:
    case frontend::kSync: return;
    case frontend::kCopyDone: out_ += message('C', text("COPY 1")); break;
    case frontend::kCopyFail: fail("57014", "COPY from stdin failed"); break;
    default:
      fail("08P01", "unexpected message type during COPY from stdin");
      over_ = true;
      return;
  }
  copying_ = false;
  if (!extended_) ready();
}

void HonestServer::parse(std::string_view body) {
  const auto found = wire::decode_parse(body);
  if (!found) return fail("08P01", "invalid message format");
  if (upper(found->text).find("FAIL") != std::string::npos) return fail("42601", "syntax error");
  if (!found->name.empty() && statements_.contains(found->name)) return fail("42P05", "already exists");
  statements_[std::string(found->name)] = found->text;
  out_ += message('1', {});
}

void HonestServer::bind(std::string_view body) {
  const auto found = wire::decode_bind(body);
  if (!found) return fail("08P01", "invalid message format");
  const auto statement = statements_.find(found->statement);
  if (statement == statements_.end()) return fail("26000", "prepared statement does not exist");
  portals_[std::string(found->portal)] = statement->second;
  out_ += message('2', {});
}

void HonestServer::describe(std::string_view body) {
  const auto found = wire::decode_target(body);
  if (!found) return fail("08P01", "invalid message format");
  const auto& all = found->what == 'S' ? statements_ : portals_;
  const auto one = all.find(found->name);
  if (one == all.end()) return fail(found->what == 'S' ? "26000" : "34000", "does not exist");
  if (found->what == 'S') out_ += message('t', std::string(2, '\0'));
  const std::string words = upper(one->second);
  if (words.starts_with("SELECT") || words.starts_with("VALUES") || words.starts_with("WITH"))
    row_description();
  else
    out_ += message('n', {});
}

void HonestServer::close(std::string_view body) {
  const auto found = wire::decode_target(body);
  if (!found) return fail("08P01", "invalid message format");
  auto& all = found->what == 'S' ? statements_ : portals_;
  if (const auto one = all.find(found->name); one != all.end()) all.erase(one);
  out_ += message('3', {});
}

}  // namespace pgweir::fuzz
