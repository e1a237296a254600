// Questions about users, one after the other; see user_query.h.
#include "cluster/user_query.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/log.h"
#include "base/secret_text.h"
#include "cluster/monitor.h"

namespace pgweir::cluster {

namespace log = base::log;

namespace {

constexpr std::chrono::seconds kQueryTimeout{5};
constexpr std::chrono::milliseconds kPause{500};

/// Says nothing about who was asked for.
base::Error cannot_ask() {
  return {base::sqlstate::cannot_connect_now,
          "users cannot be looked up at this moment",
          {},
          "The reason is in the log of pgweir (auth_query_failed)."};
}

void wipe_all(Rows& rows) {
  for (auto& row : rows)
    for (auto& value : row)
      if (value) base::wipe(*value);
}

}  // namespace

UserQuery::UserQuery(net::Loop& loop, const config::Settings& settings, const config::PasswordFile& passwords)
    : loop_(loop),
      nodes_(settings.nodes),
      monitor_(settings.monitor),
      auth_(settings.auth),
      hold_timeout_(settings.failover.hold_timeout),
      passwords_(passwords),
      topology_(std::make_shared<routing::Topology>()),
      again_(loop, [this] { next(); }) {}

UserQuery::~UserQuery() = default;

void UserQuery::set_topology(routing::TopologyPtr topology) {
  topology_ = std::move(topology);
  next();
}

void UserQuery::reconfigure(const config::Settings& settings) {
  const bool other_login =
      settings.auth.auth_user != auth_.auth_user || settings.auth.auth_database != auth_.auth_database;
  auth_ = settings.auth;
  monitor_ = settings.monitor;
  hold_timeout_ = settings.failover.hold_timeout;
  if (other_login && session_) {
    fail_all(cannot_ask());
    drop_session();
  }
}

void UserQuery::ask(const std::string& user, OnUser on_user) {
  if (Question* found = question(user))
    found->on_user.push_back(std::move(on_user));
  else
    return loop_.after_pass([on_user = std::move(on_user)] { on_user(base::Failure(cannot_ask())); });
  next();
}

/// One that waits, or a new one; not the one under way, whose answer may be from before. Null: too many wait.
UserQuery::Question* UserQuery::question(const std::string& user) {
  const auto first = waiting_.begin() + (under_way_ ? 1 : 0);
  const auto found = std::find_if(first, waiting_.end(), [&](const Question& one) { return one.user == user; });
  if (found != waiting_.end()) return &*found;
  if (waiting_.size() >= kMostWaiting) return nullptr;
  return &waiting_.emplace_back(Question{user, {}, loop_.now(), false});
}

/// The primary first: it knows of a new role before the others do.
std::vector<base::NodeId> UserQuery::nodes_to_ask() const {
  std::vector<base::NodeId> nodes;
  for (const auto& node : topology_->nodes)
    if (topology_->may_be_asked(node)) nodes.push_back(node.id);
  std::stable_partition(nodes.begin(), nodes.end(), [&](base::NodeId id) { return topology_->primary == id; });
  return nodes;
}

void UserQuery::next() {
  if (under_way_ || waiting_.empty()) return;
  under_way_ = true;
  const auto nodes = nodes_to_ask();
  const bool good = session_ && session_->connected() && !nodes.empty() && nodes.front() == node_;
  if (good) return send();
  drop_session();
  not_tried_ = nodes;
  connect();
}

void UserQuery::connect() {
  if (not_tried_.empty()) return wait_for_node();
  node_ = not_tried_.front();
  not_tried_.erase(not_tried_.begin());
  config::Monitor as = monitor_;
  as.user = auth_.auth_user;
  as.database = auth_.auth_database;
  auto login = monitor_login(nodes_[node_->value], as, as.database, passwords_, monitor_.timeout);
  for (auto& [keyword, value] : login)
    if (keyword == "application_name") value = "pgweir_auth";
  // Nothing that others have put into schemas of the search_path is found; times come in one form.
  login.emplace_back("options", "-c search_path=pg_catalog -c DateStyle=ISO -c TimeZone=UTC");
  session_ = std::make_unique<PqSession>(loop_, std::move(login));
  session_->connect(monitor_.timeout, [this](base::Result<bool> connected) {
    if (connected) return send();
    log::warning("auth_query_failed", {{"node", nodes_[node_->value].name}, {"error", connected.error().message}});
    drop_session();
    connect();
  });
}

void UserQuery::send() {
  session_->query(auth_.auth_query, {waiting_.front().user}, kQueryTimeout,
                  [this](base::Result<Rows> rows) { take(std::move(rows)); });
}

void UserQuery::take(base::Result<Rows> rows) {
  Question question = std::move(waiting_.front());
  waiting_.pop_front();
  under_way_ = false;
  // The connection was lost, perhaps long ago: once more on a new one.
  if (!rows && !session_->connected() && !std::exchange(question.tried_again, true)) {
    waiting_.push_front(std::move(question));
    return next();
  }
  const auto tell = [&](const base::Error& error) {
    log::warning("auth_query_failed", {{"node", nodes_[node_->value].name},
                                       {"user", question.user},
                                       {"sqlstate", error.sqlstate.view()},
                                       {"error", error.message},
                                       {"detail", error.detail}});
  };
  if (!rows) tell(rows.error());
  if (rows) log::debug("auth_query_answer", {{"node", nodes_[node_->value].name}, {"user", question.user}});
  base::Result<KnownUser> known = base::Failure(cannot_ask());
  if (rows) {
    known = user_from(*rows, question.user);
    wipe_all(*rows);
    if (!known) {
      tell(known.error());
      known = base::Failure(cannot_ask());
    }
  }
  for (const auto& done : question.on_user) done(known);
  next();
}

/// None could be asked. A new topology ends the waiting, or the time.
void UserQuery::wait_for_node() {
  under_way_ = false;
  const base::Time now = loop_.now();
  const base::Duration limit = patience();
  std::vector<Question> over;
  while (!waiting_.empty() && now - waiting_.front().since >= limit) {
    over.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  if (!waiting_.empty())
    again_.start(std::min<base::Duration>(kPause, waiting_.front().since + limit - now));
  else
    again_.stop();
  for (const Question& one : over)
    for (const auto& done : one.on_user) done(base::Failure(cannot_ask()));
}

/// The login ends by itself, without a word, at auth.login_timeout. Nodes that are said to be up and cannot be asked
/// are found away by then, or something else is wrong.
base::Duration UserQuery::patience() const {
  const base::Duration with_nobody = std::min<base::Duration>(hold_timeout_, auth_.login_timeout * 9 / 10);
  if (nodes_to_ask().empty()) return with_nobody;
  return std::min<base::Duration>(with_nobody, monitor_.timeout * monitor_.retries + monitor_.interval);
}

void UserQuery::fail_all(const base::Error& why) {
  under_way_ = false;
  const auto all = std::exchange(waiting_, {});
  for (const Question& one : all)
    for (const auto& done : one.on_user) done(base::Failure(why));
}

/// It may be in one of its own callbacks.
void UserQuery::drop_session() {
  std::shared_ptr<PqSession> doomed = std::move(session_);
  node_.reset();
  if (doomed) loop_.after_pass([doomed] {});
}

}  // namespace pgweir::cluster
