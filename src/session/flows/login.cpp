// What a login needs from outside of its flow: what the nodes know of a user, the answers of LDAP and PAM, its turn
// after failures from the same address, and when a client hears that it has failed.
#include <algorithm>
#include <string>
#include <utility>

#include "base/log.h"
#include "net/ldap_login.h"
#include "net/pam_login.h"
#include "session/logins.h"
#include "session/session.h"

namespace pgweir::session {

namespace log = base::log;
namespace sqlstate = base::sqlstate;

namespace {

/// The network of an IPv6 client is its own to choose from: its first 64 bits count. All on the Unix socket are one.
std::string failing_address(const net::PeerAddress& peer) {
  constexpr std::size_t kNetworkBytes = 8;
  const std::string_view ip = peer.ip();
  return std::string(ip.substr(0, ip.size() > kNetworkBytes ? kNetworkBytes : ip.size()));
}

base::Result<std::optional<config::Secret>> secret_of(const base::Result<cluster::KnownUser>& known,
                                                      const std::string& user) {
  if (!known) return base::Failure(known.error());
  if (known->valid_until > std::chrono::system_clock::now()) return known->secret;
  // backend/libpq/crypt.c, get_role_password: as if there were none.
  log::info("password_expired", {{"user", user}});
  return std::optional<config::Secret>();
}

net::LdapRequest ldap_request(const auth::LdapOptions& options, std::string_view user, std::string_view password) {
  net::LdapRequest request;
  request.scheme = options.scheme;
  request.servers = options.server;
  request.port = options.port;
  request.start_tls = options.tls;
  request.prefix = options.prefix;
  request.suffix = options.suffix;
  request.base_dn = options.base_dn;
  request.bind_dn = options.bind_dn;
  request.bind_password = base::SecretText(options.bind_password);
  request.search_attribute = options.search_attribute;
  request.search_filter = options.search_filter;
  request.scope = options.scope == auth::LdapOptions::Scope::base  ? net::LdapRequest::Scope::base
                  : options.scope == auth::LdapOptions::Scope::one ? net::LdapRequest::Scope::one
                                                                   : net::LdapRequest::Scope::sub;
  request.user = user;
  request.password = base::SecretText(password);
  return request;
}

}  // namespace

bool Session::find_secret() {
  StartupFlow& flow = login_->flow;
  const std::string& user = flow.message().user;
  Logins& logins = worker_.process().logins;
  if (flow.wants_new_secret()) logins.distrust(user);
  if (const auto known = logins.user(user)) {
    flow.answer_secret(secret_of(*known, user), client_.output());
    return true;
  }
  worker_.process().ask_user(user, [&worker = worker_, id = id_, user](const base::Result<cluster::KnownUser>& known) {
    worker.post([id, user, known](Worker& there) {
      if (Session* session = there.session(id))
        session->answer_login(
            [&](StartupFlow& its, base::ByteQueue& out) { its.answer_secret(secret_of(known, user), out); });
    });
  });
  return false;
}

bool Session::find_turn() {
  const auto& settings = worker_.settings().auth;
  StartupFlow& flow = login_->flow;
  const auto wait = worker_.process().logins.admit(failing_address(peer_), flow.message().user, settings.failure_delay,
                                                   settings.login_timeout);
  if (!wait || *wait == base::Duration::zero()) {
    flow.answer_turn(wait.has_value(), client_.output());
    return true;
  }
  // Who waits takes no place from others.
  place_.give_back();
  login_->pause = std::make_unique<net::Timer>(worker_.loop(), [this] {
    auto place = worker_.process().clients.enter(worker_.settings().pool.max_clients);
    if (!place) return terminate(place.error());
    place_ = std::move(*place);
    answer_login([](StartupFlow& its, base::ByteQueue& out) { its.answer_turn(true, out); });
  });
  login_->pause->start(*wait);
  return false;
}

/// On a thread that may block. Nothing of the session is used there: it may have gone.
bool Session::check_password_elsewhere() {
  StartupFlow& flow = login_->flow;
  const auth::HbaLine& line = *flow.line();
  const auto timeout = worker_.settings().auth.login_timeout;
  const auto answer = [&worker = worker_, id = id_](base::Result<bool> right) {
    worker.post([id, right = std::move(right)](Worker& there) {
      if (Session* session = there.session(id))
        session->answer_login([&](StartupFlow& its, base::ByteQueue& out) { its.answer_password_check(right, out); });
    });
  };
  std::function<void()> call;
  if (line.method == auth::Method::ldap && line.ldap) {
    auto request = std::make_shared<net::LdapRequest>(ldap_request(*line.ldap, flow.message().user, flow.password()));
    request->timeout = timeout;
    call = [request, answer] { answer(net::ldap_login(*request)); };
  } else {
    auto request = std::make_shared<net::PamRequest>();
    request->service = line.pam_service;
    request->directory = worker_.settings().auth.pam_directory;
    request->user = flow.message().user;
    request->password = base::SecretText(flow.password());
    request->remote_host = peer_.is_tcp() ? auth::Address::from_network(peer_.ip()).text() : std::string();
    request->resolve_host = line.pam_use_hostname;
    call = [request, answer] { answer(net::pam_login(*request)); };
  }
  const auto late = [answer] { answer(base::fail(sqlstate::query_canceled, "waited for too long to be checked")); };
  if (worker_.process().logins.blocking_calls.run(std::move(call), late, base::Clock::now() + timeout)) return false;
  flow.answer_password_check(base::fail(sqlstate::too_many_connections, "too many logins wait to be checked"),
                             client_.output());
  return true;
}

void Session::note_login() {
  StartupFlow& flow = login_->flow;
  Logins& logins = worker_.process().logins;
  logins.keys.remember(flow.message().user, flow.take_keys());
  logins.succeeded(failing_address(peer_), flow.message().user, worker_.settings().auth.failure_delay);
}

/// The client hears of it when it is time. Until then it takes no place from others.
void Session::hold_failed_login() {
  StartupFlow& flow = login_->flow;
  Logins& logins = worker_.process().logins;
  if (flow.secret_was_asked()) logins.distrust(flow.message().user);
  if (!flow.withheld()) return finish("login_failed");
  place_.give_back();
  const auto delay = logins.failed(failing_address(peer_), flow.message().user, worker_.settings().auth.failure_delay);
  if (!delay) return finish("login_failed");
  if (*delay == base::Duration::zero()) return terminate(flow.error());
  client_held_ = true;
  update_client_reading();
  login_->pause =
      std::make_unique<net::Timer>(worker_.loop(), [this] { terminate(base::Error(login_->flow.error())); });
  login_->pause->start(*delay);
}

}  // namespace pgweir::session
