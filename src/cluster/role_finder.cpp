// Memberships of roles, asked of a node; see role_finder.h.
#include "cluster/role_finder.h"

#include <utility>

#include "base/log.h"
#include "cluster/monitor.h"
#include "fmt/format.h"
#include "net/loop.h"

namespace pgweir::cluster {

namespace {
namespace sqlstate = base::sqlstate;

constexpr std::chrono::seconds kIdle{10};

std::string hexadecimal(std::string_view text) {
  std::string digits;
  for (const char c : text) digits += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return digits;
}
}  // namespace

std::string memberships_query(const std::vector<std::string>& users) {
  std::string names;
  for (const std::string& user : users) names += fmt::format("{}'{}'", names.empty() ? "" : ", ", hexadecimal(user));
  // Whoever it inherits from, and itself (utils/adt/acl.c, is_member_of_role_nosuper).
  return fmt::format(R"(
WITH RECURSIVE member(who, role) AS (
  SELECT oid, oid FROM pg_catalog.pg_roles
   WHERE pg_catalog.encode(pg_catalog.convert_to(rolname::pg_catalog.text, 'UTF8'), 'hex') IN ({})
  UNION SELECT m.who, a.roleid FROM member m JOIN pg_catalog.pg_auth_members a ON a.member = m.role)
SELECT w.rolname, r.rolname FROM member m
  JOIN pg_catalog.pg_roles w ON w.oid = m.who JOIN pg_catalog.pg_roles r ON r.oid = m.role)",
                     names);
}

RoleFinder::RoleFinder(net::Loop& loop, const config::Settings& settings, const config::PasswordFile& passwords)
    : loop_(loop),
      nodes_(settings.nodes),
      monitor_(settings.monitor),
      passwords_(passwords),
      topology_(std::make_shared<routing::Topology>()),
      idle_(loop, [this] {
        if (asked_.empty() && waiting_.empty()) session_.reset();
      }) {}

RoleFinder::~RoleFinder() = default;

void RoleFinder::find(const std::string& user, OnFound then) {
  waiting_.emplace(user, std::move(then));
  if (asked_.empty()) start();
}

/// With those that wait; nothing is under way.
void RoleFinder::start() {
  const routing::Node* source = nullptr;
  for (const auto& node : topology_->nodes)
    if (topology_->may_be_asked(node) && (!source || topology_->primary == node.id)) source = &node;
  asked_ = std::exchange(waiting_, {});
  if (!source) return fail(std::exchange(asked_, {}), {sqlstate::cannot_connect_now, "no node is up to look up roles"});
  if (session_ && session_->connected() && node_ == source->id) return ask();
  node_ = source->id;
  auto login = monitor_login(nodes_[node_.value], monitor_, monitor_.database, passwords_, monitor_.timeout);
  session_ = std::make_unique<PqSession>(loop_, std::move(login));
  session_->connect(monitor_.timeout, [this](base::Result<bool> connected) {
    if (!connected) return answer(base::Failure(connected.error()));
    ask();
  });
}

void RoleFinder::ask() {
  std::vector<std::string> users;
  for (auto at = asked_.begin(); at != asked_.end(); at = asked_.upper_bound(at->first)) users.push_back(at->first);
  session_->query(memberships_query(users), monitor_.timeout,
                  [this](base::Result<Rows> rows) { answer(std::move(rows)); });
}

void RoleFinder::answer(base::Result<Rows> rows) {
  Waiting asked = std::exchange(asked_, {});
  idle_.start(kIdle);
  if (!rows) {
    base::log::warning("roles_not_found", {{"node", nodes_[node_.value].name}, {"error", rows.error().message}});
    loop_.after_pass([done = std::shared_ptr<PqSession>(std::move(session_))] {});  // this is a callback of its own
    fail(std::move(asked), {sqlstate::cannot_connect_now, "the roles of the user could not be looked up",
                            "Node " + nodes_[node_.value].name + " was asked."});
  } else {
    std::map<std::string, auth::Memberships> found;
    for (const auto& row : *rows)
      if (row.size() == 2 && row[0] && row[1]) found[*row[0]].insert(*row[1]);
    for (auto& [user, then] : asked) then(found[user]);
  }
  if (!waiting_.empty() && asked_.empty()) start();
}

void RoleFinder::fail(Waiting waiting, const base::Error& error) {
  for (auto& [user, then] : waiting) then(base::Failure(error));
}

}  // namespace pgweir::cluster
