// What `pgweir --check` says when a configuration is fine: the meaning, in sentences, rather than the keys again.
#include <algorithm>
#include <span>
#include <string>
#include <utility>

#include "config/choices.h"
#include "config/options.h"
#include "config/render.h"
#include "config/text_rules.h"
#include "config/units.h"
#include "fmt/format.h"

namespace pgweir::config {
namespace {

std::string or_else(const std::string& text, std::string_view when_empty) {
  return text.empty() ? std::string(when_empty) : text;
}

std::string nodes_text(const Settings& settings) {
  std::string out = fmt::format("{} node{}, topology {}:\n", settings.nodes.size(),
                                settings.nodes.size() == 1 ? "" : "s", name_of(settings.topology));
  std::size_t widest = 0;
  for (const NodeSettings& node : settings.nodes) widest = std::max(widest, node.name.size());
  for (std::size_t i = 0; i < settings.nodes.size(); ++i) {
    const NodeSettings& node = settings.nodes[i];
    const std::string role = node.role ? fmt::format(", {}", name_of(*node.role)) : "";
    const std::string tables =
        node.replicated_tables.empty() ? "" : ", has " + rules::format_tables(node.replicated_tables);
    out += fmt::format("  {:>3}  {:<{}}  {} port {}, weight {}{}{}\n", i, node.name, widest, node.host, node.port,
                       node.weight, role, tables);
  }
  return out;
}

std::string listen_text(const Settings& settings) {
  const Listen& listen = settings.listen;
  std::string out;
  for (const std::string& host : listen.hosts) out += fmt::format("clients connect to {} port {}\n", host, listen.port);
  if (!listen.unix_socket_dir.empty())
    out += fmt::format("clients connect to {}/.s.PGSQL.{} (mode {:04o})\n", listen.unix_socket_dir, listen.port,
                       listen.unix_socket_mode);
  const std::string workers =
      settings.workers == 0 ? "one worker per core" : fmt::format("workers: {}", settings.workers);
  return out + workers + "\n";
}

std::string auth_text(const Auth& auth) {
  std::string how(name_of(auth.method));
  if (!auth.hba_file.empty())
    how = fmt::format("what {} says (users: {})", auth.hba_file, or_else(auth.users_file, "none"));
  else
    how += auth.method == AuthMethod::trust ? " (anyone may be any user)" : fmt::format(" ({})", auth.users_file);
  return fmt::format("clients log in with {} within {}\nservers' passwords: {}\n", how,
                     format_duration(auth.login_timeout), or_else(auth.server_password_file, "none"));
}

std::string tls_text(const Settings& settings) {
  const ClientTls& client = settings.client_tls;
  std::string out = fmt::format("TLS with clients: {}", name_of(client.mode));
  if (client.mode != TlsMode::disable)
    out += fmt::format(", {} or newer, certificate {}", name_of(client.min_version), client.cert_file);
  if (client.mode != TlsMode::disable && !client.ca_file.empty())
    out += fmt::format(", clients' certificates by {}", client.ca_file);
  out += "\nTLS with servers:";
  std::string_view between = " ";
  for (const NodeSettings& node : settings.nodes)
    out += fmt::format("{}{} {}", std::exchange(between, ", "), node.name, name_of(node.server_tls.mode));
  return out + "\n";
}

std::string or_never(Duration time, std::string_view word) {
  return time == Duration::zero() ? "never" : fmt::format("{} {}", word, format_duration(time));
}

/// The times that are off by default, if any is on.
std::string times_text(const Pool& pool) {
  std::string out;
  const auto add = [&out](Duration time, std::string_view what) {
    if (time > Duration::zero()) out += fmt::format("{}{} {}", out.empty() ? "" : "; ", what, format_duration(time));
  };
  add(pool.client_idle_timeout, "a client may be idle for");
  add(pool.idle_transaction_timeout, "idle in a transaction for");
  add(pool.query_timeout, "a statement may run for");
  add(pool.transaction_timeout, "a transaction may last");
  return out.empty() ? "" : out + "\n";
}

std::string overrides_text(const Settings& settings) {
  std::string out;
  const auto add = [&out](std::string_view what, std::span<const Option<PoolOverride>> table,
                          const PoolOverride& entry) {
    out += fmt::format("for {} {}:", what, entry.name);
    std::string_view between = " ";
    for (const Option<PoolOverride>& option : table.subspan(1))
      if (const std::string value = option.codec.format(entry); !value.empty())
        out += fmt::format("{}{} {}", std::exchange(between, ", "), option.key, value);
    out += "\n";
  };
  for (const PoolOverride& entry : settings.databases) add("database", database_options(), entry);
  for (const PoolOverride& entry : settings.users) add("user", user_options(), entry);
  return out;
}

std::string pool_text(const Settings& settings) {
  const Pool& pool = settings.pool;
  const std::string reserve = pool.reserve == 0 ? ""
                                                : fmt::format(", and {} more when one waits for {}", pool.reserve,
                                                              format_duration(pool.reserve_timeout));
  return fmt::format(
             "{} pooling: up to {} server connections per node, database and user{}, for up to {} clients\n"
             "a client waits for a server connection {}; an idle server connection is closed {}, any {}\n",
             name_of(pool.mode), pool.size, reserve, pool.max_clients,
             pool.queue_timeout == Duration::zero() ? "as long as it takes"
                                                    : "at most " + format_duration(pool.queue_timeout),
             or_never(pool.server_idle_timeout, "after"), or_never(pool.server_lifetime, "after")) +
         times_text(pool) + overrides_text(settings);
}

/// What a client is promised of its reads.
std::string_view promise_of(Consistency consistency) {
  switch (consistency) {
    case Consistency::eventual: return "a read may miss the client's own last writes (consistency: eventual)";
    case Consistency::session: return "a client sees its own writes, and never older data again (consistency: session)";
    case Consistency::strict: break;
  }
  return "a client sees all writes that were acknowledged before (consistency: strict)";
}

std::string routing_text(const Settings& settings) {
  const Routing& routing = settings.routing;
  if (!routing.parser) return "statements are not read: everything runs on the primary\n";
  if (settings.topology == TopologyKind::single) return "everything runs on the one node\n";
  if (routing.reads == Reads::primary) return "everything runs on the primary\n";
  std::string lag;
  if (routing.max_replica_lag > 0) lag = fmt::format("more than {} behind", format_size(routing.max_replica_lag));
  if (routing.max_replica_delay > Duration::zero())
    lag += fmt::format("{}more than {} behind", lag.empty() ? "" : " or ", format_duration(routing.max_replica_delay));
  lag = lag.empty() ? "however far behind it is" : "unless it is " + lag;
  const bool is_logical = settings.topology == TopologyKind::logical;
  const std::string which =
      is_logical ? "writes run on the origin; reads of tables that replicas have run on one of them, chosen"
                 : "writes run on the primary; reads run on a standby chosen";
  const std::string primary = routing.primary_weight == 0
                                  ? "the primary takes reads only when no standby can"
                                  : fmt::format("the primary takes reads with weight {}", routing.primary_weight);
  return fmt::format("{} per {}, {}; {}\n{}\n", which, name_of(routing.balance), lag, primary,
                     promise_of(routing.consistency));
}

std::string rest_text(const Settings& settings) {
  const Monitor& monitor = settings.monitor;
  const Log& log = settings.log;
  return fmt::format(
      "the monitor asks as user {} in database {} every {} and gives up after {} silences of {}; positions every {}\n"
      "the log has level {} and goes to {}\n"
      "it runs as {}; core files are {}\n"
      "on SIGTERM open transactions have {}\n",
      monitor.user, monitor.database, format_duration(monitor.interval), monitor.retries,
      format_duration(monitor.timeout), format_duration(monitor.lag_interval), choice_name(log.level),
      or_else(log.file, "standard error"), or_else(settings.process.user, "the user who starts it"),
      settings.process.core_dumps ? "allowed" : "not written", format_duration(settings.shutdown.timeout));
}

std::string failover_text(const Settings& settings) {
  const Failover& failover = settings.failover;
  const std::string rejoin =
      failover.rejoin_command.empty() ? "an old primary that comes back stays out" : "an old primary is rejoined";
  const std::string state = failover.state_file.empty() ? "" : " (state in " + failover.state_file + ")";
  if (settings.topology == TopologyKind::logical)
    return fmt::format("when the origin is away, writes wait for it; only the command ORIGIN makes another one{}\n",
                       state);
  if (failover.mode == FailoverMode::observe)
    return fmt::format("when the primary is lost, somebody else promotes another one{}\n", state);
  return fmt::format("when the primary is lost, {}; {}{}\n",
                     failover.mode == FailoverMode::promote ? "the standby that has received the most is promoted"
                                                            : "the failover command is run",
                     rejoin, state);
}

}  // namespace

std::string explain(const Settings& settings) {
  return nodes_text(settings) + listen_text(settings) + auth_text(settings.auth) + tls_text(settings) +
         pool_text(settings) + routing_text(settings) + failover_text(settings) + rest_text(settings);
}

}  // namespace pgweir::config
