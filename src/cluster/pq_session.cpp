// libpq without blocking; see pq_session.h.
#include "cluster/pq_session.h"

#include <libpq-fe.h>

#include <chrono>
#include <utility>

#include "cluster/failover_probe.h"
#include "net/loop.h"

namespace pgweir::cluster {

namespace {

std::string without_line_break(const char* text) {
  std::string line = text ? text : "";
  while (!line.empty() && (line.back() == '\n' || line.back() == ' ')) line.pop_back();
  return line;
}

Rows rows_of(const PGresult* result) {
  Rows rows(static_cast<std::size_t>(PQntuples(result)));
  for (std::size_t r = 0; r < rows.size(); ++r)
    for (int c = 0; c < PQnfields(result); ++c) {
      const int row = static_cast<int>(r);
      if (PQgetisnull(result, row, c))
        rows[r].emplace_back(std::nullopt);
      else
        rows[r].emplace_back(
            std::string(PQgetvalue(result, row, c), static_cast<std::size_t>(PQgetlength(result, row, c))));
    }
  return rows;
}

}  // namespace

PqSession::PqSession(net::Loop& loop, std::vector<std::pair<std::string, std::string>> parameters)
    : loop_(loop), parameters_(std::move(parameters)), timer_(loop, [this] { on_time(); }) {}

PqSession::~PqSession() {
  *alive_ = false;
  close();
}

void PqSession::connect(base::Duration timeout, OnConnected on_connected) {
  on_connected_ = std::move(on_connected);
  start_timer(timeout);
  std::vector<const char*> keywords, values;
  for (const auto& [keyword, value] : parameters_) {
    keywords.push_back(keyword.c_str());
    values.push_back(value.c_str());
  }
  keywords.push_back(nullptr);
  values.push_back(nullptr);
  connection_ = PQconnectStartParams(keywords.data(), values.data(), 0);
  if (connection_) PQsetErrorVerbosity(connection_, PQERRORS_VERBOSE);  // else there is no SQLSTATE before the login
  if (!connection_ || PQstatus(connection_) == CONNECTION_BAD) {
    loop_.after_pass([this, alive = alive_] {
      if (*alive) fail(last_error());
    });
    return;
  }
  watch(net::Interest::writable);
}

void PqSession::start_timer(base::Duration timeout) {
  timeout_ = timeout;
  deadline_ = base::Clock::now() + timeout;
  has_more_time_ = false;
  timer_.start(timeout);
}

/// The server is not to blame when this process was held up: by a pause of the machine, or by work on this thread. Then
/// the answer is perhaps here, unread, and the server has its time once more.
void PqSession::on_time() {
  constexpr std::chrono::milliseconds kHeldUp{20};
  const base::Time now = base::Clock::now();
  // The loop's time was older than the start.
  if (now < deadline_) return timer_.start(deadline_ - now);
  if (now - deadline_ > kHeldUp && !std::exchange(has_more_time_, true)) return timer_.start(timeout_);
  fail({base::sqlstate::connection_failure, "no answer in time"});
}

/// libpq may change its socket while it connects: the watcher follows.
void PqSession::watch(net::Interest interest) {
  const int fd = PQsocket(connection_);
  if (fd != watched_fd_ || !watcher_) {
    watcher_.reset();
    watched_fd_ = fd;
    watcher_ = std::make_unique<net::Watcher>(loop_, fd, [this] { on_ready(); });
  }
  watcher_->watch(interest);
}

void PqSession::on_ready() {
  if (!connected_)
    poll_connect();
  else
    read_results();
}

void PqSession::poll_connect() {
  // libpq closes and opens sockets in here, so the watcher must let go first.
  watcher_.reset();
  switch (PQconnectPoll(connection_)) {
    case PGRES_POLLING_READING: return watch(net::Interest::readable);
    case PGRES_POLLING_WRITING: return watch(net::Interest::writable);
    case PGRES_POLLING_OK: break;
    default: return fail(last_error());
  }
  connected_ = true;
  timer_.stop();
  PQsetErrorVerbosity(connection_, PQERRORS_DEFAULT);
  // What a server only remarks would go to standard error, past the log.
  PQsetNoticeReceiver(
      connection_, [](void*, const PGresult*) {}, nullptr);
  PQsetnonblocking(connection_, 1);
  watch(net::Interest::readable);
  if (auto done = std::exchange(on_connected_, nullptr)) done(true);
}

int PqSession::server_version() const { return PQserverVersion(connection_); }

void PqSession::query(const std::string& sql, base::Duration timeout, OnRows on_rows) {
  send(timeout, std::move(on_rows), [&] { return PQsendQuery(connection_, sql.c_str()) == 1; });
}

void PqSession::query(const std::string& sql, const std::vector<std::string>& parameters, base::Duration timeout,
                      OnRows on_rows) {
  send(timeout, std::move(on_rows), [&] {
    std::vector<const char*> values;
    for (const std::string& one : parameters) values.push_back(one.c_str());
    const int count = static_cast<int>(values.size());
    return PQsendQueryParams(connection_, sql.c_str(), count, nullptr, values.data(), nullptr, nullptr, 0) == 1;
  });
}

void PqSession::send(base::Duration timeout, OnRows on_rows, const std::function<bool()>& send_it) {
  on_rows_ = std::move(on_rows);
  result_.reset();
  start_timer(timeout);
  if (!send_it() || PQflush(connection_) < 0) {
    loop_.after_pass([this, alive = alive_] {
      if (*alive) fail(last_error());
    });
    return;
  }
  // What PQflush could not send at once goes out when the socket is writable.
  watch(PQflush(connection_) == 1 ? net::Interest::both : net::Interest::readable);
}

void PqSession::read_results() {
  if (PQconsumeInput(connection_) != 1) return fail(last_error());
  if (on_rows_ && PQflush(connection_) == 0) watch(net::Interest::readable);
  while (on_rows_ && PQisBusy(connection_) == 0) {
    PGresult* raw = PQgetResult(connection_);
    if (!raw) {
      timer_.stop();
      auto done = std::exchange(on_rows_, nullptr);
      auto result = std::move(result_);
      done(result ? std::move(*result) : base::Result<Rows>(base::fail(base::sqlstate::internal_error, "no result")));
      return;
    }
    const std::unique_ptr<PGresult, void (*)(PGresult*)> owner(raw, PQclear);
    if (PQresultStatus(raw) == PGRES_TUPLES_OK || PQresultStatus(raw) == PGRES_COMMAND_OK) {
      result_ = rows_of(raw);
    } else {
      const char* state = PQresultErrorField(raw, PG_DIAG_SQLSTATE);
      result_ = base::Result<Rows>(
          base::fail(base::Sqlstate(state ? state : "08006"), without_line_break(PQresultErrorMessage(raw))));
    }
  }
  if (!on_rows_ && PQstatus(connection_) == CONNECTION_BAD) fail(last_error());
}

base::Error PqSession::last_error() const {
  return connection_error_from(connection_ ? PQerrorMessage(connection_) : "out of memory");
}

void PqSession::fail(base::Error error) {
  const bool was_connected = connected_;
  close();
  auto on_connected = std::exchange(on_connected_, nullptr);
  auto on_rows = std::exchange(on_rows_, nullptr);
  if (on_connected) return on_connected(base::Failure(std::move(error)));
  if (on_rows) return on_rows(base::Failure(std::move(error)));
  if (was_connected && on_closed_) return std::exchange(on_closed_, nullptr)(std::move(error));
}

void PqSession::close() {
  connected_ = false;
  timer_.stop();
  watcher_.reset();
  watched_fd_ = -1;
  if (connection_) PQfinish(std::exchange(connection_, nullptr));
}

}  // namespace pgweir::cluster
